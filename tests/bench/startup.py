"""Measure one call beside its alternatives, and print a table of ratios.

    python tests/bench/startup.py --python ENV/bin/python [--nemo NEMO_ENV/bin/nemo --host URL --job NAME]

ENV must hold nemo-jobs installed by pip (not editable), with its bytecode compiled; PYTHONDONTWRITEBYTECODE is
removed. `--nemo` adds the official command, on a running platform at `--host` where the job exists. Needs hyperfine.
"""

from __future__ import annotations

import argparse
import http.server
import json
import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path


class Stub(http.server.BaseHTTPRequestHandler):
    """Answer every PATCH with 200 and `null`, as fast as Python can."""

    protocol_version = "HTTP/1.1"

    def do_PATCH(self):
        """Read the body, answer `null`."""
        self.rfile.read(int(self.headers["Content-Length"]))
        self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 4\r\n\r\nnull")

    def log_message(self, *_args):
        """Log nothing."""


# As the completion scripts call it.
TAB = "from nemo_jobs_cli.__main__ import main; main()"
BREAKS = " \t\n=:@"


def hyperfine(commands: dict[str, list[str]], env: dict[str, str], runs: int) -> dict[str, float]:
    """Return the mean seconds of each command."""
    with tempfile.NamedTemporaryFile(suffix=".json") as report:
        call = ["hyperfine", "-N", "--warmup", "3", "--runs", str(runs), "--export-json", report.name]
        for words in commands.values():
            call.append(" ".join(f"'{word}'" if " " in word else word for word in words))
        subprocess.run(call, env=env, check=True, stdout=subprocess.DEVNULL)
        results = json.loads(Path(report.name).read_bytes())["results"]
    return dict(zip(commands, (result["mean"] for result in results), strict=True))


def peak(words: list[str], env: dict[str, str]) -> float:
    """Return the peak resident memory of a command in MiB."""
    child = subprocess.Popen(words, env=env, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        sys.exit(f"{words} failed")
    return usage.ru_maxrss / 1024


def main() -> None:
    """Run the comparison and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--nemo")
    parser.add_argument("--host")
    parser.add_argument("--job", default="bench-job")
    parser.add_argument("--runs", type=int, default=30)
    options = parser.parse_args()
    tool = str(Path(options.python).with_name("nemo-jobs"))
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    stub = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Stub)
    threading.Thread(target=stub.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{stub.server_port}"
    update = [tool, "update", options.job, "status=running", "progress=45", "--host"]
    libraries = "python -c 'import typer, rich.console'"
    script = f'import httpx; httpx.patch("{url}/x", json=dict(progress=45))'
    commands = {
        "python -c pass": [options.python, "-c", "pass"],
        "nemo-jobs --version": [tool, "--version"],
        "a TAB": [options.python, "-P", "-c", TAB, "__complete", "bash", BREAKS, "update", options.job, "status=r"],
        "a TAB by the console script": [tool, "__complete", "bash", BREAKS, "update", options.job, "status=r"],
        libraries: [options.python, "-c", "import typer, rich.console"],
        "nemo-jobs --help": [tool, "--help"],
        "nemo-jobs update --help": [tool, "update", "--help"],
        "python -c 'import httpx; httpx.patch(...)'": [options.python, "-c", script],
        "nemo-jobs update (stub)": [*update, url],
    }
    if options.nemo:
        body = ["--body", json.dumps({"progress": 45}, separators=(",", ":"))]
        env |= {"NMP_BASE_URL": options.host}
        commands["nemo-jobs update (platform)"] = [*update, options.host]
        commands["nemo jobs update-status-details (platform)"] = [
            options.nemo, "jobs", "update-status-details", options.job, *body,
        ]  # fmt: skip
    means = hyperfine(commands, env, options.runs)
    ratios = [("a TAB", "python -c pass", "<= 1.5"),
              ("a TAB by the console script", "python -c pass", "<= 1.5, but for the scripts of an older pip"),
              ("nemo-jobs --version", "python -c pass", "<= 1.5"),
              ("nemo-jobs --help", libraries, "<= 1.5"),
              ("nemo-jobs update --help", libraries, "<= 1.5"),
              ("nemo-jobs update (stub)", "python -c 'import httpx; httpx.patch(...)'", "<= 0.9")]  # fmt: skip
    if options.nemo:
        ratios.append(("nemo jobs update-status-details (platform)", "nemo-jobs update (platform)", ">= 10"))
    for name, mean in means.items():
        print(f"{name:45} {mean * 1000:8.1f} ms")
    for one, other, goal in ratios:
        print(f"{one} / {other}: {means[one] / means[other]:.2f} (goal {goal})")
    print(f"peak memory of update: {peak([*update, url], env):.1f} MiB (goal < 32)")
    stub.shutdown()


if __name__ == "__main__":
    main()
