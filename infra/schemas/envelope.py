"""Reads Debezium's envelopes out of Avro without decoding what is not asked for.

A reader is compiled for each writer schema: straight-line code that steps over every field and keeps four of
them. It is several times faster than decoding a whole record, and works for any captured table that has the
probe column. Avro 1.11 specification, "Binary Encoding".
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

#: Confluent's wire format: a zero, then the schema's id in four bytes.
HEADER = struct.Struct(">bI")
HEADER_BYTES = HEADER.size


class EnvelopeError(ValueError):
    """A message or schema that is no Debezium envelope; the message says why."""


class Envelope(NamedTuple):
    """What is read of one change event.

    `operation` is Debezium's op (c, u, d, r, t); `probe` is the row's, of `before` where the row was deleted;
    `committed_us` is the source transaction's commit time, microseconds since the epoch.
    """

    operation: bytes
    probe: bytes | None
    committed_us: int


Reader = Callable[[bytes], tuple[bytes, bytes | None, bytes | None, int]]


def schema_id(message: bytes) -> int:
    """The id in a message's head; raises EnvelopeError where there is none."""
    if len(message) < HEADER_BYTES or message[0] != 0:
        raise EnvelopeError("the message is not in Confluent's wire format: it does not start with a zero and an id")
    return int(HEADER.unpack_from(message)[1])


def compile_reader(schema: Mapping[str, Any], probe_column: str = "probe") -> Callable[[bytes], Envelope]:
    """A function from a message to its Envelope, for one writer schema; raises EnvelopeError for other records."""
    names = {field["name"] for field in schema.get("fields", ())}
    if schema.get("type") != "record" or not {"before", "after", "source", "op"} <= names:
        raise EnvelopeError(
            f"schema {schema.get('name')!r} is no Debezium envelope: before, after, source and op are needed; "
            "is the connector unwrapping events?"
        )
    read = _Compiler(probe_column).compile(schema)

    def envelope(message: bytes) -> Envelope:
        try:
            operation, before, after, committed_us = read(message)
        except (IndexError, struct.error) as error:
            raise EnvelopeError(f"the message ends in the middle of its envelope ({len(message)} bytes)") from error
        return Envelope(operation, before if operation == b"d" else after, committed_us)

    return envelope


