"""How things are measured: time, memory, descriptors, wake-ups, requests."""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path


def milliseconds(action):
    """How long an action takes."""
    begun = time.perf_counter()
    action()
    return (time.perf_counter() - begun) * 1e3


def bare_start(*command, environment=None, quiet=False):
    """The cheapest start there is: posix_spawn(3), which glibc does by vfork and exec."""
    silence = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)] if quiet else []
    return os.posix_spawnp(command[0], command, environment or os.environ, file_actions=silence)


def whole_process(*command, environment=None):
    """Milliseconds from the start of a command to its end."""

    def run():
        pid = bare_start(*command, environment=environment, quiet=True)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        if code != 0:
            raise SystemExit(f"{' '.join(command)} exited with {code}")

    return milliseconds(run)


def pss(processes):
    """Proportional set size in MB: a page that n processes share counts 1/n in each."""
    rollups = [Path(f"/proc/{pid}/smaps_rollup").read_text() for pid in processes]
    return sum(int(re.search(r"^Pss:\s+(\d+)", text, re.M)[1]) for text in rollups) / 1024


def open_files(processes):
    return sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in processes)


def sleeps(processes):
    """How often their threads have gone to sleep, which is how often they were woken."""
    statuses = [status.read_text() for pid in processes for status in Path(f"/proc/{pid}/task").glob("*/status")]
    return sum(int(re.search(r"^voluntary_ctxt_switches:\s+(\d+)", text, re.M)[1]) for text in statuses)


def processor_seconds(processes):
    """User and system time (proc_pid_stat(5))."""
    fields = [Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split() for pid in processes]
    return sum(int(of[11]) + int(of[12]) for of in fields) / os.sysconf("SC_CLK_TCK")


class Load:
    """wrk at work: 50 connections, kept or one for each request."""

    def __init__(self, port, seconds, close=False):
        header = ["-H", "Connection: close"] if close else []
        command = ["wrk", "-t", "1", "-c", "50", "-d", f"{seconds}s", *header, f"http://127.0.0.1:{port}/"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    def wait(self):
        text = self.process.communicate()[0]
        self.rate = float(re.search(r"Requests/sec:\s+([\d.]+)", text)[1])
        self.requests = int(re.search(r"(\d+) requests in", text)[1])
        failures = re.search(r"Socket errors: (.*)", text), re.search(r"Non-2xx.*: (.*)", text)
        self.failed = sum(int(number) for line in failures if line for number in re.findall(r"\d+", line[1]))
        return self


class Clients:
    """clients.py at work. Unlike wrk it asks at a given pace, and tells the longest pause and failures by kind."""

    def __init__(self, port, clients, close=False, think=0, slow=0):
        program = Path(__file__).with_name("clients.py")
        how = ["--close"] * close + ["--think", str(think), "--slow", str(slow)]
        command = [sys.executable, str(program), str(port), str(clients), *how]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def end(self):
        return json.loads(self.process.communicate()[0])
