"""A session with the platform: credential, client and deadline."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from nemo_jobs_cli.auth import credentials
from nemo_jobs_cli.core import deadline, job_lock, times
from nemo_jobs_cli.core.clock import SYSTEM_CLOCK, Clock
from nemo_jobs_cli.core.errors import NemoJobsError
from nemo_jobs_cli.core.text import one_line
from nemo_jobs_cli.settings import resolve
from nemo_jobs_cli.settings.model import Credential
from nemo_jobs_cli.transport import classify, retry, routes
from nemo_jobs_cli.transport.client import Client
from nemo_jobs_cli.transport.messages import Response, SendResult
from nemo_jobs_cli.transport.route_memory import RouteMemory

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractContextManager

    from nemo_jobs_cli.core.deadline import Deadline
    from nemo_jobs_cli.settings.model import Settings
    from nemo_jobs_cli.transport.messages import Failure, Request, Sender

# After these responses the login may have been renewed: the platform answers an expired one with either.
_REFUSALS = frozenset({"unauthorized", "forbidden"})

# A shorter token may be a word, such as that of the sandbox.
SHORTEST_TOKEN = 12


class Session(NamedTuple):
    """Settings, credential and deadline of one command on one host.

    `auth` are the request headers of the credential, shared by all clients; `renew(refused)` reads the credential again
    and returns whether they differ from `refused` now. `on_retry` is called with each failed attempt and the pause
    after it, in seconds. `lock` holds the lock of a job. `route_memory` knows the route for updates, if it was used.
    """

    settings: Settings
    sender: Sender
    deadline: Deadline
    auth: Mapping[str, str] = MappingProxyType({})
    on_retry: Callable[[Response | Failure, float], None] | None = None
    lock: Callable[[str, Deadline], AbstractContextManager[bool]] = job_lock.hold
    renew: Callable[[Mapping[str, str], Deadline], bool] = lambda _refused, _limit: False
    route_memory: RouteMemory | None = None

    def __repr__(self) -> str:
        """Return the host only: the headers hold the token."""
        return f"Session({self.settings.host.value!r})"

    def describe(self) -> str:
        """Describe the host, the credential and the server's trace id."""
        user = credentials.describe(self.settings.credential)
        return f"{one_line(self.settings.host.value, 200)} with {user}, trace id {self.sender.trace_id}"

    def send(self, request: Request) -> SendResult:
        """Send a request with retries; renew a refused login once."""
        auth = dict(self.auth)
        result = retry.send(request, self.sender, self.deadline, on_retry=self.on_retry)
        if not isinstance(result.last, Response) or classify.kind(result.last) not in _REFUSALS:
            return result
        if not self.renew(auth, self.deadline):
            return result
        last, attempts, conflicts = retry.send(request, self.sender, self.deadline, on_retry=self.on_retry)
        return SendResult(last, result.attempts + attempts, result.conflicts + conflicts)

    def fetch(self, request: Request, *, job: str | None = None) -> Response:
        """Send a request and return its response, or raise a NemoJobsError."""
        return self.check(self.send(request), request, job)

    def check(self, result: SendResult, request: Request, job: str | None = None) -> Response:
        """Return the response to a request, or raise a NemoJobsError."""
        if isinstance(result.last, Response) and classify.kind(result.last) == "ok":
            return result.last
        raise self.explain(result, job, routes.permission(request.path))

    def explain(
        self, result: SendResult, job: str | None, permission: str = "jobs.update", attempt: str | None = None
    ) -> NemoJobsError:
        """Return the error for a failed request that needs `permission`.

        `attempt` is the id of the attempt that was to be updated, None for the current one.
        """
        from nemo_jobs_cli.transport import explain  # loaded only if something fails

        settings = self.settings
        if settings.credential is None and self.auth:
            settings = settings._replace(credential=Credential("token", "", "the context of a later login"))
        expires = credentials.token_expiry(self.auth, settings.credential)
        context = explain.Context(
            settings,
            credentials.describe(settings.credential),
            None if expires is None else expires - time.time(),
            self.sender.trace_id,
            job,
            permission,
            credentials.token_scopes(self.auth),
            is_access_key=credentials.is_access_key(self.auth),
            attempt=attempt,
        )
        return explain.explain(self._without_token(result), context)

    def _without_token(self, result: SendResult) -> SendResult:
        """Hide the token in a response that repeats it."""
        token = self.auth.get("Authorization", "").removeprefix("Bearer ").encode("latin-1")
        if not isinstance(result.last, Response) or len(token) < SHORTEST_TOKEN:
            return result
        return result._replace(last=result.last._replace(body=result.last.body.replace(token, b"[token]")))

    def expiry_warning(self) -> str | None:
        """Return a warning if the token expires soon and nothing renews it."""
        credential = self.settings.credential
        expires = credentials.token_expiry(self.auth, credential)
        left = 0.0 if expires is None else expires - time.time()
        if credential is None or credentials.is_renewed(credential) or not 0 < left < credentials.EXPIRY_MARGIN:
            return None
        from nemo_jobs_cli.transport import explain

        user, duration = credentials.describe(credential), times.format_duration(left)
        return f"the {user} expires in {duration}; {explain.renewal_hint(credential.kind, credential.source)}"

    def restart(self, limit: float | None = None) -> Session:
        """Return the session with a new deadline of at most `limit` seconds."""
        clock = self.deadline.clock
        now = clock.now()
        restarted = deadline.start(self.settings.deadline.value, now, clock)
        if limit is not None:
            restarted = restarted._replace(ends=min(restarted.ends, now + limit))
        return self._replace(deadline=restarted)


