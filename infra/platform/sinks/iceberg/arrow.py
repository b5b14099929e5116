"""Turns change events into Arrow arrays of explicit types, from their bytes, column by column.

The types come from the writer schema and never from the values, so a column that is all NULL keeps
its type. Kinds without an exact Arrow type become text: decimals without a fixed scale, JSON, times
with a zone. Arrays, maps and records become JSON with bytes in base64. Infinite timestamps are the
numbers that Debezium sends for them; infinite dates are the first and the last day that 32 bits
hold.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from infra.avro.kind import FIRST_DAY, INFINITE_DAYS, UNAVAILABLE, Column, ColumnKind
from infra.avro.placeholder import are_placeholders
from infra.avro.row import RowImage, Rows
from infra.platform.process.error import RefusedError
from infra.platform.sinks.batch import Batch
from infra.platform.sinks.nested import base64_text, decimal_digits, nested

_INFINITY_US = {"infinity": 9223372036825200000, "-infinity": -9223372036832400000}
_INFINITE_DATES = {"infinity": 2**31 - 1, "-infinity": -(2**31)}
_DECIMAL_BYTES = 16
_LONGEST_DECIMAL = 38
#: The digits of a 64-bit number, which PostgreSQL's money is.
_MONEY_DIGITS = 19
_UTC = pa.timestamp("us", "UTC")
_TYPES: dict[ColumnKind, Any] = {
    ColumnKind.BOOLEAN: pa.bool_(),
    ColumnKind.INT16: pa.int32(),
    ColumnKind.INT32: pa.int32(),
    ColumnKind.INT64: pa.int64(),
    ColumnKind.FLOAT32: pa.float32(),
    ColumnKind.FLOAT64: pa.float64(),
    ColumnKind.BYTES: pa.binary(),
    ColumnKind.DATE: pa.date32(),
    ColumnKind.TIME_MS: pa.time64("us"),
    ColumnKind.TIME_US: pa.time64("us"),
    ColumnKind.TIME_NS: pa.time64("us"),
    ColumnKind.TIMESTAMP_MS: pa.timestamp("us"),
    ColumnKind.TIMESTAMP_US: pa.timestamp("us"),
    ColumnKind.TIMESTAMP_NS: pa.timestamp("us"),
    ColumnKind.INSTANT_MS: _UTC,
    ColumnKind.INSTANT_US: _UTC,
    ColumnKind.ZONED_TIMESTAMP: _UTC,
    ColumnKind.DURATION_US: pa.int64(),
}
_TO_US = {ColumnKind.TIME_MS: 1000, ColumnKind.TIMESTAMP_MS: 1000, ColumnKind.INSTANT_MS: 1000}
_MOST_MS = 2**63 // 1000
_FROM_NS = frozenset({ColumnKind.TIME_NS, ColumnKind.TIMESTAMP_NS})
#: Debezium's op and an event's position, in front of its row's columns in a change log.
OPERATION = "op"
POSITION = (
    pa.field("cdc_topic", pa.string()),
    pa.field("cdc_partition", pa.int32()),
    pa.field("cdc_offset", pa.int64()),
    pa.field("cdc_committed_at", _UTC),
    #: Columns that the source did not send, because they are large and unchanged, or because it
    #: knew only the key of a deleted row; they are NULL here.
    pa.field("cdc_not_sent", pa.string()),
)


def arrow_type(column: Column) -> Any:
    """The Arrow type of a column."""
    if _is_money(column):
        return pa.decimal128(_MONEY_DIGITS, column.scale)
    if (
        column.kind is ColumnKind.DECIMAL
        and column.precision is not None
        and column.precision <= _LONGEST_DECIMAL
    ):
        return pa.decimal128(column.precision, column.scale)
    return _TYPES.get(column.kind, pa.string())


def _is_money(column: Column) -> bool:
    named = column.source is not None and column.source.name == "money"
    return named and column.kind is ColumnKind.DECIMAL and 0 <= column.scale <= _MONEY_DIGITS


def row_schema(columns: Sequence[Column]) -> Any:
    """The schema of a table's rows; every column may be NULL, because a delete may know only the
    key.
    """
    return pa.schema([pa.field(column.name, arrow_type(column)) for column in columns])


def change_schema(columns: Sequence[Column]) -> Any:
    """The schema of a change log."""
    taken = OPERATION in {column.name for column in columns}
    operation = pa.field(f"cdc_{OPERATION}" if taken else OPERATION, pa.string())
    return pa.schema([operation, *POSITION, *row_schema(columns)])


def changes(batch: Batch) -> Any:
    """A batch as a record batch of a change log: the row after the change, or before a delete."""
    rows, size = batch.rows, len(batch)
    columns, not_sent = row_arrays(batch)
    position = [
        pa.array([chr(operation) for operation in rows.operation.tolist()], pa.string()),
        pa.array([batch.topic] * size, pa.string()),
        pa.array(np.full(size, batch.partition, dtype=np.int32)),
        pa.array(batch.offsets),
        pa.array(rows.committed_us).cast(_UTC),
        pa.array([",".join(names) or None for names in not_sent], pa.string()),
    ]
    return pa.record_batch([*position, *columns], schema=change_schema(rows.columns))


def row_arrays(batch: Batch) -> tuple[list[Any], list[list[str]]]:
    """The rows by column, and for each event the names of columns that were not sent; raises
    RefusedError.
    """
    rows = batch.rows
    deleted = rows.operation == ord("d")
    key_only = deleted & batch.key_only() if deleted.any() else deleted
    key = set() if batch.key_reader is None else {each.name for each in batch.key_reader.columns}
    not_sent: list[list[str]] = [[] for _ in range(len(batch))]
    found = []
    try:
        for column in rows.columns:
            made = _of_both(rows, column, deleted, not_sent)
            if key_only.any() and column.name not in key:
                made = pc.if_else(pa.array(key_only), pa.scalar(None, made.type), made)
                _note(not_sent, key_only, column)
            made.validate(full=True)
            found.append(made)
    except (pa.ArrowException, ValueError, ArithmeticError, RecursionError) as error:
        raise RefusedError(
            f"{batch.topic}[{batch.partition}] has a value that Iceberg cannot hold: {error}"
        ) from error
    return found, not_sent


def _of_both(
    rows: Rows, column: Column, deleted: NDArray[np.bool_], not_sent: list[list[str]]
) -> Any:
    if not deleted.any():
        return _array(rows, "after", column, not_sent)
    after, before = _array(rows, "after", column, not_sent), _array(rows, "before", column, None)
    return pc.if_else(pa.array(deleted), before, after)


def _array(rows: Rows, side: RowImage, column: Column, not_sent: list[list[str]] | None) -> Any:
    if column.kind in (
        ColumnKind.TEXT,
        ColumnKind.UUID,
        ColumnKind.JSON,
        ColumnKind.ZONED_TIME,
        ColumnKind.INTERVAL,
        ColumnKind.BYTES,
    ):
        return _sized(rows, side, column, not_sent)
    if column.kind is ColumnKind.ZONED_TIMESTAMP:
        return _zoned(_sized(rows, side, column, None))
    if column.kind is ColumnKind.DECIMAL and pa.types.is_decimal(arrow_type(column)):
        return _decimals(rows, side, column)
    if column.kind in (ColumnKind.BOOLEAN, ColumnKind.FLOAT32, ColumnKind.FLOAT64):
        return pa.array(rows.values(side, column.name), arrow_type(column))
    if column.kind in _TYPES:
        numbers, there = rows.numbers(side, column.name)
        return _numbers(_in_us(numbers, column), there, column)
    return _texts(rows, side, column, not_sent)


def _in_us(numbers: NDArray[np.int64], column: Column) -> NDArray[np.int64]:
    """Times in microseconds, other numbers unchanged; raises ArrowInvalid if digits would
    be lost.
    """
    if column.kind in _FROM_NS:
        if (numbers % 1000).any():
            raise pa.ArrowInvalid(f"column {column.name!r} has a part of a microsecond")
        return numbers // 1000
    if column.kind in _TO_US and (np.abs(numbers) > _MOST_MS).any():
        raise pa.ArrowInvalid(f"column {column.name!r} has a time beyond 64 bits of microseconds")
    return numbers * _TO_US.get(column.kind, 1)


def _numbers(numbers: NDArray[np.int64], there: NDArray[np.bool_], column: Column) -> Any:
    kind = arrow_type(column)
    mask = None if there.all() else ~there
    if kind == pa.date32():
        numbers = _days(numbers)
    if kind in (pa.int32(), pa.date32()):
        if (numbers != numbers.astype(np.int32)).any():
            raise pa.ArrowInvalid(f"column {column.name!r} has a number of more than 32 bits")
        return pa.array(numbers.astype(np.int32), pa.int32(), mask=mask).cast(kind)
    return pa.array(numbers, pa.int64(), mask=mask).cast(kind)


def _days(days: NDArray[np.int64]) -> NDArray[np.int64]:
    """Infinite dates, for which Debezium sends days long before Christ, as the last and the first
    date of Iceberg, so that they sort correctly; raises ArrowInvalid for impossible dates.
    """
    early = np.flatnonzero(days < FIRST_DAY)
    if not len(early):
        return days
    found = days.copy()
    for row in early.tolist():
        text = INFINITE_DAYS.get(int(days[row]))
        if text is None:
            raise pa.ArrowInvalid(f"{int(days[row])} days from 1970 are no date of PostgreSQL")
        found[row] = _INFINITE_DATES[text]
    return found


def _sized(rows: Rows, side: RowImage, column: Column, not_sent: list[list[str]] | None) -> Any:
    begin, length = rows.spans(side, column.name)
    absent = are_placeholders(rows.octets, begin, length)
    _note(not_sent, absent, column)
    null = absent | (length < 0)
    size = np.where(null, 0, length)
    offsets = np.zeros(len(rows) + 1, dtype=np.int32)
    np.cumsum(size, out=offsets[1:])
    data = b"".join(rows.octets.texts(begin, size))
    kind = pa.binary() if column.kind is ColumnKind.BYTES else pa.string()
    buffers = [_validity(~null), pa.py_buffer(offsets.tobytes()), pa.py_buffer(data)]
    return pa.Array.from_buffers(kind, len(rows), buffers)


def _note(not_sent: list[list[str]] | None, absent: NDArray[np.bool_], column: Column) -> None:
    if not_sent is not None:
        for row in np.flatnonzero(absent).tolist():
            not_sent[row].append(column.name)


def _validity(there: NDArray[np.bool_]) -> Any:
    return None if there.all() else pa.py_buffer(np.packbits(there, bitorder="little").tobytes())


def _zoned(texts: Any) -> Any:
    texts.validate(full=True)
    try:
        return texts.cast(_UTC)
    except pa.ArrowInvalid:
        return pa.array([_instant_us(text) for text in texts.to_pylist()], pa.int64()).cast(_UTC)


def _instant_us(text: str | None) -> int | None:
    """The microseconds of Debezium's text, also for years beyond Python's."""
    if text is None:
        return None
    if text in _INFINITY_US:
        return _INFINITY_US[text]
    year, rest = (
        (text[0] + text[1:].split("-", 1)[0], text[1:].split("-", 1)[1])
        if text[0] in "+-"
        else text.split("-", 1)
    )
    # The calendar repeats every 400 years, which are 146,097 days.
    cycles, inside = divmod(int(year), 400)
    moment = datetime.fromisoformat(f"{inside + 2000:04d}-{rest}") - datetime(
        2000, 1, 1, tzinfo=UTC
    )
    days = moment.days + cycles * 146_097 - 719_528
    us = (days * 86_400 + moment.seconds) * 1_000_000 + moment.microseconds
    if not -(2**63) <= us < 2**63:
        raise pa.ArrowInvalid(f"timestamp {text!r} is beyond 64 bits of microseconds")
    return us


def _decimals(rows: Rows, side: RowImage, column: Column) -> Any:
    """Big-endian two's complement of any length, widened to Arrow's 16 bytes, little-endian."""
    begin, length = rows.spans(side, column.name)
    there = length >= 0
    if (length > _DECIMAL_BYTES).any():
        raise pa.ArrowInvalid(
            f"column {column.name!r} has a decimal of more than {_LONGEST_DECIMAL} digits"
        )
    ones = rows.octets.ones
    places = np.arange(_DECIMAL_BYTES) - (_DECIMAL_BYTES - np.maximum(length, 0))[:, None]
    digits = ones[np.maximum(begin[:, None] + places, 0)]
    sign = np.where(length > 0, np.where(ones[begin] >= 128, 255, 0), 0).astype(np.uint8)
    wide = np.where(places >= 0, digits, sign[:, None])[:, ::-1]
    buffers = [_validity(there), pa.py_buffer(np.ascontiguousarray(wide).tobytes())]
    return pa.Array.from_buffers(arrow_type(column), len(rows), buffers)


def _texts(rows: Rows, side: RowImage, column: Column, not_sent: list[list[str]] | None) -> Any:
    values = rows.values(side, column.name)
    absent = np.array([value is UNAVAILABLE for value in values], dtype=np.bool_)
    _note(not_sent, absent, column)
    return pa.array(
        [None if gone else _text(value) for value, gone in zip(values, absent, strict=True)],
        pa.string(),
    )


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return (
        decimal_digits(value)
        if isinstance(value, Decimal)
        else json.dumps(nested(value, base64_text))
    )
