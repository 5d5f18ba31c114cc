"""Read and follow the log of a job, each line once."""

from __future__ import annotations

from collections import Counter, deque
from typing import TYPE_CHECKING, Any, NamedTuple

from nemo_jobs_cli.api import jobs
from nemo_jobs_cli.core.errors import SettingsError
from nemo_jobs_cli.transport import routes
from nemo_jobs_cli.transport.connection import MAX_RESPONSE_BYTES
from nemo_jobs_cli.transport.messages import Request, Response

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence

    from nemo_jobs_cli.api.session import Session

    Query = tuple[tuple[str, str], ...]
    Fetch = Callable[[Query, float | None], dict[str, Any]]

# The server accepts no larger page. Each page costs it a scan of the whole log.
MAX_PAGE = 10_000

# The page that looks for new lines.
POLL_PAGE = 100

# A response of this size or more may have been cut: the transport reads no more than its limit.
MAX_PAGE_BYTES = MAX_RESPONSE_BYTES - 1024 * 1024


class Line(NamedTuple):
    """A line of a log; `time` is in UTC, without a zone."""

    time: str
    step: str
    task: str
    message: str


class _Page(NamedTuple):
    """Lines in order, the length of the log, and the neighbors' cursors.

    `size` is the number of requested lines.
    """

    lines: list[Line]
    total: int
    previous: str | None
    next: str | None
    size: int


class _TooLargeError(Exception):
    """The response is larger than the transport reads."""


class Log:
    """The log of a job; each `read()` yields the new lines.

    The server counts its pages forward through lines ordered by time only: if lines of the same time are on two pages,
    it repeats some and drops others. Its pages backward begin at a line and lose none. So a whole log is read forward
    up to such a place; everything else by walking back from the newest page, then reading forward what was passed. At
    most two pages are in memory; those between are fetched again.

    A line may arrive late, before lines that have been read: steps and tasks send their lines in batches. So a line is
    new if it is not one of the last MAX_PAGE lines. The log's length tells whether there is anything to look for.
    """

    def __init__(self, fetch: Fetch, *, tail: int | None = None, since: float | None = None) -> None:
        """Begin with the last `tail` lines, and at `since`, in seconds since 1970."""
        self.missed = 0  # lines that arrived later than MAX_PAGE lines after their time
        self._fetch = fetch
        self._tail = tail
        self._begin = "" if since is None else _just_before(since)
        self._size = MAX_PAGE
        self._ends: float | None = None
        self._restart()

    def _restart(self) -> None:
        self._known: int | None = None  # lines of the server that were read or skipped
        self._horizon = self._begin  # lines up to this time are not new
        self._recent: deque[tuple[str, int]] = deque()
        self._counts: Counter[int] = Counter()
        self._last: set[int] = set()  # the newest lines at the last read, even if skipped

    def read(self, ends: float | None = None) -> Iterator[list[Line]]:
        """Yield the new lines, oldest first, in one list for each page.

        No request lasts beyond `ends`, a time of the session's clock. After an exception the next call continues after
        the last list.
        """
        self._ends = ends
        if self._known is None and self._tail is None and not self._begin and (yield from self._read_ordered()):
            return
        newest = self._newest()
        is_first, is_same = self._known is None, self._is_same_log(newest)
        unread = newest.total - (self._known or 0)
        if not unread and is_same:
            self._known = newest.total
            return
        goal = unread if self._tail is None or not is_first else min(unread, self._tail)
        is_new = self._make_is_new()
        new = sum(map(is_new, newest.lines))
        windows: list[tuple[str, int]] = []
        page = newest
        while page.previous is not None and page.lines[0].time > self._horizon and (new < goal or not is_same):
            cursor = page.previous
            page = self._fetch_smaller(self._size, cursor)
            windows.append((cursor, page.size))
            new += sum(map(is_new, page.lines))
            is_same = is_same or self._is_same_log(page)
        if not is_same:
            self._tail = None  # from the beginning
            self._restart()
            yield from self.read(ends)
            return
        self._last = {hash(line) for line in newest.lines[-POLL_PAGE:]}
        start, is_partial = page.lines[0].time, page.previous is not None
        if is_first:
            self._known = newest.total - new
        yield from self._forward(page, windows, newest, skip=max(0, new - goal) if is_first else 0)
        if is_first and is_partial:
            self._horizon = max(self._horizon, start)
        elif not is_first and new < unread:
            self.missed += unread - new
            self._known = (self._known or 0) + unread - new

    def _read_ordered(self) -> Generator[list[Line], None, bool]:
        """Yield pages while their order is defined; return whether all were read."""
        cursor, last = None, ""
        while True:
            try:
                page = self._fetch_page(MAX_PAGE, "limit", cursor)
            except _TooLargeError:
                return False
            if page.lines and page.lines[0].time <= last:
                return False
            self._known = (self._known or 0) + len(page.lines)
            self._remember(page.lines)
            if page.lines:
                last = page.lines[-1].time
                yield page.lines
            cursor = page.next
            if cursor is None:
                return True

    def _forward(
        self, oldest: _Page, windows: Sequence[tuple[str, int]], newest: _Page, skip: int
    ) -> Iterator[list[Line]]:
        """Yield the new lines of all pages, except the first `skip`."""
        is_new = self._make_is_new()
        for page in self._pages(oldest, windows, newest):
            new = list(filter(is_new, page.lines))
            self._known = (self._known or 0) + len(new)
            self._remember(new)
            if new[skip:]:
                yield new[skip:]
            skip = 0  # all surplus lines are on the oldest page

    def _pages(self, oldest: _Page, windows: Sequence[tuple[str, int]], newest: _Page) -> Iterator[_Page]:
        """Yield pages, oldest first; fetch those between the two again."""
        yield oldest
        for cursor, size in reversed(windows[:-1]):
            yield self._fetch_smaller(size, cursor)
        if windows:
            yield newest

    def _is_same_log(self, page: _Page) -> bool:
        """Return whether a page is of the same log; a new attempt has its own."""
        keys = [hash(line) for line in page.lines]
        return not (self._last or self._counts) or any(key in self._last or key in self._counts for key in keys)

    def _make_is_new(self) -> Callable[[Line], bool]:
        """Return a predicate for unread lines; equal lines are counted."""
        left, horizon = dict(self._counts), self._horizon

        def is_new(line: Line) -> bool:
            if line.time <= horizon:
                return False
            key = hash(line)
            if left.get(key, 0):
                left[key] -= 1
                return False
            return True

        return is_new

    def _remember(self, lines: list[Line]) -> None:
        """Add lines to the recent ones, and drop the oldest."""
        for line in lines[-MAX_PAGE:]:
            key = hash(line)
            self._recent.append((line.time, key))
            self._counts[key] += 1
        while len(self._recent) > MAX_PAGE:
            time, key = self._recent.popleft()
            self._horizon = max(self._horizon, time)
            self._counts[key] -= 1
            if not self._counts[key]:
                del self._counts[key]

    def _newest(self) -> _Page:
        """Return the page with the newest lines; small, if few are expected."""
        first = MAX_PAGE if self._tail is None else max(self._tail, 1)
        return self._fetch_smaller(min(first if self._known is None else POLL_PAGE, self._size))

    def _fetch_smaller(self, size: int, cursor: str | None = None) -> _Page:
        """Return a page backward of `size` lines, halved while it is too large."""
        while True:
            try:
                return self._fetch_page(size, "tail" if cursor is None else "limit", cursor)
            except _TooLargeError:
                size = self._size = size // 2
                if not size:
                    raise SettingsError(
                        f"cannot read the log: a line has more than {MAX_PAGE_BYTES >> 20} MiB", "read it on the server"
                    ) from None

    def _fetch_page(self, size: int, parameter: str, cursor: str | None) -> _Page:
        query = ((parameter, str(size)), *((("page_cursor", cursor),) if cursor is not None else ()))
        return _parse(self._fetch(query, self._ends), size)


