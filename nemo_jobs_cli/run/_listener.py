"""Find fields in a copy of a command's output, and keep its end."""

from __future__ import annotations

import threading
from collections import defaultdict, deque
from typing import TYPE_CHECKING, Any

from nemo_jobs_cli.core import signals
from nemo_jobs_cli.reporting.match import LineBuffer, last_lines

if TYPE_CHECKING:
    from collections.abc import Callable

    from nemo_jobs_cli.reporting.match import Matcher

# Bytes that may wait to be matched. A command that prints faster than patterns can be tried is never held up: the
# oldest output is dropped, because later output says more about the state of the command.
MAX_WAITING = 8 * 1024 * 1024

# Bytes kept for `--tail`: every update rewrites the details as a whole.
MAX_TAIL = 8 * 1024

# Different problems reported: output may make each line a new one.
MAX_PROBLEMS = 20

_SKIPPED = "output comes faster than --match can read it: some of it is skipped"


class OutputListener:
    """Match a command's output on a thread.

    `on_fields` gets fields, `on_problem` a sentence, once.
    """

    def __init__(
        self,
        matcher: Matcher | None,
        on_fields: Callable[[dict[str, Any]], None],
        on_problem: Callable[[str], None],
    ) -> None:
        self._matcher = matcher
        self._on_fields = on_fields
        self._on_problem = on_problem
        self._problems: set[str] = set()
        self._line_buffers: defaultdict[int, LineBuffer] = defaultdict(LineBuffer)
        self._chunks: deque[tuple[int, bytes]] = deque()
        self._waiting = 0
        self._torn: set[int] = set()
        self._ending = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._work, args=[matcher], name="listener", daemon=True)
        self._tail = b""

    def start(self) -> None:
        """Start to match."""
        if self._matcher is not None:
            self._thread.start()

    def feed(self, stream: int, chunk: bytes) -> None:
        """Add output of stream 1 or 2, or an empty chunk for a pause; never block."""
        with self._changed:
            if chunk:
                self._tail = (self._tail + chunk)[-MAX_TAIL:]
            if self._matcher is None:
                return
            self._chunks.append((stream, chunk))
            self._waiting += len(chunk)
            while self._waiting > MAX_WAITING:
                torn, lost = self._chunks.popleft()
                self._waiting -= len(lost)
                self._torn.add(torn)
                self._report(_SKIPPED)
            self._changed.notify()

    def tail(self, count: int) -> str:
        """Return the last `count` lines of the output."""
        return last_lines(self._tail, count, MAX_TAIL)

    def finish(self, limit: float) -> None:
        """Match the rest, for at most `limit` seconds."""
        if self._matcher is None:
            return
        with signals.deferred(), self._changed:
            self._ending = True
            self._changed.notify()
        self._thread.join(limit)
        if self._thread.is_alive():
            self._report(_SKIPPED)

    def _work(self, matcher: Matcher) -> None:
        ending = False
        while not ending:
            with self._changed:
                while not self._chunks and not self._ending:
                    self._changed.wait()
                chunks, self._chunks, self._waiting = self._chunks, deque(), 0
                torn, self._torn = self._torn, set()
                ending = self._ending
            for stream in torn:
                self._line_buffers[stream].skip_line()
            for stream, chunk in chunks:
                line_buffer = self._line_buffers[stream]
                self._match(matcher, line_buffer.feed(chunk) if chunk else line_buffer.unfinished())
        for line_buffer in self._line_buffers.values():
            self._match(matcher, line_buffer.unfinished())

    def _match(self, matcher: Matcher, lines: list[str]) -> None:
        fields: dict[str, Any] = {}
        for line in lines:
            match = matcher.find(line)
            fields |= match.fields
            for problem in match.problems:
                self._report(problem)
        if fields:
            self._on_fields(fields)

    def _report(self, problem: str) -> None:
        if problem not in self._problems and len(self._problems) < MAX_PROBLEMS:
            self._problems.add(problem)
            self._on_problem(problem)
