"""List jobs and workspaces page by page, with the filters and the order that NeMo Platform 0.6.0 knows."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from nemo_jobs_cli.sandbox import state as sandbox_state
from nemo_jobs_cli.sandbox import wire as answers

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nemo_jobs_cli.sandbox.state import State
    from nemo_jobs_cli.sandbox.wire import Reply

FIELDS = (
    "created_at",
    "entity_type",
    "id",
    "name",
    "project",
    "source",
    "status",
    "updated_at",
    "workspace",
)
ORDERS = ("created_at", "-created_at", "updated_at", "-updated_at", "source", "-source")
LARGEST_PAGE = 1000
_SEVERAL = frozenset({"$in", "$nin"})

Filters = dict[str, dict[str, Any]]


def jobs(state: State, workspace: str, query: Mapping[str, str]) -> Reply:
    """Answer the list of a workspace's jobs.

    The filter on status drops jobs from a page that was cut before: pages can be short or empty.
    """
    if problems := _problems(query):
        return answers.invalid(*problems)
    order = query.get("sort", "-created_at")
    if order not in ORDERS:
        known = ", ".join(f"'{one}'" for one in ORDERS[:-1]) + f" or '{ORDERS[-1]}'"
        says = f"Input should be {known}"
        return answers.invalid(answers.problem("enum", ("query", "sort"), says, order, expected=known))
    if int(query.get("page_size", 10)) > LARGEST_PAGE:
        return _too_large(query["page_size"])
    if not sandbox_state.has_workspace(state, workspace):
        return answers.no_workspace(workspace)
    filters = _filters(query)
    if isinstance(filters, answers.Reply):
        return filters
    late = {name: rule for name, rule in filters.items() if name == "status"}
    early = {name: rule for name, rule in filters.items() if name != "status"}
    records = [job.record for (where, _), job in state.jobs.items() if where == workspace]
    records = [record for record in records if _matches(record, early)]
    # The newest first, also among those of one microsecond: a dict keeps the order of insertion.
    records = records[::-1] if order.startswith("-") else records
    records.sort(key=lambda record: str(record[order.lstrip("-")]), reverse=order.startswith("-"))
    page, facts = _page(records, query, 10)
    shown = [_without_nulls(record) for record in page if _matches(record, late)]
    facts["current_page_size"] = len(shown)
    found: dict[str, Any] = {"data": shown, "pagination": facts, "sort": order}
    if filters:
        each = [{name: rule} for name, rule in filters.items()]
        found["filter"] = each[0] if len(each) == 1 else {"$and": each}
    return answers.ok(found)


def workspaces(state: State, query: Mapping[str, str]) -> Reply:
    """Answer the list of workspaces."""
    if problems := _problems(query):
        return answers.invalid(*problems)
    page, facts = _page(sandbox_state.workspaces(state), query, 100)
    return answers.ok({"data": page, "pagination": facts, "sort": "-created_at", "filter": None})


def _problems(query: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return what is wrong with `page` and `page_size`."""
    found = []
    for name in ("page", "page_size"):
        said = query.get(name, "1")
        if not re.fullmatch(r"[+-]?[0-9]{1,18}", said):
            says = "Input should be a valid integer, unable to parse string as an integer"
            found.append(answers.problem("int_parsing", ("query", name), says, said))
        elif int(said) < 1:
            says = "Input should be greater than 0"
            found.append(answers.problem("greater_than", ("query", name), says, said, gt=0))
    return found


def _too_large(said: str) -> Reply:
    """Return the 422 of a page that is too large, which the server wraps twice."""
    says = f"Input should be less than or equal to {LARGEST_PAGE}"
    problem = answers.problem("less_than_equal", ("query", "page_size"), says, said, le=LARGEST_PAGE)
    return answers.detail(422, answers.encode({"detail": [problem]}).decode())


def _filters(query: Mapping[str, str]) -> Filters | Reply:
    """Return the filters `filter[FIELD][$OP]=VALUE` by field, or the refusal of one."""
    found: Filters = {}
    for key, value in query.items():
        parts = re.fullmatch(r"filter\[([^\]]*)\](?:\[([^\]]*)\])?", key)
        if not parts:
            continue
        name, operator = parts[1], parts[2] or "$eq"
        if name not in FIELDS:
            return answers.detail(400, f"Unknown filter field '{name}'. Valid fields: {list(FIELDS)}")
        if operator not in {"$eq", "$like", *_SEVERAL}:
            return answers.detail(400, f"'{operator}' is not a valid FilterOperator")
        found.setdefault(name, {})[operator] = value.split(",") if operator in _SEVERAL else value
    return found


def _matches(record: Mapping[str, Any], filters: Filters) -> bool:
    for name, rules in filters.items():
        value = str(record.get(name))
        for operator, wanted in rules.items():
            if operator == "$like":
                holds = wanted.lower() in value.lower()
            elif operator == "$eq":
                holds = value == wanted
            else:
                holds = (value in wanted) == (operator == "$in")
            if not holds:
                return False
    return True


def _page(
    records: Sequence[dict[str, Any]], query: Mapping[str, str], size: int
) -> tuple[Sequence[dict[str, Any]], dict[str, int]]:
    """Return a page of the records, and where it stands among the pages."""
    number, size = int(query.get("page", 1)), int(query.get("page_size", size))
    shown = records[(number - 1) * size : number * size]
    return shown, {
        "page": number,
        "page_size": size,
        "current_page_size": len(shown),
        "total_pages": max(1, -(-len(records) // size)),
        "total_results": len(records),
    }


def _without_nulls(value: Any) -> Any:
    """Return a record as lists show it: at every level but the user's own details, nulls are left out."""
    if isinstance(value, dict):
        return {
            key: one if key in {"status_details", "spec"} else _without_nulls(one)
            for key, one in value.items()
            if one is not None
        }
    return [_without_nulls(one) for one in value] if isinstance(value, list) else value
