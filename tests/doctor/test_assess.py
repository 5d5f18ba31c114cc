"""The rules of a check-up."""

from __future__ import annotations

import json
import stat
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nemo_jobs_cli.core import places
from nemo_jobs_cli.doctor import assess
from nemo_jobs_cli.doctor.assess import Lying
from nemo_jobs_cli.transport.messages import Response

NOW = 1_800_000_000.0
MOMENTS = st.integers(0, 4_000_000_000)


def answer(value, status=200):
    """Return an answer with a JSON body."""
    return Response(status, json.dumps(value).encode())


@given(MOMENTS, st.floats(-1e6, 1e6), st.floats(0, 20))
def test_a_clock_is_wrong_where_it_is_more_than_a_minute_off(then, skew, seconds):
    """Counted from the middle of the request; whichever is ahead."""
    made = assess.clock(formatdate(then, usegmt=True), then + skew + seconds / 2, seconds)
    found = made.facts["skew"]
    assert abs(found - skew) < 0.2
    assert made.level == ("ok" if abs(skew) <= 60 else "warn") or abs(abs(skew) - 60) < 0.01
    if made.level == "warn":
        assert ("ahead of" if skew > 0 else "behind") in made.says
        assert made.fix


@given(st.text() | st.none())
def test_any_date_is_survived(text):
    """It comes from a server."""
    assert assess.clock(text, NOW, 0.1).level in {"ok", "warn", "skip"}


@pytest.mark.parametrize("date", [None, "", "yesterday", "Mon, 99 Foo 2026 25:61:61 GMT"])
def test_no_date_is_no_judgement(date):
    """Nor a failure."""
    assert assess.clock(date, NOW, 0.1).level == "skip"


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({"platform_version": "0.6.0", "revision": "dev"}, "NeMo Platform 0.6.0"),
        ({"platform_version": "0.1.0rc1", "revision": ""}, "NeMo Platform 0.1.0rc1"),
        ({"platform_version": "0.7.0", "revision": "dev"}, "NeMo Helix 0.7.0"),
        ({"platform_version": "1.2", "revision": "abc123"}, "NeMo Helix 1.2 (revision abc123)"),
        ({"platform_version": "dev", "revision": "dev"}, "NeMo Platform or Helix, version dev"),
        ({"platform_version": "0.6.0\x1b[31m"}, "NeMo Platform 0.6.0\\x1b[31m"),
    ],
)
def test_the_version_tells_the_product(said, told):
    """0.6.0 was the last release under the old name, 0.7.0 the first under the new one."""
    assert assess.version(answer(said)).says == told


@pytest.mark.parametrize(
    "told",
    [answer({"detail": "Not Found"}, 404), Response(200, b"<html>"), answer([]), answer({"platform_version": 6})],
)
def test_an_unknown_version_is_called_unknown(told):
    """Nothing is guessed."""
    made = assess.version(told)
    assert (made.level, made.says.startswith("unknown")) == ("skip", True)


@pytest.mark.parametrize(
    ("told", "level", "asks"),
    [
        (answer({"auth_enabled": True, "oidc": None}), "ok", True),
        (answer({"auth_enabled": False}), "ok", False),
        (answer({"auth_enabled": "yes"}), "skip", None),
        (answer({"detail": "Not Found"}, 404), "skip", None),
        (answer({"auth_enabled": True}, 401), "skip", None),
        (Response(200, b"[" * 100_000), "skip", None),
    ],
)
def test_discovery_tells_whether_a_token_is_wanted(told, level, asks):
    """What it does not say is not known."""
    made, found = assess.login(told)
    assert (made.level, found) == (level, asks)


@given(st.floats(0, 4e9), st.sampled_from([True, False, None]))
def test_a_tokens_end_is_told_before_and_after(ends, asked):
    """An hour before it is warned of; after it, it fails with 4 wherever the server may look at it."""
    made = assess.expiry(ends, NOW, "token from X", "renew", asked=asked)
    left = ends - NOW
    level = "ok" if left >= 3600 else "warn" if left > 0 or asked is False else "fail"
    assert (made.level, made.code) == (level, 4 if level == "fail" else 0)
    assert made.fix == ("" if level == "ok" else "renew")
    assert made.facts == {"expires": ends}


def test_a_token_that_tells_no_end_is_no_trouble():
    """An access key is no JWT."""
    made = assess.expiry(None, NOW, "token from X", "renew", asked=True)
    assert (made.level, made.fix) == ("skip", "")


@given(st.floats(0, 4e9))
def test_a_certificate_is_told_of_two_weeks_before_its_end(ends):
    """Later nothing works, and its renewal is somebody else's."""
    says, fix = assess.certificate(ends, NOW)
    assert bool(fix) is (ends - NOW < 14 * 86400)
    assert says.startswith("certificate until ")


@given(st.integers(0, 0o777))
def test_a_token_is_for_its_owner_alone(bits):
    """Any bit of others is one too many, and the fix takes it away."""
    made = assess.mode("config", "~/a b", "'/home/me/a b'", stat.S_IFREG | bits)
    assert made.level == ("warn" if bits & 0o077 else "ok")
    assert places.is_open(bits) is (made.level == "warn")
    if made.level == "warn":
        assert f"(mode {bits:03o})" in made.says
        assert made.fix == "chmod 600 '/home/me/a b'"


@pytest.mark.parametrize(
    ("lying", "level", "parts"),
    [
        (Lying("/o"), "ok", ["empty"]),
        (Lying("/o", aside=2), "ok", ["2 set aside"]),
        (Lying("/o", waiting=3, oldest=NOW - 7200), "warn", ["3 to be delivered here", "the oldest 2 h ago", "flush"]),
        (Lying("/o", elsewhere=1), "warn", ["1 to be delivered to other hosts", "--profile"]),
        (Lying("/o", rejected=1), "warn", ["1 rejected", "rejected/"]),
        (Lying("/o", broken=4), "warn", ["4 broken", "broken/"]),
        (Lying("/o\x1b", oldest=NOW + 50), "ok", ["the oldest 0.0 s ago", "/o\\x1b"]),
    ],
)
@pytest.mark.parametrize("wanted", [True, False])
def test_what_lies_in_the_outbox_is_told_with_what_to_do(lying, level, parts, wanted):
    """Whether it is on or not: it may have been."""
    made = assess.outbox(lying, NOW, wanted=wanted, switch="on (x)")
    assert made.level == level
    assert all(part in f"{made.says} {made.fix}" for part in parts)
    assert made.facts["waiting"] == lying.waiting


def test_a_folder_that_can_not_be_written_fails_where_it_is_wanted():
    """Else nobody will write there."""
    lying = Lying("/o", trouble="/o can't be written")
    made = assess.outbox(lying, NOW, wanted=True)
    assert (made.level, made.code, "--outbox-dir" in made.fix) == ("fail", 3, True)
    assert assess.outbox(lying, NOW, wanted=False).level == "ok"


def test_a_server_that_accepts_anything_is_no_platform():
    """An update of a job that can't be has no right to succeed."""
    assert (assess.write_accepted().level, assess.write_accepted().code) == ("fail", 6)
