"""Paths of the API: whatever a segment holds, it stays one segment."""

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
def test_a_segment_is_decoded_to_what_it_was(text):
    """It holds nothing that ends a segment, and is no step upwards."""
    made = routes.segment(text)
    assert unquote(made, errors="strict") == text
    assert made.isascii()
    assert not set(made) & set("/?#\\ ;&=")
    assert made not in {".", ".."}


@pytest.mark.parametrize("text", ["train-llama", "a.b_c~d", "team@lab", "v1+2", "..."])
def test_a_plain_name_stays_readable(text):
    """Nearly every name goes through as it is."""
    assert routes.segment(text) == text


@pytest.mark.parametrize(
    ("text", "made"),
    [("é", "%C3%A9"), (" ", "%20"), ("..", "%2E%2E"), ("\udcff", "%FF"), ("/\n", "%2F%0A"), ("", "")],
)
def test_the_rest_is_its_utf8_bytes(text, made):
    """Also a byte of the command line that was no UTF-8 at all."""
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
        (routes.DISCOVERY, "/apis/auth/discovery"),
        (routes.WORKSPACES, "/apis/entities/v2/workspaces"),
    ],
)
def test_the_paths_are_the_platforms(made, path):
    """As NeMo Platform 0.6 and the reference of 0.9 have them."""
    assert made == path
