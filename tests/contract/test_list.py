"""How jobs are listed: pages, order, filters, and what is wrong with them."""

from __future__ import annotations

import uuid

import pytest

SORTS = "'created_at', '-created_at', 'updated_at', '-updated_at', 'source' or '-source'"

FIELDS = ["created_at", "entity_type", "id", "name", "project", "source", "status", "updated_at", "workspace"]
JOBS = "/apis/jobs/v2/workspaces/default/jobs"


@pytest.fixture
def three(make):
    """Create three jobs whose names share a part that no other has; give the part."""
    part = uuid.uuid4().hex[:12]
    for number in range(3):
        make(f"list-{part}-{number}")
    return part


def found(answer):
    """Return the ends of the names in a list."""
    return [job["name"].rpartition("-")[2] for job in answer.json()["data"]]


def test_a_listed_job_has_no_nulls(api, jobs, make):
    """Lists leave out the fields that are null, also in the steps; the user's nulls stay."""
    made = make()
    details = {"a": None, "b": {"c": None}, "d": [None]}
    api.patch(f"{jobs}/{made['name']}/status-details", json=details)
    (listed,) = api.get(jobs, params={"filter[id]": made["id"]}).json()["data"]
    del made["platform_spec"]["secrets"], made["platform_spec"]["steps"][0]["environment"]
    whole = {name: value for name, value in made.items() if value is not None}
    assert listed == {**whole, "status_details": details}


def test_pages(api, jobs, three):
    """Pages are cut of what the filter on the name leaves, the newest first."""
    params = {"filter[name][$like]": three, "page_size": 2}
    first, second = api.get(jobs, params=params), api.get(jobs, params={**params, "page": 2})
    assert (found(first), found(second)) == (["2", "1"], ["0"])
    assert {name: value for name, value in second.json().items() if name != "data"} == {
        "pagination": {"page": 2, "page_size": 2, "current_page_size": 1, "total_pages": 2, "total_results": 3},
        "sort": "-created_at",
        "filter": {"name": {"$like": three}},
    }


def test_beyond_the_last_page(api, jobs, three):
    """A page beyond the end is empty, and no error."""
    answer = api.get(jobs, params={"filter[name][$like]": three, "page": 9})
    assert (answer.status_code, found(answer)) == (200, [])
    assert answer.json()["pagination"] == {
        "page": 9, "page_size": 10, "current_page_size": 0, "total_pages": 1, "total_results": 3,
    }  # fmt: skip


def test_without_filter_none_is_shown(api, jobs, three):
    """The answer names its filter only when there is one; a page has 10 unless told."""
    answer = api.get(jobs).json()
    assert answer.keys() == {"data", "pagination", "sort"}
    assert answer["pagination"]["page_size"] == 10


@pytest.mark.parametrize(("sort", "order"), [("created_at", ["0", "1", "2"]), ("-updated_at", ["2", "1", "0"])])
def test_order(api, jobs, three, sort, order):
    """A list can be ordered by time, either way."""
    answer = api.get(jobs, params={"filter[name][$like]": three, "sort": sort})
    assert (found(answer), answer.json()["sort"]) == (order, sort)


def test_status_is_filtered_after_paging(api, jobs, three):
    """Jobs of another status leave holes: the page is empty, and the totals don't know."""
    params = {"filter[name][$like]": three, "filter[status][$in]": "active,error", "page_size": 2}
    answer = api.get(jobs, params=params).json()
    assert answer["data"] == []
    assert answer["pagination"] == {
        "page": 1, "page_size": 2, "current_page_size": 0, "total_pages": 2, "total_results": 3,
    }  # fmt: skip
    status, name = {"status": {"$in": ["active", "error"]}}, {"name": {"$like": three}}
    assert sorted(answer["filter"]["$and"], key=str) == sorted([status, name], key=str)


@pytest.mark.parametrize(
    ("said", "shown", "count"),
    [
        ({"filter[status][$in]": "created,active"}, {"status": {"$in": ["created", "active"]}}, 3),
        ({"filter[status][$eq]": "created"}, {"status": {"$eq": "created"}}, 3),
        ({"filter[status]": "created"}, {"status": {"$eq": "created"}}, 3),
        ({"filter[status]": "bogus"}, {"status": {"$eq": "bogus"}}, 0),
        ({"filter[status][$nin]": "created"}, {"status": {"$nin": ["created"]}}, 0),
    ],
)
def test_filters_on_status(api, three, said, shown, count):
    """The platform's status can be one of several, one, or none of these; unknown ones match nothing."""
    answer = api.get(JOBS, params={**said, "page_size": 3}).json()
    assert (answer["filter"], len(answer["data"])) == (shown, count)


