"""httpx without the modules that its transport does not need."""

from __future__ import annotations

import subprocess
import sys

from raw import CHILD_ENVIRONMENT, response

PROGRAM = """
import sys
from nemo_jobs_cli.transport import _httpx_import
httpx = _httpx_import.import_httpx()
assert _httpx_import.import_httpx() is httpx
answer = httpx.HTTPTransport().handle_request(httpx.Request("GET", sys.argv[1]))
print(answer.status_code, answer.headers["set-cookie"])
import email.message, http.cookiejar, urllib.request
print(http.cookiejar.CookieJar.__module__, urllib.request.Request.__module__, email.message.Message.__module__)
"""


def test_requests_are_sent_and_other_code_gets_the_real_modules(raw_server):
    """The replacements are gone after the import."""
    server = raw_server([response(200, "null", "Set-Cookie: a=1")])
    words = [sys.executable, "-c", PROGRAM, server.url]
    done = subprocess.run(words, env=CHILD_ENVIRONMENT, capture_output=True, encoding="utf-8")
    assert done.stderr == ""
    assert done.stdout.splitlines() == ["200 a=1", "http.cookiejar urllib.request email.message"]
