"""Reads rows of Debezium's change events from Avro: many messages at once, column by column, on
demand.

A `RowReader` belongs to one writer schema. It walks over a batch of messages field by field, one
numpy operation for all messages, and notes only where each column starts. Values are made only for
the columns that are asked for, so an unused column costs only the step over it.
`infra/avro/kind.py` defines the values.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Collection, Mapping
from typing import Any, Literal

import fastavro
import numpy as np
from numpy.typing import NDArray

from infra.avro.kind import (
    FROM_NUMBER,
    NUMERIC,
    SIZED,
    UNAVAILABLE,
    Column,
    ColumnKind,
    decimal_text,
    decimal_value,
    zoned_timestamp_value,
)
from infra.avro.octets import Octets, OffsetArray
from infra.avro.origin import alike, commits
from infra.avro.placeholder import are_placeholders, is_placeholder
from infra.avro.row_columns import RowColumns
from infra.avro.walk import Starts

RowImage = Literal["before", "after"]

#: Up to this many fillers are compared with all rows at once.
_FEW_FILLERS = 4
#: Decimals of up to this many bytes and scales fit in 64 bits.
_SHORT_DECIMAL_BYTES, _SHORT_SCALE = 7, 18


class Rows:
    """Change events of one writer schema, as columns with one entry for each event, read from the
    bytes on demand.

    Arrays have shape (events,) unless a method says otherwise. Slicing shares the bytes. Reading
    changes nothing, so several threads may read.
    """

    __slots__ = ("_begin", "_columns", "_end", "_octets", "_sides", "_starts")

    def __init__(
        self,
        columns: RowColumns,
        octets: Octets,
        bounds: tuple[OffsetArray, OffsetArray],
        starts: Mapping[str, Starts],
        sides: Mapping[str, Mapping[str, Starts]],
    ) -> None:
        self._columns = columns
        self._octets = octets
        self._begin, self._end = bounds
        self._starts = starts
        self._sides = sides

    def __len__(self) -> int:
        return len(self._begin)

    def __getitem__(self, part: slice | NDArray[np.int64]) -> Rows:
        # Only positions are cut, and the bytes are shared: a part costs as much as its number of
        # rows, not as their size.
        return Rows(
            self._columns,
            self._octets,
            (self._begin[part], self._end[part]),
            {name: starts[part] for name, starts in self._starts.items()},
            {
                side: {name: starts[part] for name, starts in found.items()}
                for side, found in self._sides.items()
            },
        )

    @property
    def columns(self) -> tuple[Column, ...]:
        """The table's columns in order."""
        return self._columns.ordered

    @property
    def sizes(self) -> NDArray[np.int64]:
        """The size of each message in bytes, int64."""
        return self._end - self._begin

    def messages(self) -> list[bytes]:
        """The messages as bytes objects."""
        return self._octets.texts(self._begin, self.sizes)

    @property
    def operation(self) -> NDArray[np.uint8]:
        """Debezium's op as a character code (c, u, d, r, t), uint8."""
        return self._octets.ones[self._starts["op"] + 1]

    @property
    def committed_us(self) -> NDArray[np.int64]:
        """The source transaction's commit time in wall microseconds, int64: `source.ts_us`,
        otherwise `ts_ms`; 0 if both are missing.
        """
        exact = self._number("ts_us")
        # `ts_ms` is read only if needed, because each number costs a pass over all messages.
        return exact if exact.all() else np.where(exact != 0, exact, self._number("ts_ms") * 1000)

    @property
    def lsn(self) -> NDArray[np.int64]:
        """The change's position in the source's log, int64; 0 if the source does not give it."""
        return self._number("lsn")

    def _number(self, name: str) -> NDArray[np.int64]:
        starts = self._starts.get(name)
        found = np.zeros(len(self), dtype=np.int64)
        if starts is None:
            return found
        # -1 marks NULL. As an index it would silently read the last byte.
        there = np.flatnonzero(starts >= 0)
        found[there] = self._octets.numbers(starts[there])[0]
        return found

    @property
    def log_position(self) -> NDArray[np.int64]:
        """How far the source's log was read when the change came (int64): the last commit before
        it, by `source.sequence`, otherwise the change's own position.

        It never falls while one server is read once. Positions of changes may fall, because
        concurrent transactions interleave.
        """
        starts, found = self._starts.get("sequence"), self.lsn
        if starts is None:
            return found
        there = np.flatnonzero(starts >= 0)
        length, begin = self._octets.lengths(starts[there])
        if len(there):
            found[there] = commits(self._octets, begin, length, found[there])
        return found

    def source_tables(self) -> set[tuple[str, str]]:
        """The schemas and names of the source tables of these changes; empty if the events do not
        name them.
        """
        if not {"schema", "table"} <= set(self._starts) or not len(self):
            return set()
        places = [self._octets.lengths(self._starts[name]) for name in ("schema", "table")]
        # A topic mostly has one table, which a comparison of bytes in columns shows. The slow way
        # would make two texts of each message for a set.
        if all(alike(self._octets, begin, length) for length, begin in places):
            places = [(length[:1], begin[:1]) for length, begin in places]
        names = [self._octets.texts(begin, length) for length, begin in places]
        return {(schema.decode(), table.decode()) for schema, table in zip(*names, strict=True)}

    def key_only(self, side: RowImage, key: Collection[str]) -> NDArray[np.bool_]:
        """Which rows of this side hold the key, and in all other columns only fillers
        (infra/avro/filler.py); bool.
        """
        left = np.flatnonzero(self.present(side))
        for column in self.columns:
            if column.name not in key and len(left):
                # Each column looks only at the rows that are still candidates: mostly none after
                # the first column.
                left = left[self._filled(side, column, left)]
        found = np.zeros(len(self), dtype=np.bool_)
        found[left] = True
        return found

    def keyless(self, key: Collection[str]) -> NDArray[np.bool_]:
        """Which `before` rows were sent without their whole key, as with REPLICA IDENTITY USING
        INDEX on other columns; bool.

        Part of the key is then a filler. The columns of the index, which cannot be NULL, were sent,
        and none of the others. A true row looks the same only if it has such a key and is otherwise
        as empty.
        """
        rows = np.flatnonzero(self.present("before"))
        headless, sent, unsent = (np.zeros(len(rows), dtype=np.bool_) for _ in range(3))
        possible = np.ones(len(rows), dtype=np.bool_)
        for column in self.columns:
            filled = self._filled("before", column, rows)
            if column.name in key:
                headless |= filled
                continue
            unsent |= filled
            if column.nullable:
                possible &= filled
            else:
                sent |= ~filled
        found = np.zeros(len(self), dtype=np.bool_)
        found[rows[headless & sent & unsent & possible]] = True
        return found

    def _filled(self, side: RowImage, column: Column, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        starts = self._sides[side][column.name][rows]
        found = starts < 0
        fillers = self._columns.fillers(column.name)
        if len(fillers) > _FEW_FILLERS:
            return self._among(starts, fillers)
        for filler in fillers:
            within = np.flatnonzero((starts >= 0) & (starts + len(filler) <= self._end[rows]))
            table = self._octets.table(starts[within], len(filler))
            found[within] |= (table == np.frombuffer(filler, dtype=np.uint8)).all(axis=1)
        return found

    def _among(self, starts: Starts, fillers: Collection[bytes]) -> NDArray[np.bool_]:
        """Which of the texts that start here are one of many fillers. They are short, so they are
        looked up one by one; comparing all rows with each filler would take longer.
        """
        found = np.zeros(len(starts), dtype=np.bool_)
        length, begin = self._octets.lengths(starts)
        short = np.flatnonzero(length <= max(map(len, fillers)))
        texts = self._octets.texts(starts[short], (begin - starts + length)[short])
        found[short] = [text in fillers for text in texts]
        return found

    def present(self, side: RowImage) -> NDArray[np.bool_]:
        """Which events have a row on this side, bool."""
        return self._starts[side] >= 0

    def spans(self, side: RowImage, name: str) -> tuple[OffsetArray, NDArray[np.int64]]:
        """Where the bytes of a text, bytes or decimal column begin in `octets` (positions), and
        their lengths; both int64. The length is -1 for NULL.
        """
        starts = self._sides[side][name]
        if (starts >= 0).all():
            length, begin = self._octets.lengths(starts)
            return begin, length
        begin, length = np.zeros(len(self), dtype=np.int64), np.full(len(self), -1, dtype=np.int64)
        there = np.flatnonzero(starts >= 0)
        length[there], begin[there] = self._octets.lengths(starts[there])
        return begin, length

    @property
    def octets(self) -> Octets:
        """The bytes to which the positions of `spans` refer."""
        return self._octets

    def texts(self, side: RowImage, name: str) -> list[str | None]:
        """A column that is text on the wire, unchanged; None for NULL."""
        begin, length = self.spans(side, name)
        found = self._octets.texts(begin, np.maximum(length, 0))
        return [
            None if size < 0 else text.decode()
            for text, size in zip(found, length.tolist(), strict=True)
        ]

    def decimal_texts(self, side: RowImage, name: str) -> list[str | None]:
        """A decimal column of fixed scale as plain digits; None for NULL."""
        begin, length = self.spans(side, name)
        scale = self._columns.column(name).scale
        # Most amounts fit in 64 bits: these are divided all at once, and only the others are made
        # one by one.
        short = (length <= _SHORT_DECIMAL_BYTES) & (0 < scale <= _SHORT_SCALE)
        found: list[str | None] = [None] * len(self)
        if short.any():
            found = list(
                _short_decimals(self._octets.integers(begin, np.where(short, length, 0)), scale)
            )
        for row in np.flatnonzero(~short & (length >= 0)).tolist():
            found[row] = decimal_text(
                self._octets.bytes[begin[row] : begin[row] + length[row]], scale
            )
        for row in np.flatnonzero(length < 0).tolist():
            found[row] = None
        return found

    def numbers(self, side: RowImage, name: str) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """A whole-number column as on the wire (days, microseconds, ...) as int64, and where it is
        not NULL (bool).
        """
        starts = self._sides[side][name]
        there = starts >= 0
        if there.all():
            return self._octets.numbers(starts)[0], there
        found = np.zeros(len(self), dtype=np.int64)
        found[there] = self._octets.numbers(starts[there])[0]
        return found, there

    def fixed(
        self, side: RowImage, name: str, width: int
    ) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """The bytes of a boolean, float or double column as uint8 of shape (events, width), and
        where it is not NULL (bool).
        """
        starts = self._sides[side][name]
        # A NULL (-1) reads position 0 instead; its bytes mean nothing, as the second array says.
        # Leaving such rows out would copy all others.
        return self._octets.table(np.maximum(starts, 0), width), starts >= 0

    def values(self, side: RowImage, name: str) -> list[Any]:
        """A column as Python values; None for NULL, and for events without a row on this side."""
        column = self._columns.column(name)
        if column.kind in SIZED:
            return self._sized(side, column)
        if column.kind in NUMERIC:
            numbers, there = self.numbers(side, name)
            make = FROM_NUMBER.get(column.kind)
            found = (
                numbers.tolist() if make is None else [make(number) for number in numbers.tolist()]
            )
        elif column.kind in _PLAIN_TYPES:
            table, there = self.fixed(side, name, np.dtype(_PLAIN_TYPES[column.kind]).itemsize)
            # A view: the bytes are read as numbers in place. They are little-endian on the wire, so
            # the type names that order for any machine.
            found = table.view(_PLAIN_TYPES[column.kind]).reshape(-1).tolist()
        else:
            return self._others(side, column)
        return (
            found
            if there.all()
            else [value if kept else None for value, kept in zip(found, there, strict=True)]
        )

    def _sized(self, side: RowImage, column: Column) -> list[Any]:
        # All texts are cut out in one pass over the bytes. A NULL becomes an empty text first,
        # which costs less than leaving it out and inserting None by position.
        begin, length = self.spans(side, column.name)
        texts = self._octets.texts(begin, np.maximum(length, 0))
        make = _maker(column)
        found = [make(text) for text in texts]
        for row in np.flatnonzero(length < 0).tolist():
            found[row] = None
        if column.kind is not ColumnKind.DECIMAL:
            for row in np.flatnonzero(are_placeholders(self._octets, begin, length)).tolist():
                found[row] = UNAVAILABLE
        return found

    def _others(self, side: RowImage, column: Column) -> list[Any]:
        """Records, arrays, maps and unions, read one by one."""
        # fastavro reads one value from a position, so only these columns cost that, and the rest of
        # the message is not decoded again.
        schema, make = self._columns.parsed(column.name)
        stream = io.BytesIO(self._octets.bytes)
        found: list[Any] = []
        for start in self._sides[side][column.name].tolist():
            if start < 0:
                found.append(None)
                continue
            stream.seek(start)
            value = fastavro.schemaless_reader(stream, schema, None)
            found.append(UNAVAILABLE if is_placeholder(value) else make(value))
        return found

    def rows(self, side: RowImage) -> list[tuple[Any, ...] | None]:
        """Whole rows in column order; None for events without a row on this side."""
        # Made by columns and then transposed: one function makes a column's values without looking
        # up the type for each, and `zip` transposes in C.
        columns = [self.values(side, column.name) for column in self.columns]
        whole: list[tuple[Any, ...] | None] = list(zip(*columns, strict=True))
        for row in np.flatnonzero(~self.present(side)).tolist():
            whole[row] = None
        return whole


_PLAIN_TYPES = {ColumnKind.BOOLEAN: "?", ColumnKind.FLOAT32: "<f4", ColumnKind.FLOAT64: "<f8"}


def _short_decimals(numbers: NDArray[np.int64], scale: int) -> list[str]:
    # Of absolute values, because divmod rounds down: -1.05 would become -2 and .95.
    whole, rest = np.divmod(np.abs(numbers), 10**scale)
    form = f"%d.%0{scale}d"
    found = [form % parts for parts in zip(whole.tolist(), rest.tolist(), strict=True)]
    for row in np.flatnonzero(numbers < 0).tolist():
        found[row] = f"-{found[row]}"
    return found


def _maker(column: Column) -> Callable[[bytes], Any]:
    if column.kind is ColumnKind.BYTES:
        return bytes
    if column.kind is ColumnKind.DECIMAL:
        return lambda data: decimal_value(data, column.scale)
    if column.kind is ColumnKind.ZONED_TIMESTAMP:
        return lambda data: zoned_timestamp_value(data.decode())
    return bytes.decode
