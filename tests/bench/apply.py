"""Measure the updates per second of `apply` and of its alternatives, and print a table.

    python tests/bench/apply.py [--updates 4000] [--rounds 3] [--slow 50] [--concurrency 4,16]

The stub runs in its own process; every row sends the same updates over the loopback. The best of several interleaved
rounds counts, so that a busy machine affects all rows alike. curl and wrk are skipped with a note if missing.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 4\r\n\r\nnull"
JOBS = 100
PATH = "/apis/jobs/v2/workspaces/default/jobs/{}/status-details"


class Stub(asyncio.Protocol):
    """Answer every request with 200 and `null`, at once or after `delay` seconds."""

    def __init__(self, delay: float) -> None:
        """Set the seconds that each response takes."""
        self.delay, self.data, self.transport = delay, b"", None

    def connection_made(self, transport):
        """Store the transport."""
        self.transport = transport

    def data_received(self, data):
        """Answer each complete request."""
        self.data += data
        while True:
            head, end, rest = self.data.partition(b"\r\n\r\n")
            header = re.search(rb"\r\ncontent-length: *(\d+)", head, re.IGNORECASE)
            length = int(header[1]) if header else 0
            if not end or len(rest) < length:
                return
            self.data = rest[length:]
            if self.delay:
                asyncio.get_running_loop().call_later(self.delay, self.transport.write, ANSWER)
            else:
                self.transport.write(ANSWER)


async def serve(delay: float) -> None:
    """Serve on a free port, and print it."""
    server = await asyncio.get_running_loop().create_server(lambda: Stub(delay), "127.0.0.1", 0, backlog=256)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def stub(delay: float) -> tuple[subprocess.Popen, str]:
    """Start a stub in its own process; return it and its URL."""
    words = [sys.executable, __file__, "--serve", str(delay)]
    child = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    return child, f"http://127.0.0.1:{child.stdout.readline().strip()}"


def details(number: int) -> dict:
    """Return the fields of an update."""
    return {"status": "running", "progress": number % 100, "step": number}


def loop(url: str, updates: int) -> None:
    """Send the updates with a plain httpx client, as a script would."""
    import httpx

    with httpx.Client() as client:
        for number in range(updates):
            client.patch(url + PATH.format(f"job-{number % JOBS}"), json=details(number)).raise_for_status()


def timed(words: list[str], env: dict[str, str]) -> float:
    """Return the duration of a command in seconds."""
    started = time.perf_counter()
    result = subprocess.run(words, env=env, capture_output=True, text=True)
    if result.returncode:
        sys.exit(f"{words} failed: {result.stderr or result.stdout}")
    return time.perf_counter() - started


def files(folder: Path, url: str, updates: int) -> tuple[str, str, str]:
    """Write the updates as input of `apply`, curl and wrk."""
    lines, blocks = [], []
    for number in range(updates):
        job, body = f"job-{number % JOBS}", json.dumps(details(number))
        lines.append(f'{{"job": "{job}", "status_details": {body}}}\n')
        quoted = body.replace("\\", "\\\\").replace('"', '\\"')
        blocks.append(
            f'url = "{url}{PATH.format(job)}"\nrequest = "PATCH"\nheader = "Content-Type: application/json"\n'
            f'data-binary = "{quoted}"\noutput = "/dev/null"\n'
        )
    script = f'wrk.method = "PATCH"\nwrk.body = {json.dumps(json.dumps(details(1)))}\nwrk.headers["Content-Type"] = "application/json"\n'
    paths = folder / "updates.ndjson", folder / "curl.conf", folder / "wrk.lua"
    for path, text in zip(paths, ("".join(lines), "next\n".join(blocks), script), strict=True):
        path.write_text(text)
    return tuple(map(str, paths))


def fast(tool: str, updates: int, rounds: int, env: dict[str, str]) -> tuple[dict[str, float], list[str]]:
    """Return the requests per second of each sender on one connection, start-up included, and the missing ones."""
    child, url = stub(0)
    missing = [name for name in ("curl", "wrk") if shutil.which(name) is None]
    with tempfile.TemporaryDirectory() as folder:
        ndjson, conf, lua = files(Path(folder), url, updates)
        senders = {
            "apply --no-fold --concurrency 1": [
                tool,
                "apply",
                ndjson,
                "--no-fold",
                "--concurrency",
                "1",
                "--host",
                url,
            ],
            "httpx.Client loop": [sys.executable, __file__, "--loop", url, "--updates", str(updates)],
            "curl -K": ["curl", "-sS", "-f", "-K", conf],
        }
        best = {name: 0.0 for name, words in senders.items() if words[0] not in missing}
        wrk = 0.0
        for _ in range(rounds):
            for name, rate in best.items():
                best[name] = max(rate, updates / timed(senders[name], env))
            if "wrk" not in missing:
                words = ["wrk", "-t1", "-c1", "-d2s", "-s", lua, url + PATH.format("job-1")]
                said = subprocess.run(words, env=env, capture_output=True, text=True, check=True).stdout
                wrk = max(wrk, float(re.search(r"Requests/sec: *([\d.]+)", said)[1]))
    child.kill()
    child.wait()
    return best | ({"wrk (the ceiling)": wrk} if wrk else {}), missing


def slow(tool: str, delay: float, workers: int, env: dict[str, str]) -> float:
    """Return the requests per second against a stub that takes its time, start-up not included."""
    child, url = stub(delay)
    seconds = []
    with tempfile.TemporaryDirectory() as folder:
        for rounds in (5, 105):  # the difference is free of what starting costs
            path = Path(folder) / f"{rounds}.ndjson"
            rows = ({"job": f"job-{n % JOBS}", "status_details": details(n)} for n in range(rounds * workers))
            path.write_text("".join(json.dumps(row) + "\n" for row in rows))
            words = [tool, "apply", str(path), "--no-fold", "--concurrency", str(workers), "--host", url]
            seconds.append(timed(words, env))
    child.kill()
    child.wait()
    return 100 * workers / (seconds[1] - seconds[0])


def main() -> None:
    """Run the comparison and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", default=sys.executable, help="of the environment that holds nemo-jobs")
    parser.add_argument("--updates", type=int, default=4000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--slow", type=float, default=50, metavar="MS")
    parser.add_argument("--concurrency", default="4,16")
    parser.add_argument("--serve", type=float, help=argparse.SUPPRESS)
    parser.add_argument("--loop", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve is not None:
        asyncio.run(serve(options.serve))
    if options.loop:
        loop(options.loop, options.updates)
        return
    tool = str(Path(options.python).with_name("nemo-jobs"))
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    rates, missing = fast(tool, options.updates, options.rounds, env)
    base = rates["httpx.Client loop"]
    print(f"a fast stub, one connection, {options.updates} updates of {JOBS} jobs (best of {options.rounds})")
    for name, rate in rates.items():
        goal = "   goal >= 1.0, aim 2.0" if name.startswith("apply") else ""
        print(f"  {name:35} {rate:9.0f}/s  {rate / base:5.2f} x the loop{goal}")
    for name in missing:
        print(f"  {name:35} SKIPPED: not installed")
    print(f"a stub that takes {options.slow:g} ms")
    for workers in map(int, options.concurrency.split(",")):
        rate, most = slow(tool, options.slow / 1000, workers, env), workers / (options.slow / 1000)
        print(f"  {f'apply --concurrency {workers}':35} {rate:9.1f}/s  {rate / most:5.0%} of {most:g}/s   goal >= 90%")


if __name__ == "__main__":
    main()
