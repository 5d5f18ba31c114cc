"""Data from outside as frozen dataclasses: what is accepted, and how an error is located."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nemo_jobs_cli.core import schema

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["name", "pages", "at", "x"]), inner),
    max_leaves=8,
)


@dataclass(frozen=True, slots=True)
class Page:
    """One part of a book."""

    name: str
    note: dict[str, Any] | str | None = None


@dataclass(frozen=True, slots=True)
class Book:
    """An object with every kind of field."""

    title: str = field(default="", metadata={"key": "name"})
    pages: tuple[Page, ...] = ()
    more: dict[str, Any] = field(default_factory=dict)
    at: Any = None
    read: bool = field(default=False, metadata={"key": None})


def test_an_object_is_validated_with_its_parts():
    """A field may have another key in the data, or none; the dataclass has its defaults."""
    pages = [{"name": "1", "note": {"a": 1}}, {"name": "2", "note": "b"}]
    data = {"name": "x", "pages": pages, "at": [1], "title": 7, "read": True}
    book = schema.parse(Book, data)
    assert book == Book("x", (Page("1", {"a": 1}), Page("2", "b")), {}, [1])
    assert schema.parse(Book, {}) == Book()


def test_null_counts_as_missing():
    """In an object and in its maps, but not deeper in a map."""
    data = {"name": None, "pages": None, "more": {"a": None, "b": {"c": None}}}
    assert schema.parse(Book, data) == Book(more={"b": {"c": None}})


@pytest.mark.parametrize(
    ("data", "error"),
    [
        ([], ("", "Input should be a valid dictionary")),
        ({"name": 7}, ("name", "Input should be a valid string")),
        ({"name": True}, ("name", "Input should be a valid string")),
        ({"more": "t0p-secret"}, ("more", "Input should be a valid dictionary")),
        ({"pages": {"name": "1"}}, ("pages", "Input should be a valid list")),
        ({"pages": "t0p-secret"}, ("pages", "Input should be a valid list")),
        ({"pages": [{"name": "1"}, {"name": None}]}, ("pages.1.name", "Field required")),
        ({"pages": [{"name": ["t0p-secret"]}]}, ("pages.0.name", "Input should be a valid string")),
        ({"pages": [{"name": "1", "note": 7}]}, ("pages.0.note", "Input has the wrong type")),
    ],
)
def test_an_error_has_the_path_and_the_reason(data, error):
    """It never has the value, which may be a token."""
    with pytest.raises(ValueError, match=r".") as caught:
        schema.parse(Book, data)
    assert caught.value.args == error
    assert caught.value.__cause__ is None


@given(JSON)
def test_any_data_is_an_object_or_an_error(data):
    """No value has another type than its field declares."""
    try:
        book = schema.parse(Book, data)
    except ValueError:
        return
    assert isinstance(book.title, str)
    assert all(isinstance(page, Page) and isinstance(page.name, str) for page in book.pages)
    assert not book.read
