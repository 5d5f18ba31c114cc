"""httpx without cookies: it sends requests as usual, and other code gets the real modules."""

from __future__ import annotations

import subprocess
import sys

from raw import CHILD_ENVIRONMENT, response

TWO_REQUESTS = """
import sys
from nemo_jobs_cli.transport import _httpx_import
httpx = _httpx_import.import_httpx()
assert _httpx_import.import_httpx() is httpx
with httpx.Client() as client:
    for _ in range(2):
        answer = client.get(sys.argv[1])
        print(answer.status_code, answer.headers["set-cookie"], list(client.cookies), answer.charset_encoding)
import http.cookiejar, urllib.request
print(http.cookiejar.CookieJar.__module__, urllib.request.Request(sys.argv[1]).host != "")
"""

ONE_REQUEST = """
import sys
from nemo_jobs_cli.transport import _httpx_import
print(_httpx_import.import_httpx().get(sys.argv[1]).status_code)
"""


def python(program, url, **env):
    """Return the output of a Python program that gets `url`."""
    words = [sys.executable, "-c", program, url]
    done = subprocess.run(words, env={**CHILD_ENVIRONMENT, **env}, capture_output=True, text=True)
    assert done.stderr == ""
    return done.stdout.splitlines()


def test_no_cookie_is_kept(raw_server):
    """No cookie is sent back, and later imports get the real modules."""
    server = raw_server([response(200, "null", "Set-Cookie: a=1")])
    assert python(TWO_REQUESTS, server.url) == ["200 a=1 [] None", "200 a=1 [] None", "http.cookiejar True"]
    assert not any(b"cookie" in request.lower() for request in server.seen)


def test_proxy_variables_are_read_by_the_real_module(raw_server):
    """The request goes to the proxy."""
    server = raw_server([response(200)])
    assert python(ONE_REQUEST, "http://h.invalid/", HTTP_PROXY=server.url) == ["200"]
    assert server.seen[0].startswith(b"GET http://h.invalid/ ")
