"""Answer one request to the sandbox: which route, which method, who asks."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nemo_jobs_cli.sandbox import body as sandbox_body
from nemo_jobs_cli.sandbox import create, listing
from nemo_jobs_cli.sandbox import state as sandbox_state
from nemo_jobs_cli.sandbox import wire as answers

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from nemo_jobs_cli.sandbox.state import State
    from nemo_jobs_cli.sandbox.wire import Reply

VERSION = "0.6.0"  # of the platform that is imitated
TOKEN = "sandbox"  # noqa: S105 - the word that --auth asks for, no secret

_JOBS = r"/apis/jobs/v2/workspaces/(?P<workspace>[^/]+)/jobs"
_DETAILS = {False: _JOBS + r"/(?P<name>[^/]+)/status-details"}
_DETAILS[True] = _JOBS + r"/(?P<name>[^/]+)/attempts/current/status-details"
_DISCOVERY = "/apis/auth/discovery"
_CLUSTER = "/cluster-info"
_OPEN = frozenset({_DISCOVERY, _CLUSTER})  # to strangers, too


@dataclass(frozen=True)
class Asked:
    """One request: its path decoded, its query's last values, its headers by lower-case name."""

    method: str
    path: str
    base: str = ""
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = b""
    raw_path: str = ""


@dataclass(frozen=True)
class Rules:
    """How this sandbox differs from a plain one. `window` is called between a PATCH's read and its write."""

    auth: bool = False
    attempts_only: bool = False
    window: Callable[[], None] | None = None


def answer(state: State, asked: Asked, rules: Rules) -> Reply:
    """Answer a request as NeMo Platform 0.6.0 does."""
    if rules.auth and asked.path not in _OPEN and (refused := _stranger(asked.headers)):
        return refused
    for pattern, handlers in _routes(rules):
        found = re.fullmatch(pattern, asked.path)
        if found:
            handler = handlers.get(asked.method)
            if handler is None:
                return answers.wrong_method(next(reversed(handlers)))
            return handler(state, asked, rules, **found.groupdict())
    bare = asked.path.rstrip("/")
    if bare != asked.path and any(re.fullmatch(pattern, bare) for pattern, _ in _routes(rules)):
        path, mark, query = asked.raw_path.partition("?")
        return answers.redirect(asked.base + path.rstrip("/") + mark + query)
    return answers.no_route()


def _stranger(headers: Mapping[str, str]) -> Reply | None:
    """Return the refusal of a request that doesn't carry the token."""
    kind, _, token = headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer":
        return None if token.strip() == TOKEN else answers.detail(401, "Invalid or expired token")
    if headers.get("x-nmp-principal-id"):
        return answers.detail(403, "Forbidden")  # nobody but the token's bearer is known here
    return answers.detail(401, "Unauthorized")


def _routes(rules: Rules) -> list[tuple[str, dict[str, Callable[..., Reply]]]]:
    """Return the paths and what answers each method; the last one is what a 405 allows."""
    return [
        (_DETAILS[rules.attempts_only], {"PATCH": _patch}),
        (_JOBS + r"/(?P<name>[^/]+)/status", {"GET": _status}),
        (_JOBS + r"/(?P<name>[^/]+)", {"GET": _job}),
        (_JOBS, {"GET": _list, "POST": _create}),
        ("/apis/entities/v2/workspaces", {"GET": _workspaces}),
        (_DISCOVERY, {"GET": _discovery}),
        (_CLUSTER, {"GET": _cluster}),
        ("/openapi.json", {"GET": _openapi}),
    ]


def _patch(state: State, asked: Asked, rules: Rules, workspace: str, name: str) -> Reply:
    details = sandbox_body.mapping(asked.headers.get("content-type"), asked.body)
    if isinstance(details, answers.Reply):
        return details
    found = sandbox_state.find(state, workspace, name)
    if found is None:
        return answers.no_entity(workspace, name)
    seen = found.version
    if rules.window is not None:
        rules.window()
    return sandbox_state.merge(found, details, seen)


def _status(state: State, _asked: Asked, _rules: Rules, workspace: str, name: str) -> Reply:
    found = sandbox_state.find(state, workspace, name)
    return answers.no_job(workspace, name) if found is None else answers.ok(sandbox_state.status(found))


def _job(state: State, _asked: Asked, _rules: Rules, workspace: str, name: str) -> Reply:
    found = sandbox_state.find(state, workspace, name)
    return answers.no_job(workspace, name) if found is None else answers.ok(found.record)


def _list(state: State, asked: Asked, _rules: Rules, workspace: str) -> Reply:
    return listing.jobs(state, workspace, asked.query)


def _create(state: State, asked: Asked, _rules: Rules, workspace: str) -> Reply:
    said: Any = sandbox_body.parse(asked.headers.get("content-type"), asked.body)
    return said if isinstance(said, answers.Reply) else create.create(state, workspace, said)


def _workspaces(state: State, asked: Asked, _rules: Rules) -> Reply:
    return listing.workspaces(state, asked.query)


def _discovery(_state: State, _asked: Asked, rules: Rules) -> Reply:
    return answers.ok({"auth_enabled": rules.auth, "oidc": None})


def _cluster(_state: State, _asked: Asked, _rules: Rules) -> Reply:
    return answers.ok({"platform_version": VERSION, "revision": "nemo-jobs-sandbox"})


def _openapi(_state: State, _asked: Asked, rules: Rules) -> Reply:
    paths: dict[str, dict[str, Any]] = {
        re.sub(r"\(\?P<(\w+)>[^)]*\)", r"{\1}", pattern): {method.lower(): {} for method in handlers}
        for pattern, handlers in _routes(rules)
    }
    about = {"title": "nemo-jobs sandbox", "version": VERSION}
    return answers.ok({"openapi": "3.1.0", "info": about, "paths": paths})
