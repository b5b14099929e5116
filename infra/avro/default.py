"""A column's default, as its schema gives it: the value of rows that are older than the column."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from infra.avro.kind import (
    FROM_NUMBER,
    Column,
    ColumnKind,
    decimal_value,
    zoned_timestamp_value,
)

#: Kinds whose default is written in the schema as the value itself.
_PLAIN = frozenset(
    {
        ColumnKind.BOOLEAN,
        ColumnKind.INT16,
        ColumnKind.INT32,
        ColumnKind.INT64,
        ColumnKind.FLOAT32,
        ColumnKind.FLOAT64,
        ColumnKind.TEXT,
        ColumnKind.JSON,
    }
)
#: What Debezium writes for a default that is a function (its class PostgresDefaultValueConverter).
_MADE_UP = frozenset({0, "00000000-0000-0000-0000-000000000000", "1970-01-01T00:00:00.000000Z"})


def with_default(column: Column, declared: Any) -> Column:
    """The column with the default that its field declares.

    For a default that is a function, such as now() and gen_random_uuid(), the schema has a zero. A
    zero as the default of a time or a UUID therefore counts as unknown.
    """
    try:
        value = None if declared is None else _value(column, declared)
    except (ValueError, TypeError, KeyError, AttributeError):
        return column  # a form that no known release writes
    return column if value is None else replace(column, default=value)


def _value(column: Column, declared: Any) -> Any:
    if column.kind in _PLAIN:
        return declared
    make = _MAKERS.get(column.kind)
    if make is not None:
        return make(column, declared)
    if declared in _MADE_UP:
        return None
    if column.kind is ColumnKind.UUID:
        return declared
    if column.kind is ColumnKind.ZONED_TIMESTAMP:
        return zoned_timestamp_value(declared)
    from_number = FROM_NUMBER.get(column.kind)
    return None if from_number is None else from_number(declared)


def _bytes(text: str) -> bytes:
    """The bytes of a default, which Avro writes as text with one character for each byte (its
    specification, "Records").
    """
    return text.encode("latin-1")


_MAKERS: Mapping[ColumnKind, Callable[[Column, Any], Any]] = {
    ColumnKind.BYTES: lambda _, text: _bytes(text),
    ColumnKind.DECIMAL: lambda column, text: decimal_value(_bytes(text), column.scale),
    ColumnKind.VARIABLE_DECIMAL: lambda _, made: decimal_value(
        _bytes(made["value"]), made["scale"]
    ),
}
