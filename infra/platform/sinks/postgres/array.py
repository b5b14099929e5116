"""Columns of events as PostgreSQL arrays in binary form, whose elements are texts that PostgreSQL
reads itself.

Text on the wire is passed on unchanged: it is not decoded, quoted or escaped, so nothing can change
it, and the server casts each element to its column's type. Format: PostgreSQL's source,
`array_recv`: dimensions, whether there are NULLs, the elements' type, size and lower bound, then
each element's length and bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from psycopg import adapt, pq

from infra.avro.kind import UNAVAILABLE, Column, ColumnKind, Unavailable, postgres_timestamp
from infra.avro.octets import Octets, OffsetArray
from infra.avro.placeholder import are_placeholders
from infra.avro.row import RowImage, Rows
from infra.platform.sinks.nested import decimal_digits

#: One element: text as PostgreSQL reads it, None for NULL, UNAVAILABLE for a value that was not
#: sent.
Element = bytes | Unavailable | None
#: Turns a Python value into the text that a column of the target reads.
TextMaker = Callable[[Any], str]

_HEADER = struct.Struct(">iiIii")
_NULL = b"\xff\xff\xff\xff"
#: Lengths up to this one are looked up in a table.
_SHORT = 1024
_LENGTHS = tuple(struct.pack(">i", size) for size in range(_SHORT))
#: If no text is longer than twice its column's mean by more than this, the column goes through one
#: table.
_SPARE_BYTES = 64
_TEXT_OID, _BYTEA_OID = 25, 17


class TextArray(bytes):
    """An encoded `text[]`."""


class ByteaArray(bytes):
    """An encoded `bytea[]`."""


class TextArrayDumper(adapt.Dumper):
    """Hands a TextArray to the server as it is."""

    format = pq.Format.BINARY
    oid = 1009

    def dump(self, obj: bytes) -> bytes:
        """The bytes themselves."""
        return bytes(obj)


class ByteaArrayDumper(TextArrayDumper):
    """The same for bytea."""

    oid = 1001


def array(elements: Sequence[Element], kind: ColumnKind) -> TextArray | ByteaArray:
    """Elements as one parameter; UNAVAILABLE becomes NULL here."""
    parts: list[bytes] = []
    for element in elements:
        if element is None or element is UNAVAILABLE:
            parts.append(_NULL)
        else:
            size = len(element)
            parts.append(_LENGTHS[size] if size < _SHORT else struct.pack(">i", size))
            parts.append(element)
    return _whole(b"".join(parts), len(elements), kind)


def _whole(framed: bytes, count: int, kind: ColumnKind) -> TextArray | ByteaArray:
    oid = _BYTEA_OID if kind is ColumnKind.BYTES else _TEXT_OID
    head = _HEADER.pack(1, 1, oid, count, 1) if count else struct.pack(">iiI", 0, 0, oid)
    return ByteaArray(head + framed) if kind is ColumnKind.BYTES else TextArray(head + framed)


def column_array(
    rows: Rows, side: RowImage, column: Column, make: TextMaker | None = None
) -> TextArray | ByteaArray | None:
    """A whole column as one parameter, with texts straight from the wire, or as `make` writes them;
    None if the source did not send all of it.
    """
    if column.kind in _AS_THEY_ARE and make is None:
        octets, (begin, length) = rows.octets, rows.spans(side, column.name)
        if are_placeholders(octets, begin, length).any():
            return None
        if _are_even(octets, begin, length) and not _with_sign(octets, column, begin, length).any():
            return _whole(_framed(octets, begin, length), len(rows), column.kind)
    found = elements(rows, side, column, make)
    return None if UNAVAILABLE in found else array(found, parameter_kind(column, make))


def _are_even(octets: Octets, begin: OffsetArray, length: NDArray[np.int64]) -> bool:
    """Whether a table as wide as the widest text lies within the octets, and is not much larger
    than its texts.
    """
    widest = int(length.max())
    return int(begin.max()) + widest < len(octets.bytes) and widest < _SPARE_BYTES + 2 * float(
        length.mean()
    )


def _framed(octets: Octets, begin: OffsetArray, length: NDArray[np.int64]) -> bytes:
    """Every text behind its length, -1 for NULL: a table of all texts, from which the bytes beyond
    each text's end are removed.
    """
    widest = max(int(length.max()), 1)
    table = np.empty((len(begin), 4 + widest), dtype=np.uint8)
    table[:, :4] = length.astype(">i4").view(np.uint8).reshape(-1, 4)
    table[:, 4:] = octets.table(begin, widest)
    return table[np.arange(-4, widest) < np.maximum(length, 0)[:, None]].tobytes()


def parameter_kind(column: Column, make: TextMaker | None) -> ColumnKind:
    """The kind of the parameter's items: text, or bytes if they are passed on unchanged."""
    return column.kind if make is None else ColumnKind.TEXT


