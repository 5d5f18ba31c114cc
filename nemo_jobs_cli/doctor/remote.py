"""Check network, server and permissions; change nothing.

Responses of NeMo Platform 0.6.0 to an empty PATCH of a job that cannot exist (tests/contract/test_doctor.py):

    caller                                GET .../jobs?page_size=1           PATCH .../status-details
    anyone, authentication off            200                                404 Entity ... not found
    no token, authentication on           401 Unauthorized                   401 Unauthorized
    invalid or expired token              401 Invalid or expired token       401 Invalid or expired token
    unknown user                          403 Forbidden                      403 Forbidden
    Viewer of the workspace               200                                403 Forbidden
    Editor of the workspace               200                                404 Entity ... not found
    any, misspelled workspace             403, without auth 404 Workspace    403, without auth 404 Entity

So permissions are checked before the job is looked up, and a 404 of the job means that updates are allowed.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from nemo_jobs_cli.api import jobs
from nemo_jobs_cli.api.session import Session, auth_headers
from nemo_jobs_cli.auth import credentials
from nemo_jobs_cli.core import identifiers, names, times
from nemo_jobs_cli.core.errors import AuthError, NemoJobsError, NotFoundError, RejectedError
from nemo_jobs_cli.core.text import one_line, plural
from nemo_jobs_cli.delivery import deliver
from nemo_jobs_cli.doctor import _assess, _probe
from nemo_jobs_cli.doctor.check import Check, skip_all
from nemo_jobs_cli.reporting import pace
from nemo_jobs_cli.transport import classify, connection, explain, routes
from nemo_jobs_cli.transport.client import Client
from nemo_jobs_cli.transport.messages import Failure, Request, Response, SendResult

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from nemo_jobs_cli.doctor.check import Diagnosis

NETWORK_CHECKS = ("dns", "tcp", "tls")
SERVER_CHECKS = ("http", "clock", "auth", "version")

_MAX_SHOWN_ADDRESSES = 4

# Responses of something that is not the platform, or that cannot serve.
_UNUSABLE = frozenset({"foreign", "redirect", "transient"})


def network(diagnosis: Diagnosis) -> Iterator[Check]:
    """Check name lookup, TCP and TLS, unless a proxy does them."""
    settings, limit = diagnosis.settings, diagnosis.deadline
    if diagnosis.host_blocked:
        yield from skip_all(NETWORK_CHECKS, diagnosis.host_blocked)
        return
    if settings.proxy is not None:
        yield from skip_all(NETWORK_CHECKS, f"uses a proxy ({settings.proxy.variable})")
        return
    host, port = connection.host_and_port(settings)
    addresses, seconds = _probe.timed(lambda: _probe.look_up(host, port, limit.left()))
    if isinstance(addresses, Failure):
        yield from _network_failure(diagnosis, addresses, seconds, "dns")
        return
    yield _looked_up(host, addresses, seconds)
    connected, seconds = _probe.timed(lambda: _probe.connect(addresses, limit.left()))
    if isinstance(connected, Failure):
        yield from _network_failure(diagnosis, connected, seconds, "tcp")
        return
    with connected.socket as plain:
        yield _connected(connected, port, seconds)
        if settings.host.value.lower().startswith("http:"):
            yield Check.skip("tls", "plain http://")
            return
        handshake, seconds = _probe.timed(lambda: _probe.shake_hands(plain, host, settings, limit.left()))
    if isinstance(handshake, Failure):
        yield from _network_failure(diagnosis, handshake, seconds, "tls")
        return
    certificate, fix = _assess.certificate(handshake.expires, time.time())
    message = f"{handshake.version} in {_ms(seconds)}, {certificate}"
    facts = {"ms": round(1000 * seconds, 1), "certificate_ends": handshake.expires}
    yield Check.warn("tls", message, fix, **facts) if fix else Check.ok("tls", message, **facts)


def _looked_up(host: str, lookup: Sequence[_probe.Address], seconds: float) -> Check:
    addresses = list(dict.fromkeys(str(address[4][0]) for address in lookup))
    facts = {"addresses": addresses, "ms": round(1000 * seconds, 1)}
    if addresses == [host]:
        return Check.ok("dns", f"{host} is an IP address", **facts)
    shown = ", ".join(addresses[:_MAX_SHOWN_ADDRESSES])
    hidden = len(addresses) - _MAX_SHOWN_ADDRESSES
    more = f" and {hidden} more" if hidden > 0 else ""
    return Check.ok("dns", f"{one_line(host, 200)} is {shown}{more}, in {_ms(seconds)}", **facts)


def _connected(connected: _probe.Connection, port: int, seconds: float) -> Check:
    message = f"connected to {connected.address} port {port} in {_ms(seconds)}"
    facts = {"address": connected.address, "port": port, "ms": round(1000 * seconds, 1)}
    if not connected.unanswered:
        return Check.ok("tcp", message, **facts)
    message += f"; every request first tries {', '.join(connected.unanswered)}, which does not respond"
    return Check.warn("tcp", message, "remove the dead address from DNS, or fix the route to it", **facts)


def _network_failure(diagnosis: Diagnosis, failure: Failure, seconds: float, name: str) -> Iterator[Check]:
    error = explain.explain_failure(failure, diagnosis.settings, times.format_duration(seconds))
    if failure.kind == "timeout":
        error.hint = "check firewall and VPN, or wait longer: --deadline 60"
    error.facts["failure"] = failure.kind
    yield diagnosis.block_host(Check.fail(name, error))
    yield from skip_all(NETWORK_CHECKS[NETWORK_CHECKS.index(name) + 1 :], diagnosis.host_blocked)


def server(diagnosis: Diagnosis) -> Iterator[Check]:
    """Check the public facts of the platform: time, auth, version."""
    if diagnosis.host_blocked:
        yield from skip_all(SERVER_CHECKS, diagnosis.host_blocked)
        return
    session = Session(diagnosis.settings, Client(diagnosis.settings, {}), diagnosis.deadline)
    # The first request includes the connection and imports, so only the second one is timed.
    info = session.sender.send(Request("GET", routes.CLUSTER), diagnosis.deadline.left())
    last = info
    if isinstance(info, Response):
        last = session.sender.send(Request("GET", routes.DISCOVERY), diagnosis.deadline.left())
    if isinstance(info, Failure) or isinstance(last, Failure) or classify.kind(last) in _UNUSABLE:
        yield diagnosis.block_host(Check.fail("http", session.explain(SendResult(last), None)))
        yield from skip_all(SERVER_CHECKS[1:], diagnosis.host_blocked)
        return
    yield Check.ok("http", f"responded in {_ms(last.seconds)}", ms=round(1000 * last.seconds, 1))
    clock = _assess.clock(last.headers.get("date"), time.time(), last.seconds)
    diagnosis.skew = clock.facts.get("skew", 0.0)
    yield clock
    auth, diagnosis.auth_enabled = _assess.auth(last)
    yield auth
    yield _assess.version(info)


def expiry(diagnosis: Diagnosis) -> Iterator[Check]:
    """Check when the token expires; a workload token is exchanged first."""
    credential = diagnosis.settings.credential
    if credential is None:
        yield Check.skip("expiry", diagnosis.auth_blocked if diagnosis.headers is None else "no token")
        return
    if credential.kind == "principal":
        yield Check.skip("expiry", "a principal does not expire")
        return
    blocked = diagnosis.auth_blocked or diagnosis.host_blocked
    if diagnosis.headers is None and not blocked:
        try:
            diagnosis.headers = auth_headers(diagnosis.settings, diagnosis.deadline)
        except NemoJobsError as error:
            yield diagnosis.block_auth(Check.fail("expiry", error))
            return
    if diagnosis.headers is None:
        yield Check.skip("expiry", blocked)
        return
    check = _assess.expiry(
        credentials.token_expiry(diagnosis.headers, credential),
        time.time() - diagnosis.skew,  # the server's clock decides
        credential,
        explain.renewal_hint(credential.kind, credential.source),
        auth_enabled=diagnosis.auth_enabled,
    )
    yield diagnosis.block_auth(check) if check.level == "fail" else check


def permissions(diagnosis: Diagnosis) -> Iterator[Check]:
    """Check that jobs can be read and updated, and that the job exists."""
    job = diagnosis.settings.job
    checks = ("read", "write", *(("exists",) if job is not None else ()))
    blocked = diagnosis.host_blocked or diagnosis.auth_blocked
    if blocked or diagnosis.headers is None:
        yield from skip_all(checks, blocked)
        return
    client = Client(diagnosis.settings, diagnosis.headers)
    session = Session(diagnosis.settings, client, diagnosis.deadline, diagnosis.headers)
    read = _read(session)
    yield read
    is_forbidden = "permission" in read.facts
    if read.level == "fail" and not is_forbidden:
        yield from skip_all(checks[1:], "read failed")
        return
    yield from _write(session)
    if job is None:
        return
    if is_forbidden:
        yield Check.skip("exists", "read failed")
    elif not (identifiers.is_name(job.value) or names.is_job_id(job.value)):
        yield Check.skip("exists", "job failed")
    else:
        yield _exists(session, job.value)


def _read(session: Session) -> Check:
    """Request one job of the workspace."""
    workspace = session.settings.workspace
    query = (("page", "1"), ("page_size", "1"), ("sort", "-created_at"))
    try:
        page = session.fetch(Request("GET", routes.jobs(workspace.value), query)).object()
    except (AuthError, NotFoundError) as error:
        return Check.fail("read", jobs.with_similar_workspaces(error, session, workspace.value))
    except NemoJobsError as error:
        return Check.fail("read", error)
    pagination = page.get("pagination")
    total = pagination.get("total_results") if isinstance(pagination, dict) else None
    shown = f", {plural(total, 'job')}" if isinstance(total, int) else ""
    return Check.ok("read", f"allowed in workspace {workspace.value}{shown}", jobs=total if shown else None)


def _write(session: Session) -> Iterator[Check]:
    """Check the permission with an update that changes nothing; then the pace."""
    workspace = session.settings.workspace.value
    result, api, kind = deliver.probe(session)
    if kind == "missing":
        route = " through the route of attempts" if api == "attempts" else ""
        yield Check.ok("write", f"allowed in workspace {workspace}{route}", api=api)
        yield _pace(result.last.seconds)
        return
    if kind == "ok":
        message = "the server accepted an update of a job that cannot exist: something other than the platform responds"
        yield Check.fail("write", RejectedError(message, "check the host, and proxies in front of it"))
        return
    error = session.explain(result, deliver.IMPOSSIBLE_JOB)
    if isinstance(error, AuthError):
        error = jobs.with_similar_workspaces(error, session, workspace)
    yield Check.fail("write", error)


def _pace(seconds: float) -> Check:
    """Compare the pace that this server allows with the default interval.

    The refused update is not stored, which takes NeMo Platform 0.6.0 a third of the time of one that is.
    """
    period = pace.period(seconds)
    facts = {"ms": round(1000 * seconds, 1), "period": round(period, 1)}
    reason = f"the server took {_ms(seconds)} to refuse an update; storing one takes longer"
    if period <= pace.INTERVAL:
        return Check.ok("pace", f"run and stream send up to one report each second: {reason}", **facts)
    slowed = f"run and stream send at most one report each {times.format_duration(period)}: {reason}"
    return Check.warn("pace", slowed, "report from fewer jobs or with a longer --interval, if it is busy", **facts)


def _exists(session: Session, job: str) -> Check:
    try:
        status = jobs.find_status(session, session.settings.workspace.value, job)
    except NemoJobsError as error:
        return Check.fail("exists", error)
    state = one_line(str(status.get("status") or "unknown"), 40)
    return Check.ok("exists", f"{one_line(str(status.get('name') or job), 80)} is {state}", status=state)


def _ms(seconds: float) -> str:
    if seconds >= 1:
        return times.format_duration(seconds)
    return f"{1000 * seconds:.1f} ms" if seconds < 0.01 else f"{1000 * seconds:.0f} ms"  # noqa: PLR2004 - 10 ms
