"""httpx without what is never used: as good as the whole, and everybody else gets the real modules."""

from __future__ import annotations

import subprocess
import sys

from raw import CHILD_ENVIRONMENT, response

PROGRAM = """
import sys
from nemo_jobs_cli.transport import httpx_import as lean
httpx = lean.import_httpx()
assert lean.import_httpx() is httpx
with httpx.Client() as client:
    for _ in range(2):
        answer = client.get(sys.argv[1])
        print(answer.status_code, answer.headers["set-cookie"], list(client.cookies), answer.charset_encoding)
import http.cookiejar, urllib.request
print(http.cookiejar.CookieJar.__module__, urllib.request.Request(sys.argv[1]).host != "")
"""


def test_no_cookie_is_kept_and_nobody_else_notices(raw_server):
    """A server may set cookies as it likes: none comes back."""
    server = raw_server([response(200, "null", "Set-Cookie: a=1")])
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM, server.url], env=CHILD_ENVIRONMENT, capture_output=True, text=True
    )
    assert ran.stderr == ""
    assert ran.stdout.splitlines() == ["200 a=1 [] None", "200 a=1 [] None", "http.cookiejar True"]
    assert not any(b"cookie" in request.lower() for request in server.seen)


def test_proxy_variables_are_read_by_the_real_module(raw_server):
    """Where there are any, they count."""
    server = raw_server([response(200)])
    program = "import sys; from nemo_jobs_cli.transport import httpx_import as lean; print(lean.import_httpx().get('http://h.invalid/').status_code)"
    env = {**CHILD_ENVIRONMENT, "HTTP_PROXY": server.url}
    ran = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True)
    assert (ran.stdout, ran.stderr) == ("200\n", "")
    assert server.seen[0].startswith(b"GET http://h.invalid/ ")
