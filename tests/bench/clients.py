#!/usr/bin/env python3
"""Clients that ask until their standard input is closed; then they tell, as JSON, what came of it.

    clients.py PORT CLIENTS [--close] [--think SECONDS] [--slow EVERY]

Every request that is written and not answered in full is a failure, also on a connection that the server has closed in
between: stricter than most clients, which ask once more.
"""

import argparse
import asyncio
import json
import sys
import time
from collections import Counter


# An answer that takes longer does not come any more.
PATIENCE = 10


class Clients:
    def __init__(self, options):
        self.options = options
        self.answers = []
        self.failures = Counter()
        self.stop = asyncio.Event()

    async def run(self):
        loop = asyncio.get_running_loop()
        asking = [asyncio.create_task(self.ask(number)) for number in range(self.options.clients)]
        await loop.run_in_executor(None, sys.stdin.read)
        self.stop.set()
        await asyncio.gather(*asking)

    async def ask(self, number):
        kept, turn = None, number
        # Not all at the same moment.
        await asyncio.sleep(self.options.think * number / self.options.clients)
        while not self.stop.is_set():
            turn += 1
            slow = self.options.slow and turn % self.options.slow == 0
            begun = time.perf_counter()
            stage = "connecting"
            try:
                if kept is None:
                    kept = await asyncio.open_connection("127.0.0.1", self.options.port)
                stage = "asking"
                last = await asyncio.wait_for(self.answered(kept, "/slow" if slow else "/"), PATIENCE)
                self.answers.append((time.perf_counter(), 0 if slow else time.perf_counter() - begun))
                if last:
                    kept = kept[1].close()
            except (OSError, EOFError, ValueError, asyncio.TimeoutError) as error:
                self.failures[f"{stage}: {type(error).__name__}"] += 1
                kept = None
            await asyncio.sleep(self.options.think)

    async def answered(self, stream, path):
        """Whether this was the last answer on the connection."""
        reader, writer = stream
        close = "Connection: close\r\n" if self.options.close else ""
        writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\n{close}\r\n".encode())
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        status, *lines = head.split("\r\n")
        fields = dict(line.split(": ", 1) for line in lines if line)
        if " 200 " not in status:
            raise ValueError(status)
        if fields.get("transfer-encoding") == "chunked":
            while await reader.readuntil(b"\r\n") != b"0\r\n":
                await reader.readuntil(b"\r\n")
            await reader.readuntil(b"\r\n")
        else:
            await reader.readexactly(int(fields["content-length"]))
        return fields.get("connection") == "close"

    def told(self):
        ends = [end for end, _ in self.answers]
        short = sorted(latency for _, latency in self.answers if latency)
        return {
            "requests": len(ends) + sum(self.failures.values()),
            "failures": self.failures,
            "p99": short[int(len(short) * 0.99)] * 1e3,
            "pause": max(later - end for end, later in zip(ends, ends[1:])) * 1e3,
        }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("port", type=int)
    parser.add_argument("clients", type=int)
    parser.add_argument("--close", action="store_true", help="one connection for each request")
    parser.add_argument("--think", type=float, default=0, help="seconds between an answer and the next request")
    parser.add_argument("--slow", type=int, default=0, help="every so manieth request is for /slow, which takes 500 ms")
    clients = Clients(parser.parse_args())
    asyncio.run(clients.run())
    json.dump(clients.told(), sys.stdout)


if __name__ == "__main__":
    main()
