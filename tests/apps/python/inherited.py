"""A server on an inherited socket that speaks sd_notify(3), of the standard library alone.

It says `READY=1` at once, or when READY_FILE is there; and `WATCHDOG=1` as often as asked to, until MUTE_FILE is there.
"""

import json
import os
import signal
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit


def say(text):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        name = os.environ["NOTIFY_SOCKET"]
        notify.connect("\0" + name[1:] if name.startswith("@") else name)
        notify.send(text.encode())


def wait_for(variable):
    file = os.environ.get(variable)
    while file and not os.path.exists(file):
        time.sleep(0.02)


def say_ready():
    wait_for("READY_FILE")
    say("READY=1\nSTATUS=warm")


def say_alive():
    """Twice as often as it has to."""
    span = int(os.environ["WATCHDOG_USEC"]) / 2e6
    mute = os.environ.get("MUTE_FILE")
    while not (mute and os.path.exists(mute)):
        say("WATCHDOG=1")
        time.sleep(span)


class Answer(BaseHTTPRequestHandler):
    def do_GET(self):
        url = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        if url.path == "/slow":
            print("slow")
            time.sleep(int(query["ms"]) / 1000)
        if url.path == "/say":
            say(query["text"])
        body = json.dumps({"pid": os.getpid(), "version": os.environ.get("VERSION", "")}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    # Closing it waits for the answers that are due.
    daemon_threads = False


server = Server(("", 0), Answer, bind_and_activate=False)
server.socket = socket.socket(fileno=3)
# Others accept from it too: who comes second must not wait in accept(2).
server.socket.setblocking(False)


def finish(*_):
    threading.Thread(target=server.shutdown).start()


signal.signal(signal.SIGTERM, finish)
threading.Thread(target=say_ready, daemon=True).start()
if "WATCHDOG_USEC" in os.environ:
    threading.Thread(target=say_alive, daemon=True).start()
server.serve_forever(poll_interval=0.05)
server.server_close()
