"""How a server with authentication refuses requests; test_doctor has the permissions."""

from __future__ import annotations

import httpx
import pytest
from contract.conftest import TLS

PATHS = [
    ("PATCH", "/apis/jobs/v2/workspaces/default/jobs/x-1/status-details"),
    ("GET", "/apis/jobs/v2/workspaces/default/jobs/x-1/status"),
    ("GET", "/apis/jobs/v2/workspaces/default/jobs"),
    ("GET", "/apis/entities/v2/workspaces"),
]


@pytest.fixture
def ask(guarded):
    """Return a function that sends a request with these headers."""
    with httpx.Client(base_url=guarded.url, timeout=60, trust_env=False, verify=TLS) as client:
        yield client.request


@pytest.mark.parametrize(("method", "path"), PATHS)
@pytest.mark.parametrize(
    ("headers", "detail"),
    [
        ({}, "Unauthorized"),
        ({"authorization": "Basic eDp5"}, "Unauthorized"),
        ({"authorization": "Bearer nonsense"}, "Invalid or expired token"),
    ],
    ids=["no token", "basic", "invalid token"],
)
def test_a_request_without_a_valid_token_is_a_401(ask, method, path, headers, detail):
    """On every route that the tool uses, and without WWW-Authenticate."""
    response = ask(method, path, headers=headers, json={} if method == "PATCH" else None)
    assert (response.status_code, response.json()) == (401, {"detail": detail})
    assert "www-authenticate" not in response.headers
