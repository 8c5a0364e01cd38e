"""Who is measured: supd, PM2, and workers that accept from an inherited socket with nobody above them.

Each lives in a temporary directory of its own and is ended by `close`.
"""

import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

SERVER = Path(__file__).with_name("server.js")


class Daemon:
    """What supd and PM2 have in common: a command line, a directory, declarations, workers."""

    def __init__(self, command, home_variable):
        self.command = command
        self.home = tempfile.mkdtemp(prefix="bench-")
        self.environment = os.environ | {home_variable: self.home}
        self.ctl("ping")

    def ctl(self, *arguments):
        command = [self.command, *arguments]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True)
        if done.returncode != 0:
            raise SystemExit(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
        return done.stdout

    def declare(self, **app):
        """Writes a declaration and returns its path."""
        file = Path(self.home, f"{app['name']}.json")
        file.write_text(json.dumps({"apps": [app]}))
        return str(file)

    def serve(self, workers, **variables):
        self.port = free_port()
        environment = {"PORT": self.port} | variables
        app = {"script": str(SERVER), "instances": workers, "exec_mode": "cluster", "env": environment}
        self.ctl("start", self.declare(name="http", **app))

    def reload(self):
        self.ctl("reload", "http")

    def workers(self):
        return json.loads(self.ctl("jlist").splitlines()[-1])

    def processes(self):
        """Everything whose processor time the requests cost."""
        return self.own_processes() + [worker["pid"] for worker in self.workers()]

    def close(self):
        daemon = Path("/proc", str(self.own_processes()[0]))
        self.ctl("kill")
        while daemon.exists():
            time.sleep(0.01)
        shutil.rmtree(self.home)


class Supd(Daemon):
    name = "supd"

    def __init__(self, binaries):
        super().__init__(str(Path(binaries, "supctl").resolve(strict=True)), "SUPD_HOME")

    def own_processes(self):
        daemon = json.loads(self.ctl("ping", "--json"))
        return [daemon["keeper_pid"], daemon["supervisor_pid"]]


class Pm2(Daemon):
    name = "PM2"

    def __init__(self):
        super().__init__("pm2", "PM2_HOME")

    def own_processes(self):
        return [int(Path(self.home, "pm2.pid").read_text())]


class Inherited:
    """The bound of what is possible: the same workers on one socket, and no supervisor."""

    name = "inherited socket"

    def serve(self, workers):
        with socket.create_server(("127.0.0.1", 0), backlog=511) as listener:
            self.port = listener.getsockname()[1]
            number = listener.fileno()
            environment = os.environ | {"LISTEN_FD": str(number)}
            # A session each, as supd gives its workers: with autogroups (sched(7)) the scheduler shares the processors
            # out to sessions, not to processes.
            own = {"env": environment, "pass_fds": [number], "start_new_session": True}
            self.started = [subprocess.Popen(["node", str(SERVER)], **own) for _ in range(workers)]

    def processes(self):
        return [process.pid for process in self.started]

    def close(self):
        for process in self.started:
            process.kill()
            process.wait()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def answering(port, workers, patience=30):
    """Waits until so many workers have answered."""
    seen, until = set(), time.monotonic() + patience
    while len(seen) < workers:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=patience) as answer:
                seen.add(json.load(answer)["pid"])
        except urllib.error.URLError:
            # PM2 does not wait until they listen.
            if time.monotonic() > until:
                raise
            time.sleep(0.02)
