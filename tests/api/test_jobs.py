"""Walking the list of jobs, whatever its pages look like."""

from __future__ import annotations

import json

import pytest

from nemo_jobs_cli.api import jobs
from nemo_jobs_cli.api.session import Session
from nemo_jobs_cli.core import deadline
from nemo_jobs_cli.settings.model import Settings
from nemo_jobs_cli.transport.messages import Response


class Pages:
    """A sender that answers with one page after the other."""

    trace_id = "t"

    def __init__(self, *pages):
        self.pages, self.asked = pages, []

    def send(self, request, timeout):
        self.asked.append(dict(request.query))
        return Response(200, json.dumps(self.pages[len(self.asked) - 1]).encode())


def walk(fake_time, *pages, **more):
    """Return the names of a walk, and the queries it made."""
    sender = Pages(*pages)
    talk = Session(Settings(), sender, deadline.start(10, fake_time.now, fake_time.clock))
    return [entry["name"] for entry in jobs.jobs(talk, "ws", **more)], sender.asked


def page(*names, total=1):
    """Return a page of a list with so many pages."""
    return {"data": [{"name": name} for name in names], "pagination": {"total_pages": total}}


def test_the_walk_goes_on_over_short_and_empty_pages(fake_time):
    """The server filters by status after it has cut the pages (measured)."""
    names, asked = walk(
        fake_time, page("a", total=3), page(total=3), page("b", total=3), filters=[("filter[status][$eq]", "active")]
    )
    assert names == ["a", "b"]
    assert [query["page"] for query in asked] == ["1", "2", "3"]
    assert all(query["filter[status][$eq]"] == "active" and query["sort"] == "-created_at" for query in asked)


def test_a_job_that_slides_onto_the_next_page_is_counted_once(fake_time):
    """New jobs come while we walk."""
    assert walk(fake_time, page("a", "b", total=2), page("b", "c", total=2))[0] == ["a", "b", "c"]


def test_the_walk_can_be_bounded(fake_time):
    """A search for close names does not read a hundred thousand jobs."""
    assert len(walk(fake_time, page("a", total=9), page("b", total=9), most_pages=2)[1]) == 2


def test_a_reader_that_stops_early_saves_the_rest(fake_time):
    """`list --limit` asks for no page that it doesn't show."""
    sender = Pages(page("a", total=2), page("b", total=2))
    talk = Session(Settings(), sender, deadline.start(10, fake_time.now, fake_time.clock))
    assert next(jobs.jobs(talk, "ws"))["name"] == "a"
    assert len(sender.asked) == 1


@pytest.mark.parametrize(
    "odd",
    [{}, {"data": None}, {"data": [1, {"id": 2}, {"name": 3}], "pagination": []}, {"pagination": {"total_pages": "x"}}],
)
def test_an_odd_page_is_an_empty_one(fake_time, odd):
    """What the server says is data, and may be anything."""
    assert walk(fake_time, odd)[0] == []
