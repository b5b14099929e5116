"""The same tasks, done in the plain and obvious way: what the platform's implementations are measured against.

Written as one would write it without thinking about speed beyond the usual: a loop over the columns, `struct` for numbers,
dataclasses for events, the standard library's `json`. It reads messages of protocol version 1 that are well-formed.
Not to be touched once figures are published, or ratios of different days cannot be compared.
"""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import fastavro

EPOCH_US = 946_684_800_000_000
UNCHANGED = object()
INTEGERS = frozenset({20, 21, 23})
FLOATS = frozenset({700, 701})
BOOLEAN = 16


@dataclass
class Column:
    key: bool
    name: str
    type_oid: int
    modifier: int


@dataclass
class Relation:
    oid: int
    schema: str
    table: str
    identity: str
    columns: list[Column]


@dataclass
class Begin:
    commit_lsn: int
    commit_us: int
    xid: int


@dataclass
class Commit:
    commit_lsn: int
    end_lsn: int
    commit_us: int


@dataclass
class Insert:
    relation: Relation
    after: list[Any]


@dataclass
class Update:
    relation: Relation
    after: list[Any]
    before: list[Any] | None
    key: list[Any] | None


@dataclass
class Delete:
    relation: Relation
    before: list[Any] | None
    key: list[Any] | None


class Reader:
    """Reads fields of a message one after another."""

    def __init__(self, message: bytes) -> None:
        self.message = message
        self.position = 0

    def take(self, size: int) -> bytes:
        part = self.message[self.position : self.position + size]
        self.position += size
        return part

    def char(self) -> str:
        return chr(self.take(1)[0])

    def integer(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")

    def string(self) -> str:
        end = self.message.index(b"\0", self.position)
        text = self.message[self.position : end].decode()
        self.position = end + 1
        return text

    def row(self) -> list[Any]:
        return [self.value() for _ in range(self.integer(2))]

    def value(self) -> Any:
        kind = self.char()
        if kind == "t":
            return self.take(self.integer(4)).decode()
        if kind == "n":
            return None
        if kind == "u":
            return UNCHANGED
        raise ValueError(f"value of kind {kind!r}")


class Decoder:
    """Reads the messages that a benchmark's stream has."""

    def __init__(self) -> None:
        self.relations: dict[int, Relation] = {}
        self._kinds: Mapping[str, Callable[[Reader], Any]] = {
            "B": self._begin,
            "C": self._commit,
            "R": self._relation,
            "I": self._insert,
            "U": self._update,
            "D": self._delete,
        }

    def decode(self, message: bytes) -> Any:
        reader = Reader(message)
        return self._kinds[reader.char()](reader)

    def _begin(self, reader: Reader) -> Begin:
        return Begin(reader.integer(8), reader.integer(8) + EPOCH_US, reader.integer(4))

    def _commit(self, reader: Reader) -> Commit:
        reader.take(1)
        return Commit(reader.integer(8), reader.integer(8), reader.integer(8) + EPOCH_US)

    def _relation(self, reader: Reader) -> Relation:
        oid, schema, table, identity = reader.integer(4), reader.string(), reader.string(), reader.char()
        columns = [
            Column(reader.integer(1) == 1, reader.string(), reader.integer(4), reader.integer(4))
            for _ in range(reader.integer(2))
        ]
        relation = self.relations[oid] = Relation(oid, schema, table, identity, columns)
        return relation

    def _insert(self, reader: Reader) -> Insert:
        relation = self.relations[reader.integer(4)]
        reader.char()
        return Insert(relation, reader.row())

    def _update(self, reader: Reader) -> Update:
        relation = self.relations[reader.integer(4)]
        before, key = self._old(relation, reader, reader.char())
        return Update(relation, reader.row(), before, key)

    def _delete(self, reader: Reader) -> Delete:
        relation = self.relations[reader.integer(4)]
        before, key = self._old(relation, reader, reader.char())
        return Delete(relation, before, key)

    def _old(self, relation: Relation, reader: Reader, kind: str) -> tuple[list[Any] | None, list[Any] | None]:
        """The whole old row, or its key; leaves an update's reader in front of the new row."""
        if kind == "N":
            return None, None
        old = reader.row()
        if reader.position < len(reader.message):
            reader.char()
        if kind == "O":
            return old, None
        return None, [value for value, column in zip(old, relation.columns, strict=True) if column.key]
