"""An HTTP server on the socket that it inherits; one request at a time, and none is left when it goes."""

import json
import os
import signal
import socket
import time
from http.server import BaseHTTPRequestHandler, HTTPServer


class Page(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/slow":
            time.sleep(0.1)
        body = json.dumps({"pid": os.getpid()}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


going = []
signal.signal(signal.SIGTERM, lambda *_: going.append(True))
server = HTTPServer(("", 0), Page, bind_and_activate=False)
server.socket.close()
server.socket = socket.socket(fileno=3)
# Another worker may be faster: then accept(2) must not wait for the next connection.
os.set_blocking(3, False)
server.timeout = 0.1
while not going:
    server.handle_request()
