"""Remember which hosts have the route of attempts, in a file of the cache.

Without it every process would try the older route first, which costs a request. A wrong memory corrects itself: a host
without the remembered route is asked for the other one.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from nemo_jobs_cli.core.files import read_regular, write_atomic

if TYPE_CHECKING:
    from nemo_jobs_cli.core.outcome import Api

FILE = "routes"
MAX_HOSTS = 100
_HEAD = "nemo-jobs routes 1"
_MAX_BYTES = 256 * 1024


class RouteMemory:
    """The route of one host: learned by this process, else from the cache.

    `folder` is that of the cache. Its file has a line for each host with the route of attempts, newest first. One that
    cannot be read or written counts as empty.
    """

    def __init__(self, host: str, folder: str | None) -> None:
        self._host = host
        self._folder = folder
        self._api: Api | None = None

    @property
    def api(self) -> Api:
        """Return the route to try first."""
        if self._api is None:
            self._api = "attempts" if self._host in self._read() else "jobs"
        return self._api

    def learn(self, api: Api) -> None:
        """Remember the route that the host has."""
        if api != self.api:
            self._api = api
            if self._folder is not None:
                with suppress(OSError):
                    self._store(Path(self._folder))

    def _store(self, folder: Path) -> None:
        others = [host for host in self._read() if host != self._host]
        hosts = [self._host, *others] if self._api == "attempts" else others
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lines = [_HEAD, *hosts[:MAX_HOSTS], ""]
        write_atomic(folder / FILE, "\n".join(lines).encode("utf-8", "replace"), durable=False)

    def _read(self) -> list[str]:
        """Return the hosts in the file; [] if it is missing or another program's."""
        if self._folder is None:
            return []
        try:
            text = read_regular(f"{self._folder}/{FILE}", _MAX_BYTES).decode("utf-8", "replace")
        except OSError:
            return []
        head, *hosts = text.split("\n")
        return [host for host in hosts if host] if head == _HEAD else []
