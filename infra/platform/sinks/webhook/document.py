"""Change events as JSON documents, for sinks that send JSON.

An event is `{"op", "key", "before", "after", "source": {"topic", "partition", "offset", "ts_us"}}`;
rows are objects by column. Values that JSON cannot hold exactly are text: decimals, floats that are
not numbers, dates and times (ISO 8601, or as the source wrote them), and bytes in base64. A large
unchanged value, which the source did not send, is Debezium's placeholder. If the source sent only
the key of the row before, its other columns are NULL, and `not_sent` lists them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, NotRequired, TypedDict

import numpy as np
import orjson

from infra.avro.kind import Column, ColumnKind
from infra.avro.row import RowImage, Rows
from infra.platform.process.error import RefusedError
from infra.platform.sinks.batch import Batch
from infra.platform.sinks.nested import base64_text, decimal_digits, float_value, nested

_OPTIONS = orjson.OPT_UTC_Z | orjson.OPT_NON_STR_KEYS


#: A row by column, with values that JSON can hold.
RowObject = dict[str, object]


class EventSource(TypedDict):
    """The place of an event in its topic, and the commit time of its transaction."""

    topic: str
    partition: int
    offset: int
    ts_us: int


class ChangeDocument(TypedDict):
    """One event as the sink sends it."""

    op: str
    key: RowObject | None
    before: RowObject | None
    after: RowObject | None
    source: EventSource
    not_sent: NotRequired[list[str]]


def documents(batch: Batch) -> list[ChangeDocument]:
    """The events of a batch, ready for `encode`; raises RefusedError for a value that cannot be
    read.
    """
    try:
        before, after = _side(batch.rows, "before"), _side(batch.rows, "after")
        keys = _keys(batch, before, after)
    except (ValueError, ArithmeticError, RecursionError) as error:
        raise RefusedError(
            f"an event of {batch.topic}[{batch.partition}] cannot be written as JSON: {error}"
        ) from error
    not_sent = _without_fillers(batch, before)
    topic, partition = batch.topic, batch.partition
    columns = (batch.rows.operation.tolist(), keys, before, after, batch.offsets.tolist())
    events: list[ChangeDocument] = [
        {
            "op": chr(operation),
            "key": key,
            "before": old,
            "after": new,
            "source": {
                "topic": topic,
                "partition": partition,
                "offset": offset,
                "ts_us": committed_us,
            },
        }
        for operation, key, old, new, offset, committed_us in zip(
            *columns, batch.rows.committed_us.tolist(), strict=True
        )
    ]
    for row, names in not_sent.items():
        events[row]["not_sent"] = names
    return events


def _without_fillers(batch: Batch, before: Sequence[RowObject | None]) -> dict[int, list[str]]:
    """Replace the columns beside the key by NULL, in rows of which the source sent only the key.

    Returns the names of those columns, by the event's place.
    """
    rows = np.flatnonzero(batch.key_only()).tolist()
    key = () if batch.key_reader is None else batch.key_reader.columns
    in_key = {column.name for column in key}
    names = [column.name for column in batch.rows.columns if column.name not in in_key]
    for row in rows:
        (before[row] or {}).update(dict.fromkeys(names))
    return dict.fromkeys(rows, names) if names else {}


def encode(document: Any) -> bytes:
    """JSON in UTF-8."""
    return orjson.dumps(document, default=_plain, option=_OPTIONS)


def _keys(
    batch: Batch, before: Sequence[RowObject | None], after: Sequence[RowObject | None]
) -> list[RowObject | None]:
    reader = batch.key_reader
    if reader is None:
        return [None] * len(batch)
    names = [column.name for column in reader.columns]
    if not {column.name for column in batch.rows.columns}.issuperset(names):
        return [
            dict(zip(names, reader.read(key), strict=True)) if key else None for key in batch.keys
        ]
    # The row contains the key's columns, and they are read already.
    rows = [new or old for old, new in zip(before, after, strict=True)]
    return [row and {name: row[name] for name in names} for row in rows]


def _side(rows: Rows, side: RowImage) -> list[RowObject | None]:
    there = rows.present(side)
    if not there.any():
        return [None] * len(rows)
    names = [column.name for column in rows.columns]
    columns = [_column(rows, side, column) for column in rows.columns]
    whole: list[RowObject | None] = [
        dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)
    ]
    return (
        whole
        if there.all()
        else [row if kept else None for row, kept in zip(whole, there.tolist(), strict=True)]
    )


def _column(rows: Rows, side: RowImage, column: Column) -> Sequence[Any]:
    if column.kind is ColumnKind.ZONED_TIMESTAMP:
        return rows.texts(side, column.name)
    if column.kind is ColumnKind.DECIMAL:
        return rows.decimal_texts(side, column.name)
    values = rows.values(side, column.name)
    make = _BY_KIND.get(column.kind)
    return values if make is None else [None if value is None else make(value) for value in values]


_BY_KIND: dict[ColumnKind, Callable[[Any], Any]] = {
    ColumnKind.VARIABLE_DECIMAL: decimal_digits,
    ColumnKind.FLOAT32: float_value,
    ColumnKind.FLOAT64: float_value,
    ColumnKind.OTHER: lambda value: nested(value, base64_text),
}


def _plain(value: Any) -> Any:
    """Converts the types that orjson does not know."""
    if isinstance(value, bytes):
        return base64_text(value)
    if isinstance(value, Decimal):
        return decimal_digits(value)
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} has no form in JSON")
