"""A session with the platform: credential, client and deadline."""

from __future__ import annotations

import time
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from nemo_jobs_cli.auth import credentials
from nemo_jobs_cli.core import deadline, job_lock
from nemo_jobs_cli.core.clock import SYSTEM_CLOCK, Clock
from nemo_jobs_cli.core.text import one_line
from nemo_jobs_cli.settings import resolve
from nemo_jobs_cli.transport import classify, retry
from nemo_jobs_cli.transport.client import Client
from nemo_jobs_cli.transport.messages import Response

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractContextManager

    from nemo_jobs_cli.core.deadline import Deadline
    from nemo_jobs_cli.core.errors import NemoJobsError
    from nemo_jobs_cli.settings.model import Settings
    from nemo_jobs_cli.transport.messages import Failure, Request, Sender, SendResult

_RENEWABLE = frozenset({"file", "command", "workload"})


class Session(NamedTuple):
    """A connection to one host for one command: settings, credential, deadline.

    `on_retry` is called with each failed attempt and the pause after it, in seconds. `lock` holds the lock of a job.
    """

    settings: Settings
    sender: Sender
    deadline: Deadline
    auth: Mapping[str, str] = MappingProxyType({})
    on_retry: Callable[[Response | Failure, float], None] | None = None
    lock: Callable[[str, Deadline], AbstractContextManager[bool]] = job_lock.hold

    def __repr__(self) -> str:
        """Return the host only: the headers hold the token."""
        return f"Session({self.settings.host.value!r})"

    def describe(self) -> str:
        """Describe the host, the credential and the trace id under which the server logs the requests."""
        user = credentials.describe(self.settings.credential)
        return f"{one_line(self.settings.host.value, 200)} as {user}, trace id {self.sender.trace_id}"

    def send(self, request: Request) -> SendResult:
        """Send a request, with retries until the deadline."""
        return retry.send(request, self.sender, self.deadline, on_retry=self.on_retry)

    def fetch(self, request: Request, *, job: str | None = None) -> Response:
        """Send a request and return its response; raise a NemoJobsError unless it succeeds."""
        result = self.send(request)
        if isinstance(result.last, Response) and classify.kind(result.last) == "ok":
            return result.last
        raise self.explain(result, job)

    def explain(self, result: SendResult, job: str | None) -> NemoJobsError:
        """Return the error for a request that did not succeed."""
        from nemo_jobs_cli.transport import explain  # loaded only if something fails

        expires = credentials.token_expiry(self.auth)
        context = explain.Context(
            self.settings,
            credentials.describe(self.settings.credential),
            None if expires is None else expires - time.time(),
            self.sender.trace_id,
            job,
        )
        return explain.explain(result, context)

    def restart(self, limit: float | None = None) -> Session:
        """Return the session with a deadline that starts now and leaves at most `limit` seconds."""
        clock = self.deadline.clock
        now = clock.now()
        restarted = deadline.start(self.settings.deadline.value, now, clock)
        if limit is not None:
            restarted = restarted._replace(ends=min(restarted.ends, now + limit))
        return self._replace(deadline=restarted)

    def renew(self) -> Session | None:
        """Return the session with its credential read again; None if the source gives the same one.

        Files, commands and token exchanges may have a new token after the first has expired.
        """
        credential = self.settings.credential
        if credential is None or credential.kind not in _RENEWABLE or credential.secret == "-":  # noqa: S105 - stdin, read once
            return None
        clock = self.deadline.clock
        renewed = open_session(self.settings, clock.now(), clock=clock, on_retry=self.on_retry)
        return None if renewed.auth == self.auth else renewed


def open_session(
    settings: Settings,
    started: float,
    *,
    clock: Clock = SYSTEM_CLOCK,
    on_retry: Callable[[Response | Failure, float], None] | None = None,
) -> Session:
    """Read the credential and create a client; the deadline starts at `started`, a time of `clock`.

    Raise SettingsError if the credential cannot be read or must not be sent to this host.
    """
    limit = deadline.start(settings.deadline.value, started, clock)
    auth = auth_headers(settings, limit)
    return Session(settings, Client(settings, auth), limit, auth, on_retry)


def auth_headers(settings: Settings, limit: Deadline) -> dict[str, str]:
    """Return the request headers of the credential; raise SettingsError if it cannot be read or must not be sent."""
    return credentials.auth_headers(settings, _anonymous_client, limit, resolve.environment(secrets=False))


def _anonymous_client(settings: Settings) -> Sender:
    """Return a client without credentials, for the token exchange."""
    return Client(settings, {})
