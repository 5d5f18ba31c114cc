"""The platform's timestamps have no zone and mean UTC."""

from __future__ import annotations

import pytest

from nemo_jobs_cli.core import timestamps


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1970-01-01T00:01:00", 60.0),
        ("1970-01-01T00:01:00.500000", 60.5),
        ("1970-01-01T00:01:00Z", 60.0),
        ("1970-01-01 00:01", 60.0),
        ("1970-01-01T02:01:00+02:00", 60.0),
        ("2026-13-01T00:00:00", None),
        ("0001-01-01T00:00:00+14:00", -62135647200.0),
        ("20261124", None),
        ("yesterday", None),
        ("", None),
        (1700000000, None),
        (None, None),
        (["2026-11-24T00:00:00"], None),
    ],
)
def test_a_timestamp_without_zone_is_utc_and_the_rest_is_none(text, expected):
    """What a writer put into lastUpdated may be anything; only a timestamp counts as one."""
    assert timestamps.seconds(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-24T04:09:02.215988", "2026-11-24T04:09:02.215988Z"),
        ("2026-11-24T04:09:02Z", "2026-11-24T04:09:02Z"),
        ("2026-11-24T04:09:02+01:00", "2026-11-24T04:09:02+01:00"),
        ("soon", "soon"),
        ("", ""),
    ],
)
def test_the_zone_that_the_platform_leaves_out_is_written(text, expected):
    """Scripts get a timestamp that no other zone can be read into."""
    assert timestamps.utc(text) == expected