def test_a_name_is_matched_anywhere_in_any_case(api, jobs, three):
    """$like finds a part of the name and does not mind case; $eq is exact."""
    assert found(api.get(jobs, params={"filter[name][$like]": three.upper()})) == ["2", "1", "0"]
    assert found(api.get(jobs, params={"filter[name]": f"list-{three}-1"})) == ["1"]
    assert found(api.get(jobs, params={"filter[name]": three})) == []


def test_an_id_leads_to_its_name(api, jobs, make):
    """filter[id] finds the job of an id; an unknown id finds nothing."""
    made = make()
    answer = api.get(jobs, params={"filter[id]": made["id"]}).json()
    assert [job["name"] for job in answer["data"]] == [made["name"]]
    assert answer["filter"] == {"id": {"$eq": made["id"]}}
    assert api.get(jobs, params={"filter[id]": "zz"}).json()["pagination"]["total_results"] == 0


def test_the_last_of_two_values_counts(api, jobs):
    """Of a parameter that is given twice, the last one counts."""
    assert api.get(f"{jobs}?page=1&page=2").json()["pagination"]["page"] == 2


GREATER = {"type": "greater_than", "msg": "Input should be greater than 0", "ctx": {"gt": 0}}
INTEGER = {
    "type": "int_parsing",
    "msg": "Input should be a valid integer, unable to parse string as an integer",
}
ENUM = {"type": "enum", "msg": f"Input should be {SORTS}", "ctx": {"expected": SORTS}}


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("page", "0", GREATER),
        ("page", "-1", GREATER),
        ("page_size", "0", GREATER),
        ("page", "x", INTEGER),
        ("page", "1.5", INTEGER),
        ("page", "", INTEGER),
        ("page_size", "x", INTEGER),
        ("sort", "bogus", ENUM),
    ],
)
def test_wrong_parameters(api, jobs, name, value, problem):
    """A wrong parameter is a 422 that names it."""
    answer = api.get(jobs, params={name: value})
    assert (answer.status_code, answer.json()) == (
        422,
        {"detail": [{**problem, "loc": ["query", name], "input": value}]},
    )


def test_a_page_has_1000_at_most(api, jobs):
    """A larger page is refused with JSON in a string."""
    assert api.get(jobs, params={"page_size": "1000"}).status_code == 200
    answer = api.get(jobs, params={"page_size": "1001"})
    detail = (
        r'{"detail":[{"type":"less_than_equal","loc":["query","page_size"],'
        r'"msg":"Input should be less than or equal to 1000","input":"1001","ctx":{"le":1000}}]}'
    )
    assert (answer.status_code, answer.json()) == (422, {"detail": detail})


@pytest.mark.parametrize(
    ("key", "says"),
    [
        (
            "filter[bogus]",
            f"Unknown filter field 'bogus'. Valid fields: {FIELDS}",
        ),
        ("filter[status][$bad]", "'$bad' is not a valid FilterOperator"),
    ],
)
def test_unknown_filters(api, jobs, key, says):
    """A filter that isn't known is a 400."""
    answer = api.get(jobs, params={key: "x"})
    assert (answer.status_code, answer.json()) == (400, {"detail": says})


@pytest.mark.parametrize(("workspace", "shown"), [("nope", "nope"), ("Bad%20WS", "Bad WS")])
def test_an_unknown_workspace(api, workspace, shown):
    """Only the list says that it is the workspace which isn't there."""
    answer = api.get(f"/apis/jobs/v2/workspaces/{workspace}/jobs")
    assert (answer.status_code, answer.json()) == (404, {"detail": f"Workspace '{shown}' not found"})


def test_a_trailing_slash_is_redirected(api, server, jobs):
    """A trailing slash is a 307 here, too."""
    answer = api.get(f"{jobs}/")
    assert (answer.status_code, answer.headers["location"]) == (307, f"{server.url}{jobs}")


def test_other_methods_are_refused(api, jobs):
    """A list can't be replaced."""
    answer = api.put(jobs, json={})
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
