"""What a reload costs, and whether anybody outside notices it, or the death of the supervisor."""

import os
import signal
import socket
import subprocess
import time
from collections import Counter
from statistics import median

from contestants import SERVER, Supd, answering, free_port
from measure import Clients, bare_start, milliseconds

WORKERS = 4
# Of the app: what it does before it listens. Few need less than the first, and a large one takes the second.
BOOTS = (0, 1000)


def reload_time(contestants, options, row):
    """Of four workers one after the other, to four times the app's own boot."""
    for boot in BOOTS:
        own = median(boot_time(boot) for _ in range(options.reloads))
        print(f"an app that boots in {own:.0f} ms")
        for contestant in contestants:
            contestant.serve(WORKERS, BOOT_MS=boot)
            answering(contestant.port, WORKERS)
            spent = median(milliseconds(contestant.reload) for _ in range(options.reloads))
            bound = (0, 1.25) if contestant.name == Supd.name else None
            row(f"{contestant.name}: reload of {WORKERS}, to {WORKERS} boots", spent, WORKERS * own, "ms", bound)
            contestant.ctl("delete", "http")


def boot_time(boot):
    """Milliseconds from the start of the bare app until it accepts."""
    port = free_port()
    environment = os.environ | {"PORT": str(port), "BOOT_MS": str(boot)}
    begun = time.perf_counter()
    pid = bare_start("node", str(SERVER), environment=environment, quiet=True)
    try:
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                return (time.perf_counter() - begun) * 1e3
            except ConnectionRefusedError:
                time.sleep(0.001)
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def reload_noticed(contestants, options, row):
    """50 clients at an easy pace, every tenth request of 500 ms, while the app is reloaded again and again."""
    for close in (False, True):
        for contestant in contestants:
            contestant.serve(WORKERS)
            answering(contestant.port, WORKERS)
            noticed_of(contestant, close, options, row)
            contestant.ctl("delete", "http")


def noticed_of(contestant, close, options, row):
    kind = "a connection a request" if close else "kept alive"
    rest, moving = [], []
    failures, requests, reloads = Counter(), 0, 0
    for _ in range(options.reloads):
        quiet = Clients(contestant.port, 50, close=close, think=0.1, slow=10)
        time.sleep(5)
        rest.append(quiet.end()["p99"])
        crowd = Clients(contestant.port, 50, close=close, think=0.1, slow=10)
        until = time.monotonic() + 5
        while time.monotonic() < until:
            contestant.reload()
            reloads += 1
        seen = crowd.end()
        moving.append(seen["p99"])
        failures.update(seen["failures"])
        requests += seen["requests"]
    name = f"{contestant.name}, {kind}"
    row(f"{name}: p99 in reloads, to p99 at rest", median(moving), median(rest), "ms")
    print(f"{name}: {sum(failures.values())} of {requests} requests failed in {reloads} reloads {dict(failures) or ''}")


def gap(supd, options, row):
    """The longest pause between two answers to a few clients that ask without a break."""
    supd.serve(2)
    answering(supd.port, 2)
    for what, disturb in DISTURBANCES.items():
        pauses, usual, failures, requests = [], [], Counter(), 0
        for _ in range(options.reloads * 2):
            for happens, pause in ((lambda _: None, usual), (disturb, pauses)):
                crowd = Clients(supd.port, 4)
                time.sleep(1)
                happens(supd)
                time.sleep(1)
                seen = crowd.end()
                pause.append(seen["pause"])
                failures.update(seen["failures"])
                requests += seen["requests"]
            # A supervisor that has lived for 10 s is started again at once.
            time.sleep(10)
        row(f"longest pause around {what}, to the same at rest", median(pauses), median(usual), "ms")
        print(f"{what}: {sum(failures.values())} of {requests} requests failed {dict(failures) or ''}")


def kill_supervisor(supd):
    os.kill(supd.own_processes()[1], signal.SIGKILL)


DISTURBANCES = {"kill -9 of the supervisor": kill_supervisor}
