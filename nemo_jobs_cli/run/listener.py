"""Listen to a command's output beside its way: find fields in its lines, and keep its end."""

from __future__ import annotations

import threading
from collections import defaultdict, deque
from typing import TYPE_CHECKING, Any

from nemo_jobs_cli.reporting import line_buffer

if TYPE_CHECKING:
    from collections.abc import Callable

    from nemo_jobs_cli.reporting.match import Matcher

# What may wait to be matched, in bytes. A command that prints faster than patterns can be tried is never held up:
# the oldest output is passed over then, as what comes later says more about where it is.
MOST_WAITING = 8 * 1024 * 1024

# What `--tail` keeps, in bytes: details are rewritten as a whole by every update.
LONGEST_TAIL = 8 * 1024


class Listener:
    """Takes pieces of output from the pumps, matches them on a thread of its own."""

    def __init__(
        self, matcher: Matcher | None, add: Callable[[dict[str, Any]], None], tell: Callable[[str], None]
    ) -> None:
        self._matcher = matcher
        self._add = add
        self._tell = tell
        self._told: set[str] = set()
        self._splitters: defaultdict[int, line_buffer.Splitter] = defaultdict(line_buffer.Splitter)
        self._pieces: deque[tuple[int, bytes]] = deque()
        self._waiting = 0
        self._torn: set[int] = set()
        self._over = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._work, name="listener", daemon=True)
        self._end = b""

    def start(self) -> None:
        """Begin to match."""
        if self._matcher is not None:
            self._thread.start()

    def hear(self, stream: int, piece: bytes) -> None:
        """Take a piece of output, an empty one for a pause; never wait."""
        with self._changed:
            if piece:
                self._end = (self._end + piece)[-LONGEST_TAIL:]
            if self._matcher is None:
                return
            self._pieces.append((stream, piece))
            self._waiting += len(piece)
            while self._waiting > MOST_WAITING:
                torn, lost = self._pieces.popleft()
                self._waiting -= len(lost)
                self._torn.add(torn)
                self._say("output comes faster than --match can read it: some of it is passed over")
            self._changed.notify()

    def tail(self, count: int) -> str:
        """Return the last lines of what was heard."""
        return line_buffer.tail(self._end, count, LONGEST_TAIL)

    def finish(self, limit: float) -> None:
        """Match what is left, for at most `limit` seconds."""
        if self._matcher is None:
            return
        with self._changed:
            self._over = True
            self._changed.notify()
        self._thread.join(limit)

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._pieces and not self._over:
                    self._changed.wait()
                pieces, self._pieces, self._waiting = self._pieces, deque(), 0
                torn, self._torn = self._torn, set()
                over = self._over
            for stream in torn:
                self._splitters[stream].skip()
            for stream, piece in pieces:
                splitter = self._splitters[stream]
                self._match(splitter.feed(piece) if piece else splitter.rest())
            if over:
                for splitter in self._splitters.values():
                    self._match(splitter.rest())
                return

    def _match(self, found_lines: list[str]) -> None:
        if self._matcher is None:
            return
        fields: dict[str, Any] = {}
        for line in found_lines:
            found = self._matcher.find(line)
            fields |= found.fields
            for problem in found.problems:
                self._say(problem)
        if fields:
            self._add(fields)

    def _say(self, text: str) -> None:
        """Tell of each kind of trouble once."""
        if text not in self._told and len(self._told) < 20:  # noqa: PLR2004 - lines can't fill the screen with complaints
            self._told.add(text)
            self._tell(text)
