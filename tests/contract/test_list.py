"""Lists of jobs: pages, order, filters, and their errors."""

from __future__ import annotations

import uuid

import pytest

SORTS = "'created_at', '-created_at', 'updated_at', '-updated_at', 'source' or '-source'"

FIELDS = ["created_at", "entity_type", "id", "name", "project", "source", "status", "updated_at", "workspace"]
JOBS = "/apis/jobs/v2/workspaces/default/jobs"


@pytest.fixture
def three(make):
    """Create three jobs and return the part that only their names share."""
    part = uuid.uuid4().hex[:12]
    for number in range(3):
        make(f"list-{part}-{number}")
    return part


def numbers(response):
    """Return the last parts of the names in a list."""
    return [job["name"].rpartition("-")[2] for job in response.json()["data"]]


def test_a_listed_job_has_no_nulls(api, jobs, make):
    """Fields that are null are omitted, also in the steps, but not in the details."""
    created = make()
    details = {"a": None, "b": {"c": None}, "d": [None]}
    api.patch(f"{jobs}/{created['name']}/status-details", json=details)
    (listed,) = api.get(jobs, params={"filter[id]": created["id"]}).json()["data"]
    del created["platform_spec"]["secrets"], created["platform_spec"]["steps"][0]["environment"]
    whole = {name: value for name, value in created.items() if value is not None}
    assert listed == {**whole, "status_details": details}


def test_pages(api, jobs, three):
    """The filter on the name applies before paging; the newest jobs are first."""
    params = {"filter[name][$like]": three, "page_size": 2}
    first, second = api.get(jobs, params=params), api.get(jobs, params={**params, "page": 2})
    assert (numbers(first), numbers(second)) == (["2", "1"], ["0"])
    assert {name: value for name, value in second.json().items() if name != "data"} == {
        "pagination": {"page": 2, "page_size": 2, "current_page_size": 1, "total_pages": 2, "total_results": 3},
        "sort": "-created_at",
        "filter": {"name": {"$like": three}},
    }


def test_beyond_the_last_page(api, jobs, three):
    """A page beyond the end is empty, not an error."""
    response = api.get(jobs, params={"filter[name][$like]": three, "page": 9})
    assert (response.status_code, numbers(response)) == (200, [])
    assert response.json()["pagination"] == {
        "page": 9, "page_size": 10, "current_page_size": 0, "total_pages": 1, "total_results": 3,
    }  # fmt: skip


def test_without_filter_none_is_shown(api, jobs, three):
    """The response has a filter only if the request has one; the default page size is 10."""
    response = api.get(jobs).json()
    assert response.keys() == {"data", "pagination", "sort"}
    assert response["pagination"]["page_size"] == 10


@pytest.mark.parametrize(("sort", "order"), [("created_at", ["0", "1", "2"]), ("-updated_at", ["2", "1", "0"])])
def test_order(api, jobs, three, sort, order):
    """By either time, in both directions."""
    response = api.get(jobs, params={"filter[name][$like]": three, "sort": sort})
    assert (numbers(response), response.json()["sort"]) == (order, sort)


def test_status_is_filtered_after_paging(api, jobs, three):
    """So a page can be empty, and the totals ignore the filter."""
    params = {"filter[name][$like]": three, "filter[status][$in]": "active,error", "page_size": 2}
    response = api.get(jobs, params=params).json()
    assert response["data"] == []
    assert response["pagination"] == {
        "page": 1, "page_size": 2, "current_page_size": 0, "total_pages": 2, "total_results": 3,
    }  # fmt: skip
    status, name = {"status": {"$in": ["active", "error"]}}, {"name": {"$like": three}}
    assert sorted(response["filter"]["$and"], key=str) == sorted([status, name], key=str)


