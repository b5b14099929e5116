"""Walks over change events of one writer schema: a whole batch at once, field by field."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from infra.avro.kind import Column
from infra.avro.octets import Octets, OffsetArray
from infra.avro.row import Rows
from infra.avro.row_columns import RowColumns
from infra.avro.walk import AvroSchema, RecordWalk, Starts, branch_taken, keep_of
from infra.schemas.debezium import AvroDefinition
from infra.schemas.envelope import HEADER_BYTES, EnvelopeError

#: The zigzag length of a text of one character.
_ONE_CHARACTER = 2
#: The fields of the envelope's `source` that are read.
_KEPT = ("ts_us", "ts_ms", "lsn", "sequence", "schema", "table")
#: Debezium's operations by character code: create, update, delete, read (a snapshot's), truncate.
_OPERATIONS = np.isin(np.arange(256), [ord(letter) for letter in "cudrt"])


def _check_operations(octets: Octets, starts: Starts) -> None:
    """Raise EnvelopeError for an operation that Debezium does not have for rows, so that it is not
    mistaken for another.
    """
    # A table of 256 answers is indexed by the letters: one operation, however many kinds of letters
    # there are.
    known = _OPERATIONS[octets.ones[starts + 1]] & (octets.ones[starts] == _ONE_CHARACTER)
    if not known.all():
        row = int(np.flatnonzero(~known)[0])
        length, begin = octets.lengths(starts[row : row + 1])
        text = octets.texts(begin, np.minimum(length, 20))[0]
        raise EnvelopeError(f"operation {text!r} is none of a row")


class RowReader:
    """Reads change events of one writer schema; raises EnvelopeError for a schema that is no
    Debezium envelope.
    """

    def __init__(self, schema: AvroDefinition) -> None:
        self._schema = AvroSchema(schema)
        self._fields = {item["name"]: item["type"] for item in schema.get("fields", ())}
        if schema.get("type") != "record" or not {"before", "after", "source", "op"} <= set(
            self._fields
        ):
            raise EnvelopeError(
                f"schema {schema.get('name')!r} is no Debezium envelope: before, after, source and"
                " op are needed; is the connector unwrapping events?"
            )
        self._sides = {side: self._side(side) for side in ("before", "after")}
        self._columns = RowColumns(self._schema, self._record("after"))
        self._source = self._kept_record(self._record("source"), _KEPT)
        # All decisions that depend on the schema alone are made here, once. A batch then needs only
        # a loop over fields, with one numpy operation for all messages in each.
        self._steps = {name: self._schema.step(declared) for name, declared in self._fields.items()}

    @property
    def columns(self) -> tuple[Column, ...]:
        """The table's columns in order."""
        return self._columns.ordered

    @property
    def hiding_null(self) -> tuple[str, ...]:
        """The names of columns of which a NULL comes as their default."""
        return self._columns.hiding_null

    def read(self, messages: Sequence[bytes] | Octets) -> Rows:
        """Walk over these messages, each with Confluent's header of five bytes; raises
        EnvelopeError if any of them is not of this schema.
        """
        octets = messages if isinstance(messages, Octets) else Octets(messages)
        starts: dict[str, Starts] = {}
        sides: dict[str, dict[str, Starts]] = {}
        try:
            # The header always has five bytes, so each message's envelope begins right behind it.
            at = self._walk(octets, octets.begin + HEADER_BYTES, starts, sides)
        except IndexError as error:
            raise EnvelopeError(
                f"the message ends in the middle of its envelope: {error}"
            ) from error
        # Every message must end exactly where the walk ends. The walk may succeed on bytes of
        # another schema by chance; that it also ends in the right place, for a whole batch, is the
        # check.
        if not np.array_equal(at, octets.end):
            raise EnvelopeError("the message ends in the middle of its envelope, or after it")
        _check_operations(octets, starts["op"])
        return Rows(self._columns, octets, (octets.begin, octets.end), starts, sides)

    def _walk(
        self,
        octets: Octets,
        at: OffsetArray,
        starts: dict[str, Starts],
        sides: dict[str, dict[str, Starts]],
    ) -> OffsetArray:
        for name, step in self._steps.items():
            if name in self._sides:
                starts[name], at = self._sides[name](octets, at, sides.setdefault(name, {}))
            elif name == "source":
                at = self._source.walk(octets, at, starts)
            else:
                if name == "op":
                    starts[name] = at
                at = step(octets, at)
        return at

    def _record(self, field: str) -> AvroDefinition:
        declared = self._fields[field]
        for branch in declared if isinstance(declared, list) else [declared]:
            record = self._schema.resolve(branch)
            if isinstance(record, Mapping) and record["type"] == "record":
                return record
        raise EnvelopeError(f"the envelope's {field!r} is no record")

    def _kept_record(self, record: AvroDefinition, kept: Sequence[str] | None) -> RecordWalk:
        schema = self._schema
        return RecordWalk(
            [
                (
                    item["name"],
                    keep_of(schema, item["type"]) if kept is None or item["name"] in kept else None,
                    schema.step(item["type"]),
                )
                for item in record["fields"]
            ]
        )

    def _side(
        self, side: str
    ) -> Callable[[Octets, OffsetArray, dict[str, Starts]], tuple[Starts, OffsetArray]]:
        declared = self._fields[side]
        record = self._kept_record(self._record(side), None)
        names = [name for name, _, _ in record.fields]

        def whole(
            octets: Octets, at: OffsetArray, into: dict[str, Starts]
        ) -> tuple[Starts, OffsetArray]:
            return at, record.walk(octets, at, into)

        def optional(
            octets: Octets, at: OffsetArray, into: dict[str, Starts]
        ) -> tuple[Starts, OffsetArray]:
            # Inserts have no row before, and nearly all changes have a row after. So a batch of one
            # kind needs no copies; the mixed case below does.
            there, at = branch_taken(octets, at, code)
            if there.all():
                return whole(octets, at, into)
            starts = np.where(there, at, -1)
            into.update({name: np.full(len(at), -1, dtype=np.int64) for name in names})
            rows = np.flatnonzero(there)
            if len(rows):
                part: dict[str, Starts] = {}
                at[rows] = record.walk(octets, at[rows], part)
                for name in names:
                    into[name][rows] = part[name]
            return starts, at

        if not isinstance(declared, list):
            return whole
        code = 2 - 2 * declared.index("null")
        return optional
