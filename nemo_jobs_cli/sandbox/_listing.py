"""List jobs and workspaces with the pages, filters and sort orders."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from nemo_jobs_cli.sandbox import _wire

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nemo_jobs_cli.sandbox._database import Database, Job

_FILTER_FIELDS = ["created_at", "entity_type", "id", "name", "project", "source", "status", "updated_at", "workspace"]
_ORDERS = ("created_at", "-created_at", "updated_at", "-updated_at", "source", "-source")
_MAX_PAGE_SIZE = 1000
_LIST_OPERATORS = frozenset({"$in", "$nin"})

_Filters = dict[str, dict[str, Any]]


def jobs(database: Database, workspace: str, query: Mapping[str, str]) -> dict[str, Any]:
    """Return a page of a workspace's jobs.

    As on the platform, the filter on status is applied after paging: a page can be short or empty.
    """
    _check_page(query)
    order = _order(query, "-created_at", _ORDERS)
    problems = _wire.check_integers(query, "page_size", most=_MAX_PAGE_SIZE)
    if problems:
        raise _wire.RefusedError(422, _wire.encode({"detail": problems}).decode())  # the server encodes it twice
    if not database.has_workspace(workspace):
        raise _wire.RefusedError(404, f"Workspace '{workspace}' not found")
    filters = _parse_filters(query)
    late = {name: rules for name, rules in filters.items() if name == "status"}
    early = {name: rules for name, rules in filters.items() if name != "status"}
    records = [job.record for job in database.jobs.values() if job.record["workspace"] == workspace]
    records = [record for record in records if _matches(record, early)]
    # Newest first also within one microsecond: a dict keeps the order of insertion, and the sort is stable.
    records = records[::-1] if order.startswith("-") else records
    records.sort(key=lambda record: str(record[order.lstrip("-")]), reverse=order.startswith("-"))
    page, pagination = _page(records, query, 10)
    shown = [_without_nulls(record) for record in page if _matches(record, late)]
    result = {"data": shown, "pagination": {**pagination, "current_page_size": len(shown)}, "sort": order}
    if filters:
        conditions = [{name: rules} for name, rules in filters.items()]
        result["filter"] = conditions[0] if len(conditions) == 1 else {"$and": conditions}
    return result


def workspaces(database: Database, query: Mapping[str, str]) -> dict[str, Any]:
    """Return a page of the workspaces."""
    _check_page(query)
    page, pagination = _page(database.workspaces(), query, 100)
    return {"data": page, "pagination": pagination, "sort": "-created_at", "filter": None}


def attempts(job: Job, query: Mapping[str, str]) -> dict[str, Any]:
    """Return a page of a job's attempts, which are ordered by `seq`."""
    _check_page(query)
    order = _order(query, "-seq", ("seq", "-seq"))
    records = [attempt.record for attempt in job.attempts]
    page, pagination = _page(records[::-1] if order == "-seq" else records, query, 25)
    return {"data": page, "pagination": pagination, "sort": order, "filter": None}


def _order(query: Mapping[str, str], default: str, known: Sequence[str]) -> str:
    """Return the sort order of a query; raise RefusedError if unknown."""
    order = query.get("sort", default)
    if order not in known:
        names = ", ".join(f"'{name}'" for name in known[:-1]) + f" or '{known[-1]}'"
        raise _wire.invalid(_wire.problem("enum", ("query", "sort"), f"Input should be {names}", order, expected=names))
    return order


def _check_page(query: Mapping[str, str]) -> None:
    """Raise RefusedError if `page` or `page_size` is invalid."""
    problems = _wire.check_integers(query, "page", "page_size")
    if problems:
        raise _wire.invalid(*problems)


def _parse_filters(query: Mapping[str, str]) -> _Filters:
    """Return the filters `filter[FIELD][$OPERATOR]=VALUE` by field."""
    filters: _Filters = {}
    for key, value in query.items():
        match = re.fullmatch(r"filter\[([^\]]*)\](?:\[([^\]]*)\])?", key)
        if not match:
            continue
        name, operator = match[1], match[2] or "$eq"
        if name not in _FILTER_FIELDS:
            raise _wire.RefusedError(400, f"Unknown filter field '{name}'. Valid fields: {_FILTER_FIELDS}")
        if operator not in {"$eq", "$like", *_LIST_OPERATORS}:
            raise _wire.RefusedError(400, f"'{operator}' is not a valid FilterOperator")
        filters.setdefault(name, {})[operator] = value.split(",") if operator in _LIST_OPERATORS else value
    return filters


def _matches(record: Mapping[str, Any], filters: _Filters) -> bool:
    return all(
        _holds(str(record.get(name)), operator, operand)
        for name, rules in filters.items()
        for operator, operand in rules.items()
    )


def _holds(value: str, operator: str, operand: str | list[str]) -> bool:
    if operator == "$like":
        return str(operand).lower() in value.lower()
    if operator == "$eq":
        return value == operand
    return (value in operand) == (operator == "$in")


def _page(
    records: Sequence[dict[str, Any]], query: Mapping[str, str], default_size: int
) -> tuple[Sequence[dict[str, Any]], dict[str, int]]:
    """Return a page of the records, and its position among the pages."""
    number, size = int(query.get("page", 1)), int(query.get("page_size", default_size))
    page = records[(number - 1) * size : number * size]
    return page, {
        "page": number,
        "page_size": size,
        "current_page_size": len(page),
        "total_pages": max(1, -(-len(records) // size)),
        "total_results": len(records),
    }


def _without_nulls(value: Any) -> Any:
    """Drop nulls at every level, but not in details and spec."""
    if isinstance(value, dict):
        return {
            key: item if key in {"status_details", "spec"} else _without_nulls(item)
            for key, item in value.items()
            if item is not None
        }
    return [_without_nulls(item) for item in value] if isinstance(value, list) else value
