"""What it costs to look after workers: figures, memory limits, watched trees; and how soon a limit acts."""

import json
import os
import shutil
import tempfile
import time
import urllib.request
from pathlib import Path
from statistics import median

from contestants import SERVER, answering, free_port
from measure import milliseconds, processor_seconds, pss, sleeps

WORKERS = 500
SAMPLED = 30
FILES = 100_000
FOLDERS = 1_000


def sampling(supd, row):
    """500 workers whose memory is limited, so that each is looked at every second, to the same without limits."""
    plain, limited = (cost_of(supd, limit) for limit in ({}, {"max_memory_restart": "1G"}))
    row(f"processor, {WORKERS} workers sampled every second, to 1 % of one", limited[0] * 100, 1, "%", (0, 1))
    row("the same, to a bare read of their /proc/PID/stat", limited[0] * 100, limited[2] * 100, "%")
    row("wake-ups a second with limits, to 2", limited[1], 2, "1/s", (0, 1))
    row("wake-ups a second without limits, to 0.05", plain[1], 0.05, "1/s", (0, 1))


def cost_of(supd, limit):
    """Processor seconds and wake-ups a second of ours, and what it takes to read the same processes once."""
    app = {"script": "sleep", "args": "1000000", "instances": WORKERS} | limit
    supd.ctl("start", supd.declare(name="many", **app))
    # tokio ends a thread for blocking calls that has had nothing to do for 10 s.
    time.sleep(12)
    own, pids = supd.own_processes(), [worker["pid"] for worker in supd.workers()]
    time.sleep(12)
    spent, slept = processor_seconds(own), sleeps(own)
    time.sleep(SAMPLED)
    spent, slept = processor_seconds(own) - spent, sleeps(own) - slept
    bare = time.process_time()
    for _ in range(SAMPLED):
        for pid in pids:
            Path(f"/proc/{pid}/stat").read_bytes()
    bare = time.process_time() - bare
    supd.ctl("delete", "many")
    return spent / SAMPLED, slept / SAMPLED, bare / SAMPLED


def crossing(contestants, options, row):
    """From the answer after which a worker is too large until another one answers in its place."""
    spent = {contestant.name: [] for contestant in contestants}
    for contestant in contestants:
        for _ in range(options.reloads):
            contestant.port = free_port()
            app = {"script": str(SERVER), "instances": 1, "exec_mode": "cluster", "max_memory_restart": "150M",
                   "env": {"PORT": contestant.port}}
            contestant.ctl("start", contestant.declare(name="growing", **app))
            answering(contestant.port, 1)
            grown = asked(contestant.port, "/grow")
            spent[contestant.name].append(milliseconds(lambda: replaced(contestant.port, grown)))
            contestant.ctl("delete", "growing")
    ours, *others = (median(spent[contestant.name]) for contestant in contestants)
    row("over the limit to the replacement that answers, to 2 s", ours, 2000, "ms", (0, 1))
    for other in others:
        row("the same, to PM2's", ours, other, "ms", (0, 1))


def replaced(port, pid):
    while True:
        try:
            if asked(port, "/") != pid:
                return
        except OSError:
            # PM2 stops first.
            pass
        time.sleep(0.01)


def asked(port, path):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=60) as answer:
        return json.load(answer)["pid"]


def watching(contestants, row):
    """A tree of 100,000 files: until the app is started and its tree is watched, and what is kept in memory for it."""
    tree = Path(tempfile.mkdtemp(prefix="bench-tree-"))
    try:
        for folder in range(FOLDERS):
            place = tree / f"f{folder}"
            place.mkdir()
            for file in range(FILES // FOLDERS):
                (place / f"{file}.js").touch()
        ours, *others = [watched(contestant, tree) for contestant in contestants]
        row(f"start until {FILES} files are watched, to a bare walk", ours[0], walk(tree), "ms")
        row("memory for it, to 1 KiB a folder", ours[1], FOLDERS / 1024, "MB")
        for other in others:
            row("start until they are watched, to PM2's", ours[0], other[0], "ms", (0, 1))
            row("memory for it, to PM2's", ours[1], other[1], "MB", (0, 1))
    finally:
        shutil.rmtree(tree)


def walk(tree):
    """Milliseconds that it takes to list everything once."""
    return milliseconds(lambda: sum(len(files) for _, _, files in os.walk(tree)))


def watched(contestant, tree):
    """Milliseconds until a change leads to a new process, and megabytes more than before."""
    script = tree / "main.js"
    script.write_text("setInterval(() => {}, 1e6)\n")
    before = pss(contestant.own_processes())
    app = {"script": str(script), "cwd": str(tree), "watch": True, "watch_delay": 0}
    begun = time.perf_counter()
    contestant.ctl("start", contestant.declare(name="watched", **app))
    first = contestant.workers()[0]["pid"]
    touched = tree / f"f{FOLDERS - 1}" / "0.js"
    while contestant.workers()[0]["pid"] == first:
        touched.write_text(str(time.time()))
        time.sleep(0.1)
    spent = (time.perf_counter() - begun) * 1e3
    more = pss(contestant.own_processes()) - before
    contestant.ctl("delete", "watched")
    return spent, more

