"""Make docs/terminal.svg: real commands in a real terminal, on the sandbox.

python docs/picture.py        (in an environment with nemo-jobs)
"""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

WIDTH = 92
COMMANDS = (
    'nemo-jobs update train-demo status=running progress=45 message="batch 3 of 10"',
    'nemo-jobs update train-demo \'tags:=["a", "b",]\'',
    "nemo-jobs show train-demo",
)


def typed_in_a_terminal(script: str) -> str:
    """Return what a shell script shows in a terminal, escapes and all."""
    main, side = pty.openpty()
    tool = Path(sys.executable).with_name("nemo-jobs")
    env = {**os.environ, "TERM": "xterm-256color", "COLUMNS": str(WIDTH), "COLORTERM": "truecolor"}
    os.set_blocking(main, True)
    subprocess.run(["stty", "cols", str(WIDTH), "rows", "60"], stdin=side, check=True)
    child = subprocess.Popen([tool, "sandbox", "--", "sh", "-c", script], stdin=side, stdout=side, stderr=side, env=env)
    os.close(side)
    shown = b""
    while True:
        try:
            more = os.read(main, 65536)
        except OSError:  # the other side is closed: the end, on Linux
            break
        shown += more
    child.wait()
    return shown.decode().replace("\r\n", "\n")


def main() -> None:
    """Run the commands and save the picture."""
    console = Console(
        record=True, width=WIDTH, file=open(os.devnull, "w"), force_terminal=True, color_system="truecolor"
    )
    for command in COMMANDS:
        console.print(Text("$ ", "bold green") + Text(command, "bold"), soft_wrap=False)
        # Each sandbox is a new one: what was typed before is done again, silently.
        before = "; ".join(f"{done} >/dev/null 2>&1" for done in COMMANDS[: COMMANDS.index(command)]) or ":"
        console.print(Text.from_ansi(typed_in_a_terminal(f"{before}; {command}")))
        console.print()
    console.save_svg(str(Path(__file__).with_name("terminal.svg")), title="nemo-jobs")


if __name__ == "__main__":
    main()
