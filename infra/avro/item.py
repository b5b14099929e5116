"""Values within arrays, maps and records; each has the form of a column of its kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from infra.avro.kind import (
    FROM_NUMBER,
    Column,
    ColumnKind,
    column_of,
    decimal_value,
    zoned_timestamp_value,
)
from infra.avro.walk import AvroSchema
from infra.schemas.debezium import AvroDefinition

#: Turns what fastavro reads, without logical types, into a value.
Maker = Callable[[Any], Any]


def item_maker(schema: AvroSchema, declared: Any) -> Maker:
    """A function for the values of this Avro type; values of a union of several types stay
    unchanged.
    """
    if isinstance(declared, list):
        real = [branch for branch in declared if branch != "null"]
        return _optional(item_maker(schema, real[0])) if len(real) == 1 else _as_it_is
    resolved = schema.resolve(declared)
    column = column_of("", resolved, True)
    if column.kind is ColumnKind.OTHER and isinstance(resolved, Mapping):
        return _nested(schema, resolved)
    return _single(column)


def _optional(make: Maker) -> Maker:
    return lambda value: None if value is None else make(value)


def _as_it_is(value: Any) -> Any:
    return value


def _nested(schema: AvroSchema, resolved: AvroDefinition) -> Maker:
    if resolved["type"] == "array":
        item = item_maker(schema, resolved["items"])
        return lambda value: [item(each) for each in value]
    if resolved["type"] == "map":
        held = item_maker(schema, resolved["values"])
        return lambda value: {name: held(each) for name, each in value.items()}
    if resolved["type"] == "record":
        fields = {field["name"]: item_maker(schema, field["type"]) for field in resolved["fields"]}
        # The functions are chosen when the schema is read, so a value costs only their calls.
        return lambda value: {name: make(value[name]) for name, make in fields.items()}
    return _as_it_is


def _single(column: Column) -> Maker:
    if column.kind is ColumnKind.DECIMAL:
        return lambda data: decimal_value(data, column.scale)
    if column.kind is ColumnKind.VARIABLE_DECIMAL:
        return lambda value: decimal_value(value["value"], value["scale"])
    if column.kind is ColumnKind.ZONED_TIMESTAMP:
        return zoned_timestamp_value
    return FROM_NUMBER.get(column.kind, _as_it_is)
