"""The rules of doctor: which facts are warnings or failures."""

from __future__ import annotations

import json
import stat
from email.utils import formatdate

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nemo_jobs_cli.core.files import is_private
from nemo_jobs_cli.doctor import _assess
from nemo_jobs_cli.settings.model import Credential
from nemo_jobs_cli.transport.messages import Response

NOW = 1_800_000_000.0
TOKEN = Credential("token", "t", "NEMO_JOBS_TOKEN")
STDIN = Credential("file", "-", "--token-file")
FILE = Credential("file", "/token", "--token-file")


def response(value, status=200):
    """Return a response with a JSON body."""
    return Response(status, json.dumps(value).encode())


@given(st.integers(0, 4_000_000_000), st.floats(-1e6, 1e6), st.floats(0, 20))
def test_a_clock_that_is_off_by_more_than_a_minute_is_a_warning(server_time, skew, seconds):
    """Measured from the middle of the request, in both directions."""
    check = _assess.clock(formatdate(server_time, usegmt=True), server_time + skew + seconds / 2, seconds)
    assert abs(check.facts["skew"] - skew) < 0.2
    assert check.level == ("ok" if abs(skew) <= 60 else "warn") or abs(abs(skew) - 60) < 0.01
    if check.level == "warn":
        assert ("ahead of" if skew > 0 else "behind") in check.message
        assert check.fix


@given(st.text() | st.none())
def test_any_date_header_is_handled(text):
    """It comes from a server; without a valid one the clock is not checked."""
    assert {_assess.clock(date, NOW, 0.1).level for date in (None, "yesterday", "Mon, 99 Foo 2026 25:61:61 GMT")} == {
        "skip"
    }
    assert _assess.clock(text, NOW, 0.1).level in {"ok", "warn", "skip"}


@pytest.mark.parametrize(
    ("info", "message"),
    [
        ({"platform_version": "0.6.0", "revision": "dev"}, "NeMo Platform 0.6.0"),
        ({"platform_version": "0.1.0rc1", "revision": ""}, "NeMo Platform 0.1.0rc1"),
        ({"platform_version": "0.7.0", "revision": "dev"}, "NeMo Helix 0.7.0"),
        ({"platform_version": "1.2", "revision": "abc123"}, "NeMo Helix 1.2 (revision abc123)"),
        ({"platform_version": "dev", "revision": "dev"}, "NeMo Platform or Helix, version dev"),
        ({"platform_version": "0.6.0\x1b[31m"}, "NeMo Platform 0.6.0\\x1b[31m"),
    ],
)
def test_the_version_tells_the_product(info, message):
    """0.6.0 was the last release of NeMo Platform, 0.7.0 the first of NeMo Helix."""
    assert _assess.version(response(info)).message == message


@pytest.mark.parametrize(
    "info",
    [response({"detail": "Not Found"}, 404), Response(200, b"<html>"), response([]), response({"platform_version": 6})],
)
def test_an_unknown_version_is_skipped(info):
    """Nothing is guessed."""
    check = _assess.version(info)
    assert (check.level, check.message.startswith("unknown")) == ("skip", True)


@pytest.mark.parametrize(
    ("discovery", "level", "enabled"),
    [
        (response({"auth_enabled": True, "oidc": None}), "ok", True),
        (response({"auth_enabled": False}), "ok", False),
        (response({"auth_enabled": "yes"}), "skip", None),
        (response({"detail": "Not Found"}, 404), "skip", None),
        (response({"auth_enabled": True}, 401), "skip", None),
        (Response(200, b"[" * 100_000), "skip", None),
    ],
)
def test_discovery_says_whether_a_token_is_required(discovery, level, enabled):
    """Otherwise it is unknown."""
    check, auth_enabled = _assess.auth(discovery)
    assert (check.level, auth_enabled) == (level, enabled)


@given(
    st.floats(0, 4e9) | st.floats(NOW - 1200, NOW + 1200),
    st.sampled_from([True, False, None]),
    st.sampled_from([TOKEN, STDIN, FILE]),
)
@example(NOW + 600, True, TOKEN)
@example(NOW + 599, True, TOKEN)
def test_an_expiring_token_is_a_warning_and_an_expired_one_a_failure(expires, auth_enabled, credential):
    """A warning starts ten minutes before, if nothing renews it; expired, it fails with code 4 unless auth is off."""
    check = _assess.expiry(expires, NOW, credential, "renew", auth_enabled=auth_enabled)
    left = expires - NOW
    is_valid = left >= 600 or (left > 0 and credential is FILE)
    level = "ok" if is_valid else "warn" if left > 0 or auth_enabled is False else "fail"
    assert (check.level, check.exit_code) == (level, 4 if level == "fail" else 0)
    assert check.fix == ("" if level == "ok" else "renew")
    assert check.facts == {"expires": expires}


def test_a_token_without_an_expiry_is_skipped():
    """An opaque token has none that is known."""
    check = _assess.expiry(None, NOW, TOKEN, "renew", auth_enabled=True)
    assert (check.level, check.fix) == ("skip", "")


@given(st.floats(0, 4e9))
def test_a_certificate_has_a_fix_two_weeks_before_it_expires(expires):
    """Afterwards no request works, and somebody else has to renew it."""
    message, fix = _assess.certificate(expires, NOW)
    assert bool(fix) is (expires - NOW < 14 * 86400)
    assert message.startswith("certificate ")


@given(st.integers(0, 0o777))
def test_a_file_with_a_token_must_be_private(bits):
    """The fix is a command."""
    check = _assess.mode("config", "~/a b", "'/home/me/a b'", stat.S_IFREG | bits)
    assert check.level == ("warn" if bits & 0o077 else "ok")
    assert is_private(bits) is (check.level == "ok")
    if check.level == "warn":
        assert f"accessible to {'everyone' if bits & 0o007 else 'your group'} (mode {bits:03o})" in check.message
        assert check.fix == "chmod 600 '/home/me/a b'"


@pytest.mark.parametrize(
    ("contents", "level", "parts"),
    [
        ({}, "ok", ["on (x), empty, /o"]),
        ({"aside": 2}, "ok", ["2 set aside"]),
        ({"waiting": 3, "oldest": NOW - 7200}, "warn", ["3 waiting for this host", "oldest 2 h ago", "outbox flush"]),
        ({"elsewhere": 1}, "warn", ["1 waiting for other hosts", "--profile"]),
        ({"rejected": 1}, "warn", ["1 rejected", "rejected/"]),
        ({"broken": 4}, "warn", ["4 broken", "broken/"]),
        ({"oldest": NOW + 50}, "ok", ["oldest 0.0 s ago", "/o\\x1b"]),
    ],
)
def test_entries_in_the_outbox_come_with_a_fix(contents, level, parts):
    """Control characters in the folder's name are escaped."""
    contents = {"waiting": 0, "elsewhere": 0, "rejected": 0, "aside": 0, "broken": 0, "oldest": None} | contents
    folder = "/o\x1b" if "/o\\x1b" in parts else "/o"
    check = _assess.outbox(folder, contents, NOW, "on (x)")
    assert check.level == level
    assert all(part in f"{check.message} {check.fix}" for part in parts)
    assert check.facts == contents
