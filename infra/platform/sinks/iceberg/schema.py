"""The types of an Iceberg table and of incoming rows: wider types are followed, others must fit
exactly or are refused.

Iceberg lets a column become wider in three ways (its specification, "Schema Evolution"): int to
long, float to double, and a decimal of the same scale to more digits.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Any

import pyarrow as pa

from infra.platform.process.error import ConfigError
from infra.platform.sinks.iceberg.cast import exactly

_WIDER = {pa.int32(): pa.int64(), pa.float32(): pa.float64()}
#: What PyIceberg calls the same type.
_SAME = {pa.large_string(): pa.string(), pa.large_binary(): pa.binary()}


def widened(*schemas: Any) -> Any:
    """All columns of these schemas: with the widest type if Iceberg allows that, otherwise with the
    first type.
    """
    return reduce(_both, schemas, pa.schema([]))


def _both(known: Any, coming: Any) -> Any:
    if known.equals(coming):
        return known
    types = {column.name: column.type for column in known}
    for column in coming:
        kind = _SAME.get(column.type, column.type)
        types[column.name] = _wider(types.get(column.name, kind), kind)
    return pa.schema(types.items())


def _wider(known: Any, coming: Any) -> Any:
    if pa.types.is_decimal(known) and pa.types.is_decimal(coming):
        return (
            coming if coming.scale == known.scale and coming.precision > known.precision else known
        )
    return coming if _WIDER.get(known) == coming else known


def check_columns(
    table: str, known: Any, coming: Any, dropped: frozenset[str], *, ordered: bool
) -> frozenset[str]:
    """Check that the source's columns are still those of the sink's own table; returns those of its
    columns that the source has dropped, of which `dropped` were known.

    Raises ConfigError if a column may have been renamed, or no longer holds what the table has.
    Unless the events are `ordered`, one that lacks a column may be older than the column, or than
    its widening.
    """
    left = [column for column in known if column.name not in coming.names]
    new = [column for column in coming if column.name not in known.names]
    _check_names(table, [column for column in left if column.name not in dropped], new)
    if not ordered:
        return dropped
    _check_narrowed(table, known, coming)
    return dropped.difference(coming.names).union(() if new else (column.name for column in left))


def _check_narrowed(table: str, known: Any, coming: Any) -> None:
    """The source's ALTER TABLE has then rounded or cut rows, and no event reports that."""
    lost = narrowed(known, coming)
    if lost:
        raise ConfigError(
            f"the source's columns no longer hold what table {table} has in {', '.join(lost)}, so"
            " its ALTER TABLE has changed rows of which no event tells; fill another table, or"
            " append"
        )


def _check_names(table: str, left: Sequence[Any], new: Sequence[Any]) -> None:
    """Existing rows may have values under the new name that no event reports."""
    pairs = [f"{old.name} to {one.name}" for old in left for one in new if old.type == one.type]
    if pairs:
        raise ConfigError(
            f"the source may have renamed a column of table {table} ({', '.join(pairs)}), and no"
            " event tells of the rows that are there; rename it here too, or drop it where the"
            " source has dropped it, and start again"
        )


def narrowed(known: Any, coming: Any) -> list[str]:
    """The columns that can now hold less than before."""
    types = {column.name: column.type for column in known}
    return [
        column.name
        for column in coming
        if column.name in types and _holds_less(types[column.name], column.type)
    ]


def _holds_less(known: Any, coming: Any) -> bool:
    if pa.types.is_decimal(known) and pa.types.is_decimal(coming):
        return bool(coming.scale < known.scale)
    if _is_fractional(known):
        return pa.types.is_integer(coming) or (
            _is_fractional(coming) and _WIDER.get(coming) == known
        )
    if pa.types.is_timestamp(known):
        return bool(pa.types.is_date(coming))
    in_text = pa.types.is_string(known) or pa.types.is_large_string(known)
    return in_text and not (
        pa.types.is_string(coming) or pa.types.is_large_string(coming) or pa.types.is_nested(coming)
    )


def _is_fractional(kind: Any) -> bool:
    return bool(pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def fitted(rows: Any, schema: Any) -> Any:
    """The rows with this schema's types, and other columns unchanged; raises RefusedError for
    values that do not fit exactly.
    """
    kinds = {column.name: column.type for column in schema}
    columns = [
        exactly(column.name, values, kinds.get(column.name, column.type))
        for column, values in zip(rows.schema, rows.columns, strict=True)
    ]
    return pa.record_batch(columns, names=rows.schema.names)


def in_numbers(schema: Any) -> Any:
    """The schema with dates and times as numbers, because Python has no infinity and no
    year 12026.
    """
    return pa.schema([pa.field(column.name, _number(column.type)) for column in schema])


def _number(kind: Any) -> Any:
    if pa.types.is_date32(kind):
        return pa.int32()
    return pa.int64() if pa.types.is_temporal(kind) else kind
