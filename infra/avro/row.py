"""Reads whole rows of Debezium's change events out of Avro: many messages at once, column by
column, lazily.

A `RowReader` belongs to one writer schema. It walks a batch of messages field by field, all
messages in one step by numpy, and notes only where each column starts; values are made for the
columns that are asked for, when they are. So the price of a column that nobody needs is stepping
over it. `infra/avro/kind.py` says what values look like.
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

#: So many fillers are compared with all rows at once.
_FEW_FILLERS = 4
#: Decimals up to here, and powers of ten up to here, are numbers of 64 bits.
_SHORT_DECIMAL_BYTES, _SHORT_SCALE = 7, 18


class Rows:
    """Change events of one writer schema as columns of equal length, read from their bytes when
    asked for.

    Slicing gives a part without copying. Reading changes nothing, so several threads may.
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
        # Positions are cut, and the bytes shared: a part costs as much as its number of rows, not
        # as their size.
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
        """Bytes of each message."""
        return self._end - self._begin

    def messages(self) -> list[bytes]:
        """The messages as they came."""
        return self._octets.texts(self._begin, self.sizes)

    @property
    def operation(self) -> NDArray[np.uint8]:
        """Debezium's op as a character code: c, u, d, r, t."""
        return self._octets.ones[self._starts["op"] + 1]

    @property
    def committed_us(self) -> NDArray[np.int64]:
        """The source transaction's commit time, wall microseconds:

        `source.ts_us`, else `ts_ms`; 0 where neither is.
        """
        exact = self._number("ts_us")
        # `ts_ms` is read only where it is needed: each number costs a look at every message.
        return exact if exact.all() else np.where(exact != 0, exact, self._number("ts_ms") * 1000)

    @property
    def lsn(self) -> NDArray[np.int64]:
        """The change's position in the source's log; 0 where the source does not say."""
        return self._number("lsn")

    def _number(self, name: str) -> NDArray[np.int64]:
        starts = self._starts.get(name)
        found = np.zeros(len(self), dtype=np.int64)
        if starts is None:
            return found
        # -1 marks NULL. As an index it would read the last byte there is, and no error would show
        # it.
        there = np.flatnonzero(starts >= 0)
        found[there] = self._octets.numbers(starts[there])[0]
        return found

    @property
    def log_position(self) -> NDArray[np.int64]:
        """How far the source's log was read when the change came: the last commit before it, by
        `source.sequence`, else the change's own position.

        Unlike positions of changes, which those of concurrent transactions share out among
        themselves, it never falls while one server is read once.
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
        """The schemas and names of the source's tables that these changes are of; none where the
        events do not say.
        """
        if not {"schema", "table"} <= set(self._starts) or not len(self):
            return set()
        places = [self._octets.lengths(self._starts[name]) for name in ("schema", "table")]
        # A topic mostly has one table. That is seen by comparing bytes in columns; making two
        # texts of each message to put them into a set is what this saves.
        if all(alike(self._octets, begin, length) for length, begin in places):
            places = [(length[:1], begin[:1]) for length, begin in places]
        names = [self._octets.texts(begin, length) for length, begin in places]
        return {(schema.decode(), table.decode()) for schema, table in zip(*names, strict=True)}

    def key_only(self, side: RowImage, key: Collection[str]) -> NDArray[np.bool_]:
        """Which rows of this side hold the key, and in all other columns only what stands where
        nothing was sent (infra/avro/filler.py).
        """
        left = np.flatnonzero(self.present(side))
        for column in self.columns:
            if column.name not in key and len(left):
                # Each column looks only at the rows that are still in question: mostly none
                # after the first.
                left = left[self._filled(side, column, left)]
        found = np.zeros(len(self), dtype=np.bool_)
        found[left] = True
        return found

    def keyless(self, key: Collection[str]) -> NDArray[np.bool_]:
        """Which rows before were sent without their whole key, as with REPLICA IDENTITY USING INDEX
        of other columns.

        Where a part of the key should be stands what Debezium writes where nothing was sent. The
        index's columns, which cannot be NULL, were sent; of the others none was. A row that has
        such a key in truth looks the same only where it is so empty beside it.
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
        """Which of the texts that start here are one of many: short ones, looked up one by one,
        which a comparison of all with each would take longer for.
        """
        found = np.zeros(len(starts), dtype=np.bool_)
        length, begin = self._octets.lengths(starts)
        short = np.flatnonzero(length <= max(map(len, fillers)))
        texts = self._octets.texts(starts[short], (begin - starts + length)[short])
        found[short] = [text in fillers for text in texts]
        return found

    def present(self, side: RowImage) -> NDArray[np.bool_]:
        """Which events have a row on this side."""
        return self._starts[side] >= 0

    def spans(self, side: RowImage, name: str) -> tuple[OffsetArray, NDArray[np.int64]]:
        """Where the bytes of a text, bytes or decimal column begin in `octets`, and their lengths;
        -1 where NULL.
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
        """The bytes that `spans` points into."""
        return self._octets

    def texts(self, side: RowImage, name: str) -> list[str | None]:
        """A column that is text on the wire as it is there; None where it is NULL."""
        begin, length = self.spans(side, name)
        found = self._octets.texts(begin, np.maximum(length, 0))
        return [
            None if size < 0 else text.decode()
            for text, size in zip(found, length.tolist(), strict=True)
        ]

    def decimal_texts(self, side: RowImage, name: str) -> list[str | None]:
        """A decimal column of fixed scale as plain digits; None where it is NULL."""
        begin, length = self.spans(side, name)
        scale = self._columns.column(name).scale
        # Most amounts fit 64 bits: all of them are divided at once, and only the rest are made one
        # by one.
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
        """A whole-number column as it is on the wire (days, micros, ...), and where it is not
        NULL.
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
        """A boolean, float or double column's bytes, a row each, and where it is not NULL."""
        starts = self._sides[side][name]
        # Where there is none (-1), position 0 is read instead: its bytes mean nothing, and the
        # second array says so. Leaving such rows out would cost a copy of all others.
        return self._octets.table(np.maximum(starts, 0), width), starts >= 0

    def values(self, side: RowImage, name: str) -> list[Any]:
        """A column as Python's values;

        None where it is NULL or where the event has no row on this side.
        """
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
            # A view: the bytes are taken for numbers where they lie. They are little-endian on the
            # wire, so the type says so whatever machine this is.
            found = table.view(_PLAIN_TYPES[column.kind]).reshape(-1).tolist()
        else:
            return self._others(side, column)
        return (
            found
            if there.all()
            else [value if kept else None for value, kept in zip(found, there, strict=True)]
        )

    def _sized(self, side: RowImage, column: Column) -> list[Any]:
        # All texts are cut out in one pass over the bytes; NULLs come as empty ones, which costs
        # less than leaving them out and putting None back by place.
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
        """Records, arrays, maps and unions, one by one."""
        # fastavro reads one value at a time, from a position; so only these columns pay for it, and
        # the rest of the message is not decoded a second time.
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
        """Whole rows in column order; None where the event has no row on this side."""
        # By columns and then turned round: a column's values are made by one function without
        # asking for its type again, and `zip` turns in C.
        columns = [self.values(side, column.name) for column in self.columns]
        whole: list[tuple[Any, ...] | None] = list(zip(*columns, strict=True))
        for row in np.flatnonzero(~self.present(side)).tolist():
            whole[row] = None
        return whole


_PLAIN_TYPES = {ColumnKind.BOOLEAN: "?", ColumnKind.FLOAT32: "<f4", ColumnKind.FLOAT64: "<f8"}


def _short_decimals(numbers: NDArray[np.int64], scale: int) -> list[str]:
    # Of absolute values, since divmod rounds down: -1.05 would come out as -2 and .95.
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