def open_session(
    settings: Settings,
    started: float,
    *,
    clock: Clock = SYSTEM_CLOCK,
    on_retry: Callable[[Response | Failure, float], None] | None = None,
    renews: bool = False,
    on_warning: Callable[[str], None] | None = None,
) -> Session:
    """Read the credential and create a client.

    The deadline starts at `started`, a time of `clock`. `renews`: after a 401 or 403 read the credential's source
    again, as a command that runs for long must. `on_warning` is called with a warning if the token expires soon. Raise
    SettingsError if the credential cannot be read or must not be sent to this host.
    """
    limit = deadline.start(settings.deadline.value, started, clock)
    auth = auth_headers(settings, limit)
    memory = RouteMemory(settings.host.value, settings.cache_dir)
    session = Session(settings, Client(settings, auth), limit, auth, on_retry, route_memory=memory)
    warning = None if on_warning is None else session.expiry_warning()
    if on_warning is not None and warning is not None:
        with suppress(OSError):  # a closed output is no reason to stop
            on_warning(warning)
    return session._replace(renew=_renewal(settings, auth)) if renews else session


def _renewal(settings: Settings, auth: dict[str, str]) -> Callable[[Mapping[str, str], Deadline], bool]:
    """Return the `renew` of a session, which updates `auth` after a new login."""
    lock = threading.Lock()

    def renew(refused: Mapping[str, str], limit: Deadline) -> bool:
        # Errors: a file is just being replaced, a command failed once, or the new login belongs to another host.
        with lock, suppress(NemoJobsError):
            if auth == refused:  # else another thread has renewed it
                new = resolve.load_settings(settings.flags)
                credential = new.credential
                if credential is not None and credential.secret != "-":  # noqa: S105 - stdin, read once
                    login = settings._replace(credential=credential, allow_http=new.allow_http)
                    headers = auth_headers(login, limit)
                    if auth.keys() <= headers.keys():  # not a principal beside the old token
                        auth.update(headers)
        return auth != refused

    return renew


def auth_headers(settings: Settings, limit: Deadline) -> dict[str, str]:
    """Return the request headers of the credential, or raise SettingsError."""
    return credentials.auth_headers(settings, limit, resolve.environment(secrets=False))
