"""What can be the value of a profile's key; `test_config` of the commands sets each of them."""

from __future__ import annotations

import pytest

from nemo_jobs_cli.core.errors import UsageError
from nemo_jobs_cli.settings import profile_values


def test_parse_knows_no_other_keys():
    """The list of the profile's keys is the only one."""
    with pytest.raises(UsageError):
        profile_values.parse("job", "train-x")


@pytest.mark.parametrize(
    ("key", "text", "value"), [("allow_http", "TRUE", True), ("numbers", "a, b", ["a", "b"]), ("ca_file", "a b", "a b")]
)
def test_a_text_becomes_what_the_file_holds(key, text, value):
    """With the type of its key."""
    assert profile_values.parse(key, text) == value
