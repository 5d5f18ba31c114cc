"""Measure a fleet: many `nemo-jobs stream` on a server that handles one request at a time; print a table.

    python tests/bench/fleet.py [--writers 80] [--service 150] [--seconds 60] [--deadline 30] [nemo-jobs ...]

Each writer gets an update every 0.25 s, and all end at once. Several commands (old and new) give one row each. The stub
counts as useful what it answered before the client had gone; a request whose client has gone is handled all the same.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from http import HTTPStatus
from pathlib import Path

UPDATE_INTERVAL = 0.25


class Stub:
    """A server that handles one PATCH at a time in `service` seconds."""

    def __init__(self, service: float) -> None:
        self.service = service
        self.turn = asyncio.Lock()
        self.served = self.useful = 0
        self.jobs: dict[str, dict] = {}
        self.acknowledged: dict[str, int] = {}

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection."""
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = re.search(rb"\r\ncontent-length: *(\d+)", head, re.IGNORECASE)
                body = await reader.readexactly(int(length[1])) if length else b"{}"
                job = head.split(b"/jobs/")[-1].split(b"/")[0].decode()
                if head.startswith(b"GET"):
                    writer.write(response({"name": job, "status_details": self.jobs.get(job, {})}))
                    continue
                async with self.turn:
                    await asyncio.sleep(self.service)
                    self.served += 1
                    self.jobs.setdefault(job, {}).update(json.loads(body))
                    if not reader.at_eof():
                        self.useful += 1
                        self.acknowledged[job] = self.acknowledged.get(job, 0) + 1
                writer.write(response(None))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


def response(document: object) -> bytes:
    """Return a response with a JSON body."""
    body = json.dumps(document).encode()
    head = f"HTTP/1.1 {HTTPStatus.OK:d} OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def start(stub: Stub) -> str:
    """Run the stub on a thread; return its URL."""
    ports: list[int] = []
    started = threading.Event()

    async def serve() -> None:
        server = await asyncio.start_server(stub.handle, "127.0.0.1", 0, backlog=4096)
        ports.append(server.sockets[0].getsockname()[1])
        started.set()
        await server.serve_forever()

    threading.Thread(target=asyncio.run, args=(serve(),), daemon=True).start()
    started.wait()
    return f"http://127.0.0.1:{ports[0]}"


def measure(command: str, options: argparse.Namespace) -> dict[str, object]:
    """Run one fleet, and return a row of the table."""
    stub = Stub(options.service / 1000)
    words = [*command.split(), "stream", "--host", start(stub), "-q"]
    words += ["--deadline", options.deadline] if options.deadline else []
    with tempfile.TemporaryDirectory() as home:
        env = {"PATH": os.environ["PATH"], "HOME": home, "TMPDIR": home}
        fleet = [
            subprocess.Popen([*words, f"job-{number}"], stdin=subprocess.PIPE, stderr=subprocess.PIPE, env=env)
            for number in range(options.writers)
        ]
        ends, step = time.monotonic() + options.seconds, 0
        while time.monotonic() < ends:
            step += 1
            feed(fleet, f"step={step}\n")
            time.sleep(UPDATE_INTERVAL)
        feed(fleet, "step=-1 status=completed\n")
        ended = time.monotonic()
        for process in fleet:
            process.stdin.close()
        codes = [process.wait() for process in fleet]
    finals = sum(job.get("status") == "completed" and job["step"] == -1 for job in stub.jobs.values())
    counts = [stub.acknowledged.get(f"job-{number}", 0) for number in range(options.writers)]
    return {
        "command": Path(command.split(maxsplit=1)[0]).name,
        "writers": options.writers,
        "exit 0": codes.count(0),
        "final states": finals,
        "useful work": f"{stub.useful / max(1, stub.served):.2f}",
        "requests": stub.served,
        "Jain": f"{sum(counts) ** 2 / max(1, len(counts) * sum(count * count for count in counts)):.2f}",
        "last exit": f"{time.monotonic() - ended:.1f} s",
    }


def feed(fleet: list[subprocess.Popen], line: str) -> None:
    """Write a line to each writer that still reads."""
    for process in fleet:
        try:
            process.stdin.write(line.encode())
            process.stdin.flush()
        except BrokenPipeError:
            continue


def main() -> None:
    """Print a row for each command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--writers", type=int, default=80)
    parser.add_argument("--service", type=float, default=150, help="milliseconds for one PATCH")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--deadline", help="the deadline of each writer; default: that of the command")
    parser.add_argument("commands", nargs="*", default=[f"{sys.executable} -m nemo_jobs_cli"])
    options = parser.parse_args()
    for number, command in enumerate(options.commands):
        row = measure(command, options)
        if number == 0:
            print(" | ".join(row))
        print(" | ".join(f"{value!s:>{len(name)}}" for name, value in row.items()), flush=True)


if __name__ == "__main__":
    main()
