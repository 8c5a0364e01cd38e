"""Says READY=1 after a while (sd_notify(3)). A bad build dies after that."""

import os
import socket
import sys
import time

time.sleep(0.2)
name = os.environ["NOTIFY_SOCKET"]
address = "\0" + name[1:] if name.startswith("@") else name
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
    notify.sendto(b"READY=1\nSTATUS=told", address)
if os.environ["BUILD"] == "dies":
    time.sleep(0.3)
    sys.exit("a bad build")
while True:
    time.sleep(60)
