"""The keys that the platform's pages read, and their misspellings."""

from __future__ import annotations

import pytest

from nemo_jobs_cli import keys


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("progres", "progress"), ("progresss", "progress"), ("progerss", "progress"), ("Progress", "progress"),
        ("prugress", "progress"), ("trainloss", "train_loss"), ("stauts", "status"), ("lastupdated", "lastUpdated"), ("mesage", "message"),
        ("progress_bar", ""), ("loss", ""), ("stage1", "stage"), ("steps", ""), ("lrr", ""), ("x", ""),
    ],
)  # fmt: skip
def test_one_slip_of_the_finger_is_recognised(word, meant):
    """Short keys are left alone: nearly every word is one letter from `lr`."""
    assert keys.close(word) == meant


def test_numbers_and_texts_are_different_keys():
    """A key can't be both."""
    assert not keys.NUMBERS & keys.TEXTS
