"""Validate data against frozen dataclasses with pydantic's core.

A BaseModel does the same, but importing it and building its classes takes half the time of a whole `update`.
"""

from __future__ import annotations

import functools
from dataclasses import MISSING, fields, is_dataclass
from types import NoneType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from pydantic_core import CoreSchema, SchemaValidator, ValidationError, core_schema

T = TypeVar("T")

_PLAIN = {Any: core_schema.any_schema(), str: core_schema.str_schema()}


def parse(kind: type[T], data: Any) -> T:
    """Return the dataclass `kind` from JSON or YAML data.

    Unknown keys are ignored, and null counts as missing. The metadata `key` of a field is its key in the data, if that
    differs from its name; None if the field is not in the data. Raise ValueError with the path of the first invalid
    value ("" for `data` itself) and the reason, without the value.
    """
    try:
        return _validator(kind).validate_python(data)  # type: ignore[arg-type,no-any-return] # classes are hashable
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise ValueError(".".join(map(str, first["loc"])), first["msg"]) from None


@functools.cache
def _validator(kind: type) -> SchemaValidator:
    return SchemaValidator(_schema(kind))


def _schema(kind: Any) -> CoreSchema:
    """Return the schema of a type: text, a list, an object or a union."""
    if kind in _PLAIN:
        return _PLAIN[kind]
    if is_dataclass(kind):
        return _object_schema(kind)
    parts = get_args(kind)
    if get_origin(kind) is tuple:
        return core_schema.no_info_after_validator_function(tuple, core_schema.list_schema(_schema(parts[0])))
    if get_origin(kind) is dict:
        return _without_nulls(core_schema.dict_schema(*map(_schema, parts)))
    choices = [_schema(part) for part in parts if part is not NoneType]  # null never gets here
    if len(choices) == 1:
        return choices[0]
    return core_schema.union_schema(
        [*choices], custom_error_type="wrong_type", custom_error_message="Input has the wrong type"
    )


def _object_schema(kind: Any) -> CoreSchema:
    types = get_type_hints(kind)
    members = {
        field.name: core_schema.typed_dict_field(
            _schema(types[field.name]),
            required=field.default is MISSING and field.default_factory is MISSING,
            validation_alias=field.metadata.get("key"),
        )
        for field in fields(kind)
        if field.metadata.get("key", field.name) is not None
    }
    schema = core_schema.typed_dict_schema(members)
    return core_schema.no_info_after_validator_function(lambda values: kind(**values), _without_nulls(schema))


def _without_nulls(schema: CoreSchema) -> CoreSchema:
    """Return the schema of an object in which null values count as missing."""

    def drop(data: Any) -> Any:
        return {key: value for key, value in data.items() if value is not None} if isinstance(data, dict) else data

    return core_schema.no_info_before_validator_function(drop, schema)
