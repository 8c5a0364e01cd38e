"""How fast output gets into its file, against `cat > file` and PM2.

Each writer is `yes LINE | head -n COUNT`, which is faster than anybody can log: lines of 100 bytes in large writes.
"""

import os
import subprocess
import time
from pathlib import Path
from statistics import median

from measure import processor_seconds

LINE = "x" * 99
SIZE = len(LINE) + 1
MIB = 1 << 20
# No file is put aside and none is removed: only then can the result be counted, and `cat` does not do it either.
WHOLE = {"rotate_size": False, "max_total": False, "min_free": False}
# Files that have not grown for so many seconds are complete.
STILL = 1
ONCE = {"script": "sh", "interpreter": "none", "exec_mode": "fork", "autorestart": False, "merge_logs": False}


def script(lines):
    # What it has to do is to write: it ends with its last line.
    return f"yes {LINE} | head -n {lines}"


def through_cat(lines, writers, directory):
    """Seconds, and processor seconds, of one `cat` for each writer."""
    files = [Path(directory, f"cat-{number}") for number in range(writers)]
    before = os.times()
    begun = time.perf_counter()
    started = [subprocess.Popen(["sh", "-c", f"{script(lines)} | cat > {file}"]) for file in files]
    for process in started:
        process.wait()
    spent = time.perf_counter() - begun
    after = os.times()
    sizes = sum(file.stat().st_size for file in files)
    assert sizes == lines * writers * SIZE, sizes
    for file in files:
        file.unlink()
    return spent, after.children_user + after.children_system - before.children_user - before.children_system


def through(daemon, lines, writers, prefix):
    """Seconds until everything is in the files, and processor seconds of the daemon; counts the lines."""
    logs = Path(daemon.home, "measured")
    logs.mkdir(exist_ok=True)
    # It lives on: of one that ends, PM2 loses the end of the output.
    app = ONCE | {"name": "writer", "args": ["-c", script(lines) + "; exec sleep 1000"], "out_file": str(logs / "out.log"), "instances": writers}
    app |= WHOLE if daemon.name == "supd" else {}
    app |= {"time": True} if prefix else {}
    file = daemon.declare(**app)
    own = daemon.own_processes()
    used, begun = processor_seconds(own), time.perf_counter()
    daemon.ctl("start", file)
    spent = last_growth(logs) - begun
    used = processor_seconds(own) - used
    counted = sum(int(subprocess.check_output(["wc", "-l", str(path)]).split()[0]) for path in logs.iterdir())
    daemon.ctl("delete", "writer")
    for path in logs.iterdir():
        path.unlink()
    return spent, used, lines * writers - counted


def last_growth(logs):
    """When the files grew last. Nobody knows how long they will be with a prefix, or if lines are lost."""
    size, grown = 0, time.perf_counter()
    while size == 0 or time.perf_counter() - grown < STILL:
        time.sleep(0.005)
        now = sum(path.stat().st_size for path in logs.iterdir())
        if now > size:
            size, grown = now, time.perf_counter()
    return grown


def peak(processes):
    """The most resident memory they have had, in MB."""
    statuses = [Path(f"/proc/{pid}/status").read_text() for pid in processes]
    return sum(int(text.split("VmHWM:")[1].split()[0]) for text in statuses) / 1024


def compare(supd, pm2, options, row):
    megabytes = options.megabytes
    for writers in (1, 10):
        lines = megabytes * MIB // SIZE // writers
        cats, plain, dated = [], [], []
        for _ in range(options.rounds):
            cats.append(through_cat(lines, writers, supd.home))
            plain.append(through(supd, lines, writers, False))
            dated.append(through(supd, lines, writers, True))
        told(f"{writers} writers", megabytes, cats, plain, dated, row)
        if pm2:
            lines = lines // 10
            theirs = [through(pm2, lines, writers, False) for _ in range(2)]
            theirs_dated = [through(pm2, lines, writers, True) for _ in range(2)]
            for what, ours, other in (("plain", plain, theirs), ("time", dated, theirs_dated)):
                rate = rate_of(megabytes / 10, other)
                row(f"log, {writers} writers, {what}, to PM2", rate_of(megabytes, ours), rate, "MB/s", (10, 10**9))
                print(f"PM2 lost {sum(it[2] for it in other)} lines; {per_gib(megabytes / 10, other):.1f} CPU s a GiB")
    row("peak memory of supd after all that, to 16 MB", peak(supd.own_processes()), 16, "MB", (0, 1))
    if pm2:
        print(f"peak memory of PM2's daemon: {peak(pm2.own_processes()):.0f} MB")


def told(who, megabytes, cats, plain, dated, row):
    bare = rate_of(megabytes, cats)
    row(f"log, {who}, plain, to `cat > file`", rate_of(megabytes, plain), bare, "MB/s", (0.8, 10**9))
    row(f"log, {who}, with `time`, to `cat > file`", rate_of(megabytes, dated), bare, "MB/s", (0.4, 10**9))
    row(f"CPU of supd a GiB, {who}, plain, to writer and cat", per_gib(megabytes, plain), per_gib(megabytes, cats), "s")
    row(f"CPU of supd a GiB, {who}, `time`, to writer and cat", per_gib(megabytes, dated), per_gib(megabytes, cats), "s")
    lost = sum(it[2] for it in plain + dated)
    row(f"lines lost, {who}, of {len(plain + dated)} times {megabytes * MIB // SIZE}, to 1", lost, 1, "", (0, 0))


def rate_of(megabytes, measured):
    return megabytes / median(it[0] for it in measured)


def per_gib(megabytes, measured):
    return median(it[1] for it in measured) / megabytes * 1024
