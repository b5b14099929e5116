"""The same tasks, done in the plain and obvious way: what the platform's implementations are
measured against.

Written as one would write it without thinking about speed: a function for each piece of a message,
dataclasses for events, dictionaries for rows, the standard library's `json`, fastavro for Avro,
one record a call for publishing. It reads messages of protocol version 1 that are well-formed. It
is not to be touched once figures are published, or ratios of different days cannot be compared;
docs/results/wal.md says how it compares with PyPI's pypgoutput.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import fastavro

EPOCH_US = 946_684_800_000_000
UNCHANGED = object()
INTEGERS = (20, 21, 23)
FLOATS = (700, 701)
BOOLEAN = 16
NUMERIC = 1700
TIMESTAMPTZ = 1184


@dataclass
class Column:
    key: bool
    name: str
    type_oid: int


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


def integer(message: bytes, position: int, size: int) -> int:
    return int.from_bytes(message[position : position + size], "big")


def string(message: bytes, position: int) -> tuple[str, int]:
    end = message.index(b"\0", position)
    return message[position:end].decode("utf-8"), end + 1


def value(message: bytes, position: int) -> tuple[Any, int]:
    kind = message[position : position + 1]
    position += 1
    if kind == b"n":
        return None, position
    if kind == b"u":
        return UNCHANGED, position
    if kind == b"t":
        length = int.from_bytes(message[position : position + 4], "big")
        position += 4
        return message[position : position + length].decode("utf-8"), position + length
    raise ValueError(f"value of kind {kind!r}")


def row(message: bytes, position: int) -> tuple[list[Any], int]:
    count = int.from_bytes(message[position : position + 2], "big")
    position += 2
    values = []
    for _ in range(count):
        read, position = value(message, position)
        values.append(read)
    return values, position


class Decoder:
    """Reads the messages that a benchmark's stream has."""

    def __init__(self) -> None:
        self.relations: dict[int, Relation] = {}

    def decode(self, message: bytes) -> Any:
        kind = message[:1]
        if kind == b"I":
            return self.insert(message)
        if kind == b"U":
            return self.update(message)
        if kind == b"D":
            return self.delete(message)
        if kind == b"B":
            return Begin(
                integer(message, 1, 8), integer(message, 9, 8) + EPOCH_US, integer(message, 17, 4)
            )
        if kind == b"C":
            return Commit(
                integer(message, 2, 8), integer(message, 10, 8), integer(message, 18, 8) + EPOCH_US
            )
        if kind == b"R":
            return self.relation(message)
        raise ValueError(f"message of kind {kind!r}")

    def relation(self, message: bytes) -> Relation:
        oid = integer(message, 1, 4)
        schema, position = string(message, 5)
        table, position = string(message, position)
        identity = chr(message[position])
        count = integer(message, position + 1, 2)
        position += 3
        columns = []
        for _ in range(count):
            key = message[position] == 1
            name, position = string(message, position + 1)
            columns.append(Column(key, name, integer(message, position, 4)))
            position += 8
        relation = self.relations[oid] = Relation(oid, schema, table, identity, columns)
        return relation

    def insert(self, message: bytes) -> Insert:
        relation = self.relations[integer(message, 1, 4)]
        after, _ = row(message, 6)
        return Insert(relation, after)

    def update(self, message: bytes) -> Update:
        relation = self.relations[integer(message, 1, 4)]
        before, key, position = self.old(relation, message)
        after, _ = row(message, position + 1)
        return Update(relation, after, before, key)

    def delete(self, message: bytes) -> Delete:
        relation = self.relations[integer(message, 1, 4)]
        before, key, _ = self.old(relation, message)
        return Delete(relation, before, key)

    def old(
        self, relation: Relation, message: bytes
    ) -> tuple[list[Any] | None, list[Any] | None, int]:
        """The whole old row or its key, and the position behind it."""
        kind = message[5:6]
        if kind == b"N":
            return None, None, 5
        values, position = row(message, 6)
        if kind == b"O":
            return values, None, position
        return (
            None,
            [read for read, column in zip(values, relation.columns, strict=True) if column.key],
            position,
        )


def typed(column: Column, text: Any) -> Any:
    """A value as JSON should have it."""
    if text is None or text is UNCHANGED:
        return text
    if column.type_oid in INTEGERS:
        return int(text)
    if column.type_oid in FLOATS:
        return float(text)
    if column.type_oid == BOOLEAN:
        return text == "t"
    return text


def as_dict(relation: Relation, values: Sequence[Any] | None) -> dict[str, Any] | None:
    if values is None:
        return None
    return {
        column.name: typed(column, text)
        for column, text in zip(relation.columns, values, strict=True)
        if text is not UNCHANGED
    }


