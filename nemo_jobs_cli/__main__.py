"""Start and end the process; flush all output, or report its loss."""

from __future__ import annotations

import gc
import io
import os
import sys
import time

TYPE_CHECKING = False  # importing typing costs 5 ms
if TYPE_CHECKING:
    from typing import Any


def main() -> None:
    """Run the command line of this process and exit with its code."""
    started = time.monotonic()
    # A short process makes no garbage worth collecting: this saves 20 ms of 130.
    gc.disable()
    _ignore_pythonpath()
    _open_streams()
    try:
        code = _run(sys.argv[1:], started)
    except KeyboardInterrupt:  # while modules are imported, or while an error is printed
        sys.stderr.write("error: interrupted\nnext: run it again\n")
        code = 130
    except OSError as error:  # an unbuffered `--version` writes to a full disk at once
        code = _report_lost_output(error)
    leave(code)


def _ignore_pythonpath() -> None:
    """Remove the entries of PYTHONPATH from sys.path.

    They stay if nemo-jobs itself is there. The module systems of clusters put packages of other versions on it. The
    variable stays for child processes.
    """
    value = os.environ.get("PYTHONPATH", "")
    entries = {os.path.abspath(entry) for entry in value.split(os.pathsep) if value}  # noqa: PTH100 - pathlib is slow
    package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))  # noqa: PTH100, PTH120
    if not entries or package in entries:
        return
    library = os.path.dirname(os.__file__)  # noqa: PTH120
    site = sys.modules.get("site")
    own = {library, f"{library}/lib-dynload", *(site.getsitepackages() if site else ())}
    sys.path[:] = [entry for entry in sys.path if entry in own or os.path.abspath(entry) not in entries]  # noqa: PTH100


def _run(argv: list[str], started: float) -> int:
    if argv in (["--version"], ["-V"]):  # before Typer is imported: scripts and completion ask for it
        from nemo_jobs_cli import __version__

        sys.stdout.write(f"nemo-jobs {__version__}\n")
        return 0
    if argv[:1] == ["__complete"] and len(argv) > 2:  # noqa: PLR2004 - a shell and its word breaks
        from nemo_jobs_cli.completion import answer

        sys.stdout.write(answer.answer(argv[1:], os.environ))
        return 0
    signals = _note_signals()
    try:
        from nemo_jobs_cli.cli import main as cli
        from nemo_jobs_cli.core.errors import Stopped

        if argv[:1] == ["run"]:
            import nemo_jobs_cli.commands.run  # noqa: F401 - a failure shows before anything has begun
    except Exception as error:  # noqa: BLE001 - whatever is broken, the wrapped command runs
        return _report_broken_installation(error, argv)
    try:
        return cli.run(argv, started, signals)
    except Stopped as stop:  # while an error was printed
        return 128 + stop.number


def _note_signals() -> list[int]:
    """Note signals during the imports, for `cli.run` to report.

    A second one ends the process.
    """
    import signal  # not on the way of TAB

    numbers: list[int] = []
    before: dict[int, Any] = {}

    def note(number: int, _frame: object) -> None:
        numbers.append(number)
        signal.signal(number, before[number])

    for number in (signal.SIGINT, signal.SIGTERM):
        handler = signal.getsignal(number)
        if handler is not None and handler != signal.SIG_IGN:
            before[number] = handler
            signal.signal(number, note)
    return numbers


def _report_broken_installation(error: Exception, argv: list[str]) -> int:
    """Report a broken installation; execute the command of `run`."""
    version = sys.version.split()[0]
    sys.stderr.write(f"error: cannot load nemo-jobs: {type(error).__name__}: {error} (Python {version})\n")
    if argv[:1] != ["run"] or "--" not in argv[:-1]:
        sys.stderr.write("next: reinstall nemo-jobs in an environment of its own, with Python 3.11 or newer\n")
        return 1
    sys.stderr.write("warning: running the command without reports\n")
    command = argv[argv.index("--") + 1 :]
    sys.stderr.flush()
    try:
        os.execvp(command[0], command)  # noqa: S606 - what the user asked for
    except OSError as failure:
        sys.stderr.write(f"error: cannot run {command[0]!r}: {failure.strerror}\n")
        return 126 if isinstance(failure, PermissionError) else 127


class _LenientStream(io.TextIOWrapper):
    """A stderr that ignores a closed pipe or a full disk."""

    def write(self, text: str) -> int:
        """Write the text if possible."""
        try:
            return super().write(text)
        except OSError:
            return len(text)

    def flush(self) -> None:
        """Flush if possible."""
        try:
            super().flush()
        except OSError:
            return  # the text of a stream that nobody reads


def _open_streams() -> None:
    """Replace closed streams (`>&-`), and escape unencodable characters.

    A closed stdin stays None, so that it is not taken for an empty one; its number must not go to a connection.
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
    sys.stderr = _LenientStream(sys.stderr.detach(), encoding, "backslashreplace", line_buffering=True)  # type: ignore[union-attr]


def leave(code: int) -> None:
    """Flush the output and exit, without the interpreter's shutdown.

    It takes 20 ms. A closed pipe (`| head -1`) is not a failure; output that cannot be written is.
    """
    try:
        sys.stdout.flush()
    except OSError as error:
        lost = _report_lost_output(error)
        code = code or lost
    sys.stderr.flush()
    os._exit(code)


def _report_lost_output(error: OSError) -> int:
    """Report lost output and return the exit code, 0 for a closed pipe."""
    if isinstance(error, BrokenPipeError):
        return 0
    sys.stderr.write(f"error: cannot write the output: {error.strerror}\nnext: free disk space, then run it again\n")
    return 1


if __name__ == "__main__":
    main()
