"""Paths of the API: any text stays one path segment."""

from __future__ import annotations

from urllib.parse import unquote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nemo_jobs_cli.transport import routes

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


@given(TEXTS)
@example("..")
@example(".")
@example("a/../b")
@example("%2e%2E")
def test_a_segment_decodes_to_its_text(text):
    """It has no separator and is not `.` or `..`."""
    made = routes.segment(text)
    assert unquote(made, errors="strict") == text
    assert made.isascii()
    assert not set(made) & set("/?#\\ ;&=")
    assert made not in {".", ".."}


@pytest.mark.parametrize("text", ["train-llama", "a.b_c~d", "team@lab", "v1+2", "..."])
def test_a_plain_name_stays_readable(text):
    """Such names are not encoded."""
    assert routes.segment(text) == text


@pytest.mark.parametrize(
    ("text", "made"),
    [("é", "%C3%A9"), (" ", "%20"), ("..", "%2E%2E"), ("\ud800", "%ED%A0%80"), ("/\n", "%2F%0A"), ("", "")],
)
def test_other_text_is_encoded_as_utf8_bytes(text, made):
    """This includes a lone surrogate in a name that a server tells."""
    assert routes.segment(text) == made


@pytest.mark.parametrize(
    ("made", "path"),
    [
        (routes.jobs("/"), "/apis/jobs/v2/workspaces/%2F/jobs"),
        (routes.job_status("ws", "?"), "/apis/jobs/v2/workspaces/ws/jobs/%3F/status"),
        (routes.status_details("ws", "x1"), "/apis/jobs/v2/workspaces/ws/jobs/x1/status-details"),
        (
            routes.attempt_status_details("ws", "x1"),
            "/apis/jobs/v2/workspaces/ws/jobs/x1/attempts/current/status-details",
        ),
        (
            routes.attempt_status_details("ws", "x1", "../a"),
            "/apis/jobs/v2/workspaces/ws/jobs/x1/attempts/%2E%2E%2F%61/status-details",
        ),
        (routes.DISCOVERY, "/apis/auth/discovery"),
        (routes.WORKSPACES, "/apis/entities/v2/workspaces"),
    ],
)
def test_the_paths_are_those_of_the_platform(made, path):
    """They follow NeMo Platform 0.6 and the API reference of 0.9."""
    assert made == path


@pytest.mark.parametrize(
    ("path", "exact"),
    [
        (routes.attempt_status_details("ws", "x1", "platform-job-attempt-1"), True),
        (routes.attempt_status_details("ws", "attempts", "a"), True),
        (routes.attempt_status_details("ws", "x1"), False),
        (routes.attempt_status_details("attempts", "attempts"), False),
        (routes.status_details("ws", "attempts"), False),
        (routes.status_details("jobs", "attempts"), False),
        (routes.DISCOVERY, False),
    ],
)
def test_a_path_names_an_attempt_or_not(path, exact):
    """Whatever the names of job and workspace."""
    assert routes.has_exact_attempt(path) is exact
