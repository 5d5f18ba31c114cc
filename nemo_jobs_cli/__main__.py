"""Start the program, and end it without losing a byte of its output."""

from __future__ import annotations

import gc
import io
import os
import sys
import time


def main() -> None:
    """Run the command line of this process and exit with its code."""
    started = time.monotonic()
    # A one-shot program makes no garbage worth collecting: measured, 20 ms of a 130 ms call.
    gc.disable()
    _open_streams()
    try:
        code = _run(sys.argv[1:], started)
    except KeyboardInterrupt:  # before or after `cli` could say more: while modules are imported, or an error is told
        sys.stderr.write("error: interrupted before the end\nnext: run it again\n")
        code = 130
    except OSError as error:  # without a buffer, `--version` meets the full disk at once
        code = _unwritten(error)
    leave(code)


def _run(argv: list[str], started: float) -> int:
    if argv == ["--version"]:  # before Typer is imported: scripts ask for it, and so does tab completion
        from nemo_jobs_cli import __version__

        sys.stdout.write(f"nemo-jobs {__version__}\n")
        return 0
    if argv[:1] == ["__complete"] and len(argv) > 2:  # noqa: PLR2004 - a shell and its word breaks; without, Typer says no
        from nemo_jobs_cli.completion import answer

        sys.stdout.write(answer.answer(argv[1:], os.environ))
        return 0
    from nemo_jobs_cli.cli import main as cli

    return cli.run(argv, started)


class _Prose(io.TextIOWrapper):
    """A stream whose reader may be gone or whose disk may be full: what a command does never depends on it."""

    def write(self, text: str) -> int:
        """Write what can be written."""
        try:
            return super().write(text)
        except OSError:
            return len(text)

    def flush(self) -> None:
        """Flush what can be flushed."""
        try:
            super().flush()
        except OSError:
            return  # said where nobody listens


def _open_streams() -> None:
    """Put something in the place of streams that the caller closed (`>&-`), and let no character fail to be written.

    A closed stdin stays None, so that nothing takes it for an empty one; its number must not go to a connection.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is this one
    for name, number in (("stdout", 1), ("stderr", 2)):
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, "w", encoding="utf-8", closefd=False))  # noqa: SIM115 - open to the end
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    encoding = sys.stderr.encoding
    sys.stderr = _Prose(sys.stderr.detach(), encoding, "backslashreplace", line_buffering=True)  # type: ignore[union-attr]


def leave(code: int) -> None:
    """Flush and end at once, without the interpreter's own 20 ms of taking itself apart.

    A reader that went away (`| head -1`) is no failure; output that can't be written is.
    """
    try:
        sys.stdout.flush()
    except OSError as error:
        lost = _unwritten(error)
        code = code or lost
    sys.stderr.flush()
    os._exit(code)


def _unwritten(error: OSError) -> int:
    """Say that output is lost and return the code for it, 0 where its reader has seen enough."""
    if isinstance(error, BrokenPipeError):
        return 0
    sys.stderr.write(f"error: the output can't be written: {error.strerror}\nnext: make room, then repeat\n")
    return 1


if __name__ == "__main__":
    main()