@pytest.mark.parametrize(
    ("params", "shown", "count"),
    [
        ({"filter[status][$in]": "created,active"}, {"status": {"$in": ["created", "active"]}}, 3),
        ({"filter[status][$eq]": "created"}, {"status": {"$eq": "created"}}, 3),
        ({"filter[status]": "created"}, {"status": {"$eq": "created"}}, 3),
        ({"filter[status]": "bogus"}, {"status": {"$eq": "bogus"}}, 0),
        ({"filter[status][$nin]": "created"}, {"status": {"$nin": ["created"]}}, 0),
    ],
)
def test_filters_on_status(api, three, params, shown, count):
    """One of several, exactly one, or none of these; an unknown status matches nothing."""
    response = api.get(JOBS, params={**params, "page_size": 3}).json()
    assert (response["filter"], len(response["data"])) == (shown, count)


def test_a_name_is_matched_anywhere_in_any_case(api, jobs, three):
    """With $like; $eq is exact."""
    assert numbers(api.get(jobs, params={"filter[name][$like]": three.upper()})) == ["2", "1", "0"]
    assert numbers(api.get(jobs, params={"filter[name]": f"list-{three}-1"})) == ["1"]
    assert numbers(api.get(jobs, params={"filter[name]": three})) == []


def test_an_id_finds_its_job(api, jobs, make):
    """filter[id] finds the job with this id, or nothing."""
    created = make()
    response = api.get(jobs, params={"filter[id]": created["id"]}).json()
    assert [job["name"] for job in response["data"]] == [created["name"]]
    assert response["filter"] == {"id": {"$eq": created["id"]}}
    assert api.get(jobs, params={"filter[id]": "zz"}).json()["pagination"]["total_results"] == 0


def test_the_last_of_two_values_counts(api, jobs):
    """Of a parameter that is given twice, the last one counts."""
    assert api.get(f"{jobs}?page=1&page=2").json()["pagination"]["page"] == 2


GREATER = {"type": "greater_than", "msg": "Input should be greater than 0", "ctx": {"gt": 0}}
INTEGER = {"type": "int_parsing", "msg": "Input should be a valid integer, unable to parse string as an integer"}
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
def test_invalid_parameters(api, jobs, name, value, problem):
    """A 422 names the parameter."""
    response = api.get(jobs, params={name: value})
    detail = [{**problem, "loc": ["query", name], "input": value}]
    assert (response.status_code, response.json()) == (422, {"detail": detail})


def test_a_page_has_1000_at_most(api, jobs):
    """The error has JSON in a string."""
    assert api.get(jobs, params={"page_size": "1000"}).status_code == 200
    response = api.get(jobs, params={"page_size": "1001"})
    detail = (
        r'{"detail":[{"type":"less_than_equal","loc":["query","page_size"],'
        r'"msg":"Input should be less than or equal to 1000","input":"1001","ctx":{"le":1000}}]}'
    )
    assert (response.status_code, response.json()) == (422, {"detail": detail})


@pytest.mark.parametrize(
    ("key", "detail"),
    [
        ("filter[bogus]", "Unknown filter field 'bogus'. Valid fields: {fields}"),
        ("filter[status][$bad]", "'$bad' is not a valid FilterOperator"),
    ],
)
def test_unknown_filters(api, jobs, server, key, detail):
    """A 400."""
    fields = sorted([*FIELDS, "spec"]) if server.kind == "helix" else FIELDS
    response = api.get(jobs, params={key: "x"})
    assert (response.status_code, response.json()) == (400, {"detail": detail.format(fields=fields)})


@pytest.mark.parametrize(("workspace", "shown"), [("nope", "nope"), ("Bad%20WS", "Bad WS")])
def test_an_unknown_workspace(api, workspace, shown):
    """Only the list reports it as such."""
    response = api.get(f"/apis/jobs/v2/workspaces/{workspace}/jobs")
    assert (response.status_code, response.json()) == (404, {"detail": f"Workspace '{shown}' not found"})


def test_a_trailing_slash_is_redirected(api, server, jobs):
    """With a 307, as for a PATCH."""
    response = api.get(f"{jobs}/")
    assert (response.status_code, response.headers["location"]) == (307, f"{server.url}{jobs}")


def test_other_methods_are_refused(api, jobs):
    """Only GET and POST are allowed."""
    response = api.put(jobs, json={})
    assert (response.status_code, response.headers["allow"]) == (405, "POST")
