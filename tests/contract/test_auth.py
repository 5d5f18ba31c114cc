"""What a server that asks for credentials says to strangers."""

from __future__ import annotations

import httpx
import pytest

PATHS = [
    ("PATCH", "/apis/jobs/v2/workspaces/default/jobs/x-1/status-details"),
    ("GET", "/apis/jobs/v2/workspaces/default/jobs/x-1/status"),
    ("GET", "/apis/jobs/v2/workspaces/default/jobs"),
    ("GET", "/apis/entities/v2/workspaces"),
    ("GET", "/openapi.json"),
]


@pytest.fixture
def ask(guarded):
    """Return a function that sends a request with these headers."""
    with httpx.Client(base_url=guarded.url, timeout=60, trust_env=False) as client:
        yield client.request


@pytest.mark.parametrize(("method", "path"), PATHS)
@pytest.mark.parametrize(
    ("headers", "says"),
    [
        ({}, "Unauthorized"),
        ({"authorization": "Basic eDp5"}, "Unauthorized"),
        ({"authorization": "Bearer nonsense"}, "Invalid or expired token"),
    ],
    ids=["nothing", "basic", "a wrong token"],
)
def test_strangers_are_turned_away(ask, method, path, headers, says):
    """Without a token that holds, every route is a 401, without WWW-Authenticate."""
    answer = ask(method, path, headers=headers, json={} if method == "PATCH" else None)
    assert (answer.status_code, answer.json()) == (401, {"detail": says})
    assert "www-authenticate" not in answer.headers


def test_an_unknown_user_is_forbidden(ask):
    """A principal whom nobody knows may change nothing."""
    answer = ask(*PATHS[0], headers={"x-nmp-principal-id": "nobody-knows-me"}, json={})
    assert (answer.status_code, answer.json()) == (403, {"detail": "Forbidden"})


def test_discovery_needs_no_credentials(ask):
    """Anyone can ask whether credentials are needed."""
    answer = ask("GET", "/apis/auth/discovery")
    assert (answer.status_code, answer.json()["auth_enabled"]) == (200, True)