def change_json(event: Any, source: Mapping[str, int]) -> bytes:
    """A change as the platform's JSON has it (infra/platform/wal/serialise/change_json.py)."""
    relation = event.relation
    operation = {Insert: "c", Update: "u", Delete: "d"}[type(event)]
    body: dict[str, Any] = {
        "op": operation,
        "source": source,
        "schema": relation.schema,
        "table": relation.table,
    }
    body["before"] = as_dict(relation, getattr(event, "before", None))
    key = getattr(event, "key", None)
    if key is not None:
        columns = [column for column in relation.columns if column.key]
        body["key"] = {
            column.name: typed(column, text) for column, text in zip(columns, key, strict=True)
        }
    body["after"] = as_dict(relation, getattr(event, "after", None))
    return json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()


class AvroWriter:
    """A change as the platform's Avro has it (infra/platform/wal/serialise/change_avro.py), by
    fastavro.
    """

    def __init__(self, schema: dict[str, Any], head: bytes, constant: Mapping[str, Any]) -> None:
        self.schema = fastavro.parse_schema(schema)
        self.head = head
        self.constant = constant

    def write(self, event: Any, source: Mapping[str, int]) -> bytes:
        operation = {Insert: "c", Update: "u", Delete: "d"}[type(event)]
        times = {
            "ts_ms": source["commit_ts_us"] // 1000,
            "ts_us": source["commit_ts_us"],
            "ts_ns": source["commit_ts_us"] * 1000,
        }
        lsn = source["lsn"]
        record = {
            "before": self.row(event.relation, getattr(event, "before", None)),
            "after": self.row(event.relation, getattr(event, "after", None)),
            "source": {
                **self.constant,
                **times,
                "sequence": f'["{lsn}","{lsn}"]',
                "schema": event.relation.schema,
                "table": event.relation.table,
                "txId": source["xid"],
                "lsn": lsn,
            },
            "op": operation,
            **times,
        }
        buffer = io.BytesIO()
        buffer.write(self.head)
        fastavro.schemaless_writer(buffer, self.schema, record)
        return buffer.getvalue()

    def row(self, relation: Relation, values: Sequence[Any] | None) -> dict[str, Any] | None:
        if values is None:
            return None
        return {
            column.name: avro_value(column, text)
            for column, text in zip(relation.columns, values, strict=True)
        }


def avro_value(column: Column, text: Any) -> Any:
    if text is None:
        return None
    if column.type_oid in INTEGERS:
        return int(text)
    if column.type_oid == NUMERIC:
        return Decimal(text)
    if column.type_oid == TIMESTAMPTZ:
        day, clock = text.removesuffix("+00").split(" ")
        whole, _, fraction = clock.partition(".")
        return f"{day}T{whole}.{fraction.ljust(6, '0')}Z"
    return text


def murmur2(data: bytes) -> int:
    """Kafka's hash of a key (org.apache.kafka.common.utils.Utils.murmur2), made positive."""
    mask, magic = 0xFFFFFFFF, 0x5BD1E995
    length = len(data)
    hashed = (0x9747B28C ^ length) & mask
    whole = length - length % 4
    for position in range(0, whole, 4):
        word = int.from_bytes(data[position : position + 4], "little") * magic & mask
        hashed = (hashed * magic & mask) ^ ((word ^ word >> 24) * magic & mask)
    if whole < length:
        hashed = (hashed ^ int.from_bytes(data[whole:], "little")) * magic & mask
    hashed = (hashed ^ hashed >> 13) * magic & mask
    return (hashed ^ hashed >> 15) & 0x7FFFFFFF


def partitions(keys: Iterable[bytes], count: int) -> list[int]:
    return [murmur2(key) % count for key in keys]


def name(prefix: str, schema: str, table: str) -> str:
    """A stream's name (infra/platform/transports/naming.py), character by character."""
    return ".".join(map(escape, (prefix, schema, table)))


def escape(part: str) -> str:
    escaped = ""
    opened = False
    for character in part:
        plain = character.isascii() and (character.isalnum() or character == "_")
        if plain == opened:
            escaped += "-"
            opened = not opened
        escaped += character if plain else character.encode().hex()
    return escaped + "-" if opened else escaped


def unescape(part: str) -> str:
    pieces = part.split("-")
    for number in range(1, len(pieces), 2):
        pieces[number] = bytes.fromhex(pieces[number]).decode()
    return "".join(pieces)


def table(stream: str) -> tuple[str, str, str]:
    """What was named so."""
    prefix, schema, name_ = map(unescape, stream.split("."))
    return prefix, schema, name_
