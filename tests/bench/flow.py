"""Measure `stream` and `run` beside their alternatives, and print a table.

    python tests/bench/flow.py --python ENV/bin/python

ENV must hold nemo-jobs installed by pip (not editable). `stream` reads two million lines of three keys, beside a
loop that only parses them with the same checks; `run` wraps a command that prints 100 MB of lines, beside that
command alone. Both report to the sandbox.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

LINES = 2_000_000
PRINTED = 100 * 1024 * 1024
ROUNDS = 5

BARE = """
import json, sys
def no_duplicates(pairs):
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError
    return fields
def refuse(_):
    raise ValueError
state = {}
decode = json.JSONDecoder(object_pairs_hook=no_duplicates, parse_constant=refuse).decode
for line in sys.stdin:
    state.update(decode(line))
"""
PRINT = f"""
import sys
line = "epoch 3 loss=0.25 and more output of a training, up to eighty columns ..........\\n"
for _ in range({PRINTED} // len(line)):
    sys.stdout.write(line)
"""


def measure(words: list[str], env: dict[str, str], feed: Path) -> tuple[float, float]:
    """Return the wall-clock seconds and the peak memory in MiB of a command whose output goes to a pipe."""
    started = time.perf_counter()
    with feed.open("rb") as source:
        child = subprocess.Popen(words, env=env, stdin=source, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        while child.stdout.read(1 << 20):
            pass
        _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        sys.exit(f"{words[:4]} failed")
    return time.perf_counter() - started, usage.ru_maxrss / 1024


def best(words: list[str], env: dict[str, str], feed: Path) -> tuple[float, float]:
    """Return the shortest time and the largest memory of several rounds."""
    results = [measure(words, env, feed) for _ in range(ROUNDS)]
    return min(seconds for seconds, _ in results), max(memory for _, memory in results)


def main() -> None:
    """Run the comparison and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", default=sys.executable)
    python = parser.parse_args().python
    tool = [python, "-m", "nemo_jobs_cli"]
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    server = subprocess.Popen([*tool, "sandbox", "--port", "0"], env=env, stdout=subprocess.PIPE, text=True)
    try:
        env["NEMO_JOBS_HOST"] = server.stdout.readline().split()[2].rstrip(",")
        with tempfile.TemporaryDirectory() as folder:
            flow, script, nothing = Path(folder, "flow"), Path(folder, "print.py"), Path(os.devnull)
            with flow.open("w") as file:
                for step in range(LINES):
                    file.write(f'{{"step": {step}, "train_loss": {1 / (step + 1):.6f}, "message": "batch {step}"}}\n')
            script.write_text(PRINT)
            bare, _ = best([python, "-c", BARE], env, flow)
            streamed, memory = best([*tool, "stream", "bench"], env, flow)
            alone, _ = best([python, str(script)], env, nothing)
            wrapped, _ = best([*tool, "run", "bench", "--", python, str(script)], env, nothing)
            read, _ = best([*tool, "run", "bench", "--tail", "5", "--", python, str(script)], env, nothing)
    finally:
        server.terminate()
        server.wait()
    print(f"json alone, with the checks       {LINES / bare:12,.0f} lines/s")
    print(f"nemo-jobs stream                  {LINES / streamed:12,.0f} lines/s   peak {memory:.1f} MiB (goal < 60)")
    print(f"a command that prints 100 MB      {alone:12.2f} s")
    print(f"nemo-jobs run                     {wrapped:12.2f} s   {wrapped / alone:.2f} x (goal <= 1.2)")
    print(f"nemo-jobs run --tail 5            {read:12.2f} s   {read / alone:.2f} x")


if __name__ == "__main__":
    main()