def open_log(
    session: Session,
    workspace: str,
    job: str,
    *,
    step: str | None = None,
    tail: int | None = None,
    since: float | None = None,
) -> Log:
    """Return the log of a job, given its name or id; see `Log`."""
    name = job
    filters = () if step is None else (("step_id", step),)

    def fetch(query: Query, ends: float | None) -> dict[str, Any]:
        def call(job_name: str) -> dict[str, Any]:
            nonlocal name
            body = _fetch(current, Request("GET", routes.job_logs(workspace, job_name), (*query, *filters)), job_name)
            name = job_name  # the next request needs no look-up of an id
            return body

        current = session.restart(None if ends is None else ends - session.deadline.clock.now())
        return jobs.call_with_name(current, workspace, name, call)

    return Log(fetch, tail=tail, since=since)


def _fetch(session: Session, request: Request, job: str) -> dict[str, Any]:
    result = session.send(request)
    if isinstance(result.last, Response) and len(result.last.body) >= MAX_PAGE_BYTES:
        raise _TooLargeError
    return session.check(result, request, job).object()


def _just_before(seconds: float) -> str:
    """Return the last time before `seconds` since 1970, for the platform."""
    from datetime import UTC, datetime, timedelta

    moment = datetime.fromtimestamp(seconds, UTC) - timedelta(microseconds=1)
    return moment.replace(tzinfo=None).isoformat(timespec="microseconds")


def _parse(body: dict[str, Any], size: int) -> _Page:
    """Return the page in a response; skip entries that are not lines."""
    rows = body.get("data")
    lines = [
        Line(str(row["timestamp"]), str(row.get("job_step")), str(row.get("job_task")), str(row.get("message")))
        for row in (rows if isinstance(rows, list) else ())
        if isinstance(row, dict) and "timestamp" in row
    ]
    if not lines:
        return _Page([], 0, None, None, size)
    total, previous, following = (body.get(key) for key in ("total", "prev_page", "next_page"))
    return _Page(
        lines,
        total if isinstance(total, int) else len(lines),
        previous if isinstance(previous, str) else None,
        following if isinstance(following, str) else None,
        size,
    )
