#!/usr/bin/env python3
"""Speed and memory of supd against bounds and peers that are measured in the same run.

    cargo build --release --bins
    tests/bench/bench.py                    # everything, about forty minutes
    tests/bench/bench.py list start         # some of: memory list start crash cluster takeover reload gap logs
                                            # sampling limit watch
    tests/bench/bench.py --rounds 5 cluster

Needs Linux, Python 3.9, and wrk and node on the PATH. PM2 is compared with when `pm2` is on the PATH too. By hand only, never
in CI: figures of a shared machine prove nothing. Contestants take turns, so that what else the machine does hits all alike;
what is printed is medians, and the ratio of ours to theirs. Method and figures: packaging/docs/benchmarks.md.
"""

import argparse
import os
import shutil
import signal
import sys
import time
from pathlib import Path
from statistics import median

sys.dont_write_bytecode = True

import limits
import reloads
import writers
from contestants import Inherited, Pm2, Supd, answering
from measure import Load, bare_start, milliseconds, open_files, processor_seconds, pss, sleeps, whole_process

ROOT = Path(__file__).resolve().parents[2]
# tokio ends a thread for blocking calls that has had nothing to do for 10 s.
SETTLED = 12
IDLE = {"script": "sleep", "args": "1000000", "instances": 100}


def row(what, ours, theirs, unit, bound=None):
    """`bound`: (smallest, largest) ratio."""
    ratio = ours / theirs
    verdict = "" if bound is None else "ok" if bound[0] <= ratio <= bound[1] else "MISSED"
    print(f"{what:<68} {ours:>9.2f} {theirs:>9.2f} {unit:<4} {ratio:>6.2f}  {verdict}", flush=True)


def memory(options):
    """100 idle workers, before and after 10,000 restarts of others."""
    with_supd(options, lambda supd: memory_of(supd, options))


