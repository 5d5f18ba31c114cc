"""Check the way to the platform, the platform, and what one may do there."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from nemo_jobs_cli.api.session import Session, auth_headers
from nemo_jobs_cli.auth import credentials
from nemo_jobs_cli.core import identifiers, names, times
from nemo_jobs_cli.core.errors import NemoJobsError
from nemo_jobs_cli.core.text import one_line
from nemo_jobs_cli.doctor import access, assess, check, probe
from nemo_jobs_cli.transport import classify, connection, explain, routes
from nemo_jobs_cli.transport.client import Client
from nemo_jobs_cli.transport.messages import Failure, Request, SendResult

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nemo_jobs_cli.doctor.check import Check
    from nemo_jobs_cli.doctor.checkup import Case

WAY = ("dns", "tcp", "tls")
ANSWER = ("http", "clock", "auth", "version")

_MOST_ADDRESSES = 4

# Answers to the first request that leave nothing to ask: who gives them is not the platform, or not able to serve.
_HOPELESS = frozenset({"foreign", "redirect", "transient"})


def way(case: Case) -> Iterator[Check]:
    """Go to the host as a request does: its name, a connection, TLS. A proxy does that in our place."""
    if case.stopped:
        yield from check.skipped(WAY, case.stopped)
        return
    if connection.is_proxied(case.settings):
        scheme = case.settings.host.value.lower().partition(":")[0]
        names = {f"{scheme}_proxy", "all_proxy"}
        variables = ", ".join(sorted(name for name, value in case.environ.items() if value and name.lower() in names))
        yield from check.skipped(WAY, f"through a proxy ({one_line(variables, 100)})")
        return
    host, port = connection.host_and_port(case.settings)
    looked = probe.look_up(host, port, case.limit.left())
    if isinstance(looked, Failure):
        yield from _lost(case, looked, WAY[0])
        return
    yield _looked(host, looked)
    line = probe.connect(looked.addresses, case.limit.left())
    if isinstance(line, Failure):
        yield from _lost(case, line, WAY[1])
        return
    with line.plug:
        yield _connected(line, port)
        if case.settings.host.value.lower().startswith("http:"):
            yield check.skip(WAY[2], "plain http://")
            return
        shaken = probe.shake_hands(line.plug, host, case.settings, case.limit.left())
    if isinstance(shaken, Failure):
        yield from _lost(case, shaken, WAY[2])
        return
    until, fix = assess.certificate(shaken.ends, time.time())
    says = f"{shaken.version} in {_ms(shaken.seconds)}, {until}"
    facts = {"ms": round(1000 * shaken.seconds, 1), "certificate_ends": shaken.ends}
    yield check.warn(WAY[2], says, fix, **facts) if fix else check.ok(WAY[2], says, **facts)


def _looked(host: str, looked: probe.Lookup) -> Check:
    shown = list(dict.fromkeys(looked.shown))
    facts = {"addresses": shown, "ms": round(1000 * looked.seconds, 1)}
    if shown == [host]:
        return check.ok(WAY[0], f"{host} is an address", **facts)
    more = f" and {len(shown) - _MOST_ADDRESSES} more" if len(shown) > _MOST_ADDRESSES else ""
    said = ", ".join(shown[:_MOST_ADDRESSES])
    return check.ok(WAY[0], f"{one_line(host, 200)} is {said}{more}, in {_ms(looked.seconds)}", **facts)


def _connected(line: probe.Line, port: int) -> Check:
    says = f"connected to {line.address} port {port} in {_ms(line.seconds)}"
    facts = {"address": line.address, "port": port, "ms": round(1000 * line.seconds, 1)}
    if not line.unheard:
        return check.ok(WAY[1], says, **facts)
    return check.warn(
        WAY[1],
        f"{says}, but not to {', '.join(line.unheard)}, which each call tries first",
        "take the dead address out of the name, or mend the way to it",
        **facts,
    )


def _lost(case: Case, failure: Failure, name: str) -> Iterator[Check]:
    """Yield the stage that failed and those after it."""
    error = explain.explain_failure(failure, case.settings.host, times.human(failure.seconds))
    if failure.kind == "timeout":
        error.hint = "is a firewall or a VPN in between? or wait longer: --deadline 60"
    error.facts["failure"] = failure.kind
    yield case.stop(check.failed(name, error))
    yield from check.skipped(WAY[WAY.index(name) + 1 :], case.stopped)


def answer(case: Case) -> Iterator[Check]:
    """Ask the platform what it tells anybody: the time, whether it wants a token, its version."""
    if case.stopped:
        yield from check.skipped(ANSWER, case.stopped)
        return
    session = Session(case.settings, Client(case.settings, {}), case.limit)
    # The first request opens the connection and loads what makes it: its time would tell of us, not of the server.
    about = session.sender.send(Request("GET", routes.CLUSTER), case.limit.left())
    discovery = Request("GET", routes.DISCOVERY)
    last = about if isinstance(about, Failure) else session.sender.send(discovery, case.limit.left())
    if isinstance(about, Failure) or isinstance(last, Failure) or classify.kind(last) in _HOPELESS:
        yield case.stop(check.failed(ANSWER[0], session.explain(SendResult(last), None)))
        yield from check.skipped(ANSWER[1:], case.stopped)
        return
    yield check.ok(ANSWER[0], f"answered in {_ms(last.seconds)}", ms=round(1000 * last.seconds, 1))
    clock = assess.clock(last.headers.get("date"), time.time(), last.seconds)
    case.skew = clock.facts.get("skew", 0.0)
    yield clock
    login, case.asks = assess.login(last)
    yield login
    yield assess.version(about)


def expiry(case: Case) -> Iterator[Check]:
    """Say until when the token holds, a workload's after the exchange."""
    credential = case.settings.credential
    if credential is not None and credential.kind == "principal":
        yield check.skip("expiry", "a principal does not end")
        return
    if credential is None:
        yield check.skip("expiry", case.barred if case.auth is None else "no token")
        return
    if case.auth is None and not case.barred and not case.stopped:
        try:
            case.auth = auth_headers(case.settings, case.limit)
        except NemoJobsError as error:
            yield case.bar(check.failed("expiry", error))
            return
    if case.auth is None:
        yield check.skip("expiry", case.barred or case.stopped)
        return
    who = credentials.describe(case.settings.credential)
    renewal = explain.renewal_hint(credential.kind, credential.source)
    now = time.time() - case.skew  # the platform's clock judges it
    made = assess.expiry(credentials.expiry(case.auth), now, who, renewal, asked=case.asks)
    yield case.bar(made) if made.level == "fail" else made


def may(case: Case) -> Iterator[Check]:
    """Find out whether jobs may be read and updated in the workspace, and whether the job is there; change nothing."""
    stages = ("read", "write", *(("exists",) if case.settings.job is not None else ()))
    why = case.stopped or case.barred
    if why or case.auth is None:
        yield from check.skipped(stages, why)
        return
    session = Session(case.settings, Client(case.settings, case.auth), case.limit, case.auth)
    read = access.read(session)
    yield read
    forbidden = read.facts.get("status") == access.FORBIDDEN
    if read.level == "fail" and not forbidden:
        yield from check.skipped(stages[1:], case.bar(read) and case.barred)
        return
    yield access.write(session)
    if case.settings.job is None:
        return
    job = case.settings.job.value
    if forbidden:
        yield check.skip("exists", "as read failed")
    elif not (identifiers.is_name(job) or names.is_job_id(job)):
        yield check.skip("exists", "as job failed")
    else:
        yield access.exists(session, job)


def _ms(seconds: float) -> str:
    return f"{1000 * seconds:.1f} ms" if seconds < 0.01 else f"{1000 * seconds:.0f} ms"  # noqa: PLR2004 - a tenth matters
