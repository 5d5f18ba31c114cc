"""The keys that the platform's page shows, and their misspellings."""

from __future__ import annotations

import pytest

from nemo_jobs_cli.core import known_keys


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("progres", "progress"), ("progresss", "progress"), ("progerss", "progress"), ("Progress", "progress"),
        ("prugress", "progress"), ("trainloss", "train_loss"), ("stauts", "status"), ("lastupdated", "lastUpdated"), ("mesage", "message"),
        ("progress_bar", ""), ("bleu", ""), ("stage1", "stage"), ("steps", ""), ("lrr", ""), ("x", ""),
    ],
)  # fmt: skip
def test_one_typing_error_is_recognized(word, expected):
    """Except in short keys: nearly every word is one letter from `lr`."""
    assert known_keys.correct_key(word) == expected


@pytest.mark.parametrize(
    ("given", "numbers", "warnings"),
    [
        (["progres"], [], ["progres is not a key that the platform shows; did you mean progress?"]),
        (["progress "], [], ["'progress ' is not a key that the platform shows; did you mean progress?"]),
        ([" lr"], [], ["' lr' is not a key that the platform shows; did you mean lr?"]),
        (["progres", "progress"], [], []),
        (["stages"], ["stages"], []),
        (["progress", "message", "loss", "my.key", "x" * 30], [], []),
    ],
)
def test_a_misspelled_key_has_a_warning(given, numbers, warnings):
    """Unless the known key is given too, or the key is listed as a number."""
    found = known_keys.typo_warnings(given, set(numbers))
    assert (list(found.values()), found.keys() <= set(given)) == (warnings, True)


def test_numbers_and_texts_are_different_keys():
    """A key cannot be both."""
    assert not known_keys.NUMBERS & known_keys.TEXTS