def array_type(kind: ColumnKind) -> str:
    """The parameter's type in SQL."""
    return "bytea[]" if kind is ColumnKind.BYTES else "text[]"


def elements(
    rows: Rows, side: RowImage, column: Column, make: TextMaker | None = None
) -> list[Element]:
    """A column of one side."""
    if make is not None:
        return [_element(value, make) for value in rows.values(side, column.name)]
    if column.kind in _AS_THEY_ARE:
        return _raw(rows, side, column)
    if column.kind is ColumnKind.DECIMAL:
        return [
            None if text is None else text.encode()
            for text in rows.decimal_texts(side, column.name)
        ]
    if column.kind in _WHOLE_NUMBERS:
        numbers, there = rows.numbers(side, column.name)
        found: list[Element] = [b"%d" % number for number in numbers.tolist()]
        for row in np.flatnonzero(~there).tolist():
            found[row] = None
        return found
    write = _MAKERS.get(column.kind, str)
    return [_element(value, write) for value in rows.values(side, column.name)]


def _element(value: Any, make: TextMaker) -> Element:
    return value if value is None or value is UNAVAILABLE else make(value).encode()


def _raw(rows: Rows, side: RowImage, column: Column) -> list[Element]:
    begin, length = rows.spans(side, column.name)
    found: list[Element] = list(rows.octets.texts(begin, np.maximum(length, 0)))
    for row in np.flatnonzero(length < 0).tolist():
        found[row] = None
    for row in np.flatnonzero(are_placeholders(rows.octets, begin, length)).tolist():
        found[row] = UNAVAILABLE
    for row in np.flatnonzero(_with_sign(rows.octets, column, begin, length)).tolist():
        found[row] = postgres_timestamp((found[row] or b"").decode()).encode()  # type: ignore[union-attr]
    return found


def _with_sign(
    octets: Octets, column: Column, begin: OffsetArray, length: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Timestamps of years that PostgreSQL writes in another way."""
    if column.kind is not ColumnKind.ZONED_TIMESTAMP:
        return np.zeros(len(begin), dtype=np.bool_)
    first = octets.ones[begin]
    signed: NDArray[np.bool_] = (length > 0) & ((first == ord("+")) | (first == ord("-")))
    return signed


_AS_THEY_ARE = frozenset(
    {
        ColumnKind.TEXT,
        ColumnKind.UUID,
        ColumnKind.JSON,
        ColumnKind.BYTES,
        ColumnKind.ZONED_TIMESTAMP,
        ColumnKind.ZONED_TIME,
        ColumnKind.INTERVAL,
    }
)
_WHOLE_NUMBERS = frozenset({ColumnKind.INT16, ColumnKind.INT32, ColumnKind.INT64})
_MAKERS: dict[ColumnKind, Callable[[Any], str]] = {
    ColumnKind.BOOLEAN: lambda value: "t" if value else "f",
    ColumnKind.FLOAT32: repr,
    ColumnKind.FLOAT64: repr,
    ColumnKind.VARIABLE_DECIMAL: decimal_digits,
    ColumnKind.DURATION_US: lambda value: f"{value} microseconds",
}