def memory_of(supd, options):
    supd.ctl("start", supd.declare(name="idle", **IDLE))
    own = supd.own_processes()
    time.sleep(SETTLED)
    row("memory with 100 idle workers, to 8 MB", pss(own), 8, "MB", (0, 1))
    slept = sleeps(own)
    time.sleep(20)
    row("wake-ups in 20 s idle, to 1", sleeps(own) - slept, 1, "", (0, 1))
    # The heap finds its size in the first ones.
    flap(supd, options.restarts // 10)
    before, files = pss(own), open_files(own)
    rate = flap(supd, options.restarts)
    row(f"memory after {options.restarts} restarts, to after a tenth", pss(own), before, "MB", (0, 1.05))
    row("open descriptors, to the same", open_files(own), files, "", (0, 1))
    print(f"{rate:.0f} restarts a second")


def flap(supd, count):
    """Four workers that end at once, until they have been started again so often; returns the rate per second."""
    flapping = {"script": "true", "instances": 4, "max_restarts": 1_000_000, "min_uptime": 1, "restart_delay": 0}
    supd.ctl("start", supd.declare(name="flapping", **flapping))
    begun = time.monotonic()
    restarts = lambda: sum(worker["pm2_env"]["restart_time"] for worker in supd.workers())
    while restarts() < count:
        time.sleep(1)
    rate = count / (time.monotonic() - begun)
    supd.ctl("delete", "flapping")
    time.sleep(SETTLED)
    return rate


def list_(options):
    """The whole process, from exec to exit."""
    with_supd(options, lambda supd: list_of(supd, options))


def list_of(supd, options):
    supd.ctl("start", supd.declare(name="idle", **IDLE))
    time.sleep(3)
    ours, version, nothing = [], [], []
    for _ in range(30):
        ours.append(whole_process(supd.command, "list", environment=supd.environment))
        version.append(whole_process(supd.command, "--version"))
        nothing.append(whole_process("true"))
    row("supctl list, 100 workers, to 5 ms", median(ours), 5, "ms", (0, 1))
    row("supctl list, the fastest, to 5 ms", min(ours), 5, "ms")
    row("supctl list, to `supctl --version`", median(ours), median(version), "ms")
    row("supctl --version, to `true`", median(version), median(nothing), "ms")
    with_pm2(lambda pm2: list_against(pm2, median(ours)))


def list_against(pm2, ours):
    app = IDLE | {"instances": 20, "interpreter": "none", "exec_mode": "fork"}
    pm2.ctl("start", pm2.declare(name="idle", **app))
    time.sleep(3)
    for command in ("list", "jlist"):
        theirs = median(whole_process("pm2", command, environment=pm2.environment) for _ in range(10))
        row(f"supctl list (100 workers), to pm2 {command} (20)", ours, theirs, "ms", (0, 1))
    print(f"PM2's daemon with 20 idle workers: {pss(pm2.own_processes()):.1f} MB")


def start(options):
    """100 workers from one declaration, until all exist."""
    with_supd(options, lambda supd: start_of(supd, options))


def start_of(supd, options):
    file = supd.declare(name="idle", **IDLE)
    ours, bare = [], []
    for _ in range(options.rounds):
        ours.append(milliseconds(lambda: supd.ctl("start", file)))
        if any(worker["pid"] == 0 for worker in supd.workers()):
            raise SystemExit("`supctl start` returned too early")
        supd.ctl("delete", "idle")
        bare.append(bare_starts(100))
    row("start of 100 workers, to bare fork+exec", median(ours), median(bare), "ms", (0, 2))


def bare_starts(count):
    """Milliseconds; what was started is ended again."""
    started = []
    spent = milliseconds(lambda: started.extend(bare_start("sleep", "1000000", quiet=True) for _ in range(count)))
    for pid in started:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    return spent


def crash(options):
    """From SIGKILL of a worker until its replacement runs and says so."""
    with_supd(options, lambda supd: crash_of(supd, options))


def crash_of(supd, options):
    told = str(Path(supd.home, "told"))
    os.mkfifo(told)
    fifo = os.open(told, os.O_RDWR)
    hello = lambda: int(os.read(fifo, 100))
    say = f"echo $$ > {told}; exec sleep 1000000"
    # Twenty idle ones beside it: a supervisor is never alone with one worker.
    supd.ctl("start", supd.declare(name="idle", **IDLE | {"instances": 20}))
    rules = {"max_restarts": 1_000_000, "min_uptime": 1, "restart_delay": 0}
    supd.ctl("start", supd.declare(name="crashing", script="/bin/sh", args=["-c", say], **rules))
    ours, bare = [], []
    worker, own = hello(), bare_start("/bin/sh", "-c", say)
    hello()
    for _ in range(options.rounds * 3):
        time.sleep(0.05)
        killed = time.perf_counter()
        os.kill(worker, signal.SIGKILL)
        worker = hello()
        ours.append((time.perf_counter() - killed) * 1e3)
        time.sleep(0.05)
        killed = time.perf_counter()
        os.kill(own, signal.SIGKILL)
        os.waitpid(own, 0)
        own = bare_start("/bin/sh", "-c", say)
        hello()
        bare.append((time.perf_counter() - killed) * 1e3)
    os.kill(own, signal.SIGKILL)
    os.waitpid(own, 0)
    row("crash to replacement, less a bare one, to 3 ms", median(ours) - median(bare), 3, "ms", (0, 1))
    row("crash to replacement, to bare wait+fork+exec", median(ours), median(bare), "ms")


def cluster(options):
    """Requests a second and processor time a request, contestants taking turns.

    Many short rounds: which worker accepts how many of the connections that are then kept is drawn at the start of each.
    """
    for workers in (2, 4):
        with_supd(options, lambda supd: with_pm2(lambda pm2: cluster_of([supd, Inherited(), pm2], workers, options),
                                                 otherwise=lambda: cluster_of([supd, Inherited()], workers, options)))


def cluster_of(contestants, workers, options):
    try:
        for contestant in contestants:
            contestant.serve(workers)
            answering(contestant.port, workers)
        for close in (False, True):
            compare(contestants, workers, close, options)
    finally:
        contestants[1].close()


def compare(contestants, workers, close, options):
    rates = {contestant.name: [] for contestant in contestants}
    costs = {contestant.name: [] for contestant in contestants}
    for round in range(options.rounds + 1):
        for contestant in contestants if round % 2 else reversed(contestants):
            processes = contestant.processes()
            before = processor_seconds(processes)
            seen = Load(contestant.port, options.seconds, close).wait()
            if seen.failed:
                print(f"{contestant.name}: {seen.failed} of {seen.requests} requests failed")
            # The first round only warms up.
            if round > 0:
                rates[contestant.name].append(seen.rate)
                costs[contestant.name].append((processor_seconds(processes) - before) / seen.requests * 1e6)
    ours, *others = contestants
    kind = "a connection a request" if close else "kept alive"
    for other in others:
        what = f"{workers} workers, {kind}, to {other.name}"
        bound = (0.95, float("inf")) if other.name == Inherited.name else None
        row(f"{what}: rate", median(rates[ours.name]), median(rates[other.name]), "1/s", bound)
        row(f"{what}: processor", median(costs[ours.name]), median(costs[other.name]), "us")


def takeover(options):
    """kill -9 of the supervisor under load."""
    with_supd(options, takeover_of)


def takeover_of(supd):
    supd.serve(2)
    answering(supd.port, 2)
    pids = [worker["pid"] for worker in supd.workers()]
    times, usual, failed, requests = [], [], 0, 0
    for _ in range(10):
        load = Load(supd.port, 13)
        # One that has lived for 10 s is started again at once.
        time.sleep(10.5)
        usual.append(whole_process(supd.command, "list", environment=supd.environment))
        os.kill(supd.own_processes()[1], signal.SIGKILL)
        times.append(whole_process(supd.command, "list", environment=supd.environment))
        load.wait()
        failed, requests = failed + load.failed, requests + load.requests
    row("kill -9 of the supervisor to `supctl list`, to 100 ms", median(times), 100, "ms", (0, 1))
    row("the same, to `supctl list` under the same load", median(times), median(usual), "ms")
    same = pids == [worker["pid"] for worker in supd.workers()]
    print(f"requests that failed: {failed} of {requests}; workers are the same: {same}")


def reload(options):
    """The time a reload of four workers takes, and what clients notice of it."""
    def measure(contestants):
        reloads.reload_time(contestants, options, row)
        reloads.reload_noticed(contestants, options, row)

    against(options, measure)


def gap(options):
    """What clients notice when the supervisor is killed, and of an upgrade."""
    with_supd(options, lambda supd: reloads.gap(supd, options, row))


def logs(options):
    """Output into files, against `cat > file` and PM2."""
    measure = lambda supd, pm2: writers.compare(supd, pm2, options, row)
    with_supd(options, lambda supd: with_pm2(lambda pm2: measure(supd, pm2), otherwise=lambda: measure(supd, None)))


def sampling(options):
    """500 workers that are looked at every second."""
    with_supd(options, lambda supd: limits.sampling(supd, row))


def limit(options):
    """How soon one that is too large has been replaced."""
    against(options, lambda contestants: limits.crossing(contestants, options, row))


def watch(options):
    """A large tree that is watched."""
    against(options, lambda contestants: limits.watching(contestants, row))


def against(options, measure):
    """supd, and PM2 where there is one."""
    with_supd(options, lambda supd: with_pm2(lambda pm2: measure([supd, pm2]), otherwise=lambda: measure([supd])))


def with_supd(options, measure):
    supd = Supd(options.binaries)
    try:
        measure(supd)
    finally:
        supd.close()


def with_pm2(measure, otherwise=lambda: None):
    if shutil.which("pm2") is None:
        print("no `pm2` on the PATH: not compared with")
        return otherwise()
    pm2 = Pm2()
    try:
        measure(pm2)
    finally:
        pm2.close()


MEASUREMENTS = {"memory": memory, "list": list_, "start": start, "crash": crash, "cluster": cluster, "takeover": takeover,
                "reload": reload, "gap": gap, "logs": logs, "sampling": sampling, "limit": limit, "watch": watch}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("measurements", nargs="*", metavar="MEASUREMENT", help=" ".join(MEASUREMENTS))
    parser.add_argument("--binaries", default=ROOT / "target/release", help="directory of supd and supctl")
    parser.add_argument("--rounds", type=int, default=31, help="how often contestants take turns (default 31)")
    parser.add_argument("--seconds", type=int, default=1, help="length of one round of load (default 1)")
    parser.add_argument("--restarts", type=int, default=10_000)
    parser.add_argument("--reloads", type=int, default=5, help="how often what concerns reloads is measured (default 5)")
    parser.add_argument("--megabytes", type=int, default=512, help="output that is logged at a time (default 512)")
    options = parser.parse_args()
    unknown = set(options.measurements) - set(MEASUREMENTS)
    if unknown:
        parser.error(f"no such measurement: {', '.join(unknown)}")
    # So that an end by `kill` ends what was started too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended"))
    print(f"{'':<68} {'ours':>9} {'theirs':>9} {'':<4} {'ratio':>6}")
    for name in options.measurements or MEASUREMENTS:
        MEASUREMENTS[name](options)


if __name__ == "__main__":
    main()