class _Compiler:
    """Writes the source of one reader. Variables there: b the message, p the position, n a number, l a length."""

    def __init__(self, probe_column: str) -> None:
        self._probe = probe_column
        self._lines: list[str] = []
        self._records: dict[str, Mapping[str, Any]] = {}

    def compile(self, schema: Mapping[str, Any]) -> Reader:
        fields = schema["fields"]
        self._learn(schema, "")
        for field in fields:
            self._field(field["name"], field["type"], 1)
        body = "\n".join(self._lines)
        source = (
            f"def read(b):\n p = {HEADER_BYTES}\n op = b''\n before = after = None\n ts_us = ts_ms = 0\n"
            f"{body}\n if p > len(b):\n  raise IndexError\n return op, before, after, ts_us or ts_ms * 1000\n"
        )
        space: dict[str, Any] = {}
        exec(source, space)  # noqa: S102 - the source is made above, of numbers and fixed names only
        reader: Reader = space["read"]
        return reader

    def _learn(self, schema: Any, namespace: str) -> None:
        """Note named records, since Avro refers back to them by name."""
        if isinstance(schema, list):
            for branch in schema:
                self._learn(branch, namespace)
        elif isinstance(schema, Mapping):
            inner = schema.get("namespace", namespace)
            if schema["type"] == "record":
                self._records[schema["name"]] = self._records[f"{inner}.{schema['name']}"] = schema
                for field in schema["fields"]:
                    self._learn(field["type"], inner)
            elif isinstance(schema["type"], (list, Mapping)):
                self._learn(schema["type"], inner)

    def _emit(self, depth: int, *lines: str) -> None:
        self._lines += [" " * depth + line for line in lines]

    def _field(self, name: str, schema: Any, depth: int) -> None:
        """One field of the envelope: kept, looked into, or stepped over."""
        if name in ("before", "after"):
            self._row(name, schema, depth)
        elif name == "source":
            self._source(schema, depth)
        elif name == "op":
            self._length(depth)
            self._emit(depth, "op = b[p:p + l]", "p += l")
        else:
            self._skip(schema, depth)

    def _row(self, side: str, schema: Any, depth: int) -> None:
        def inside(record: Mapping[str, Any], level: int) -> None:
            for field in record["fields"]:
                if field["name"] == self._probe:
                    self._text(side, field["type"], level)
                else:
                    self._skip(field["type"], level)

        self._record(schema, depth, inside)

    def _source(self, schema: Any, depth: int) -> None:
        def inside(record: Mapping[str, Any], level: int) -> None:
            for field in record["fields"]:
                if field["name"] in ("ts_us", "ts_ms"):
                    self._number(field["name"], field["type"], level)
                else:
                    self._skip(field["type"], level)

        self._record(schema, depth, inside)

    def _record(self, schema: Any, depth: int, inside: Callable[[Mapping[str, Any], int], None]) -> None:
        for branch, level in self._branches(schema, depth):
            record = self._resolve(branch)
            if isinstance(record, Mapping) and record["type"] == "record":
                inside(record, level)
            else:
                self._skip(branch, level)

    def _branches(self, schema: Any, depth: int) -> Iterator[tuple[Any, int]]:
        """A union's branches, each in an `if` of its own; any other schema as it is."""
        if not isinstance(schema, list):
            yield schema, depth
            return
        self._emit(depth, "n = b[p]", "p += 1")
        for index, branch in enumerate(schema):
            self._emit(depth, f"{'if' if index == 0 else 'elif'} n == {2 * index}:", " pass")
            yield branch, depth + 1
        self._emit(depth, "else:", " raise IndexError")

    def _text(self, variable: str, schema: Any, depth: int) -> None:
        for branch, level in self._branches(schema, depth):
            if self._plain(branch) in ("string", "bytes"):
                self._length(level)
                self._emit(level, f"{variable} = b[p:p + l]", "p += l")
            else:
                self._skip(branch, level)

    def _number(self, variable: str, schema: Any, depth: int) -> None:
        for branch, level in self._branches(schema, depth):
            if self._plain(branch) in ("long", "int"):
                self._varint(level)
                self._emit(level, f"{variable} = (n >> 1) ^ -(n & 1)")
            else:
                self._skip(branch, level)

    def _varint(self, depth: int) -> None:
        self._emit(
            depth,
            "c = b[p]",
            "p += 1",
            "n = c & 127",
            "s = 7",
            "while c & 128:",
            " c = b[p]",
            " p += 1",
            " n |= (c & 127) << s",
            " s += 7",
        )

    def _length(self, depth: int) -> None:
        """Read a text's or a block's length into l; most fit one byte."""
        self._emit(depth, "l = b[p]", "p += 1", "if l & 128:")
        self._emit(depth + 1, "p -= 1")
        self._varint(depth + 1)
        self._emit(depth + 1, "l = n")
        self._emit(depth, "l >>= 1")

    def _plain(self, schema: Any) -> Any:
        schema = self._resolve(schema)
        return (
            self._plain(schema["type"]) if isinstance(schema, Mapping) and isinstance(schema["type"], str) else schema
        )

    def _resolve(self, schema: Any) -> Any:
        return self._records.get(schema, schema) if isinstance(schema, str) else schema

    def _skip(self, schema: Any, depth: int) -> None:
        if isinstance(schema, list):
            for branch, level in self._branches(schema, depth):
                self._skip(branch, level)
            return
        resolved = self._resolve(schema)
        kind = resolved["type"] if isinstance(resolved, Mapping) else resolved
        if isinstance(kind, (list, Mapping)):
            self._skip(kind, depth)
        elif kind == "record":
            for field in resolved["fields"]:
                self._skip(field["type"], depth)
        elif kind in ("array", "map"):
            self._blocks(resolved, kind, depth)
        else:
            self._skip_primitive(kind, resolved, depth)

    def _skip_primitive(self, kind: str, schema: Any, depth: int) -> None:
        fixed = {"null": 0, "boolean": 1, "float": 4, "double": 8}
        if kind in fixed:
            self._emit(depth, f"p += {fixed[kind]}")
        elif kind in ("long", "int", "enum"):
            self._emit(depth, "while b[p] & 128:", " p += 1", "p += 1")
        elif kind in ("string", "bytes"):
            self._length(depth)
            self._emit(depth, "p += l")
        elif kind == "fixed":
            self._emit(depth, f"p += {int(schema['size'])}")
        else:
            raise EnvelopeError(f"Avro type {kind!r} is not known")

    def _blocks(self, schema: Mapping[str, Any], kind: str, depth: int) -> None:
        """Arrays and maps: blocks of a count and so many items, up to a count of zero; nested ones need own names."""
        count = f"k{depth}"
        self._emit(depth, f"{count} = 1", f"while {count}:")
        self._varint(depth + 1)
        self._emit(depth + 1, f"{count} = (n >> 1) ^ -(n & 1)", f"if {count} < 0:", f" {count} = -{count}")
        self._emit(depth + 2, "while b[p] & 128:", " p += 1", "p += 1")
        self._emit(depth + 1, f"for _ in range({count}):", " pass")
        if kind == "map":
            self._skip("string", depth + 2)
        self._skip(schema["items" if kind == "array" else "values"], depth + 2)


def key_id(message: bytes | None) -> int:
    """A number for a record's key: the key itself where it is one integer column, else a hash of its bytes.

    Two rows of one table never share a number in the first case, and practically never in the second.
    """
    if not message:
        return 0
    value = shift = 0
    for position in range(HEADER_BYTES, len(message)):
        byte = message[position]
        value |= (byte & 127) << shift
        shift += 7
        if not byte & 128:
            if position == len(message) - 1 and shift <= 70:
                return (value >> 1) ^ -(value & 1)
            break
    return hash(message) >> 1


def is_probe_column(name: str) -> bool:
    """Whether a column name may be given on the command line: a plain identifier."""
    return re.fullmatch(r"[A-Za-z_][A-Za-z0-9_$]*", name) is not None
