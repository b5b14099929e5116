"""Writes Debezium's envelopes as Avro, quickly: the counterpart of `row_reader`.

The parts that all records of a topic share are encoded once; a record consists of them, its row,
its transaction and its times. The row's encoder is compiled from the schema as straight-line code.
The bytes equal those of a general Avro library (a test compares them with fastavro's). Format: Avro
1.11 specification, "Binary Encoding".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from infra.schemas.debezium import AvroDefinition, TopicSchemas, row_schema
from infra.schemas.envelope import HEADER

Encode = Callable[[Any], bytes]

_SEVEN_BITS = 127
_FOURTEEN_BITS = 16_383


class EncodeError(ValueError):
    """A value that its column cannot hold, or a schema that is no envelope; the message
    says which.
    """


def encode_varint(number: int) -> bytes:
    """Seven bits in each byte, the lowest first; only for numbers from 0 up."""
    out = bytearray()
    while number > _SEVEN_BITS:
        out.append(number & _SEVEN_BITS | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


#: Two varint bytes that are not the last, and one or two that are: a number of 28 bits takes two
#: look-ups in place of four rounds of a loop.
_GOING_ON = [bytes((number & 127 | 128, number >> 7 | 128)) for number in range(1 << 14)]
_ENDING = [encode_varint(number) for number in range(1 << 14)]


def encode_long(number: int) -> bytes:
    """Avro's long as bytes: zigzag, then seven bits in each byte."""
    # The specification's (n << 1) ^ (n >> 63), written without the 63: Python's integers have no
    # highest bit, and ~ has the same result for negative numbers.
    zigzag = number << 1 if number >= 0 else ~(number << 1)
    if zigzag <= _FOURTEEN_BITS:
        return _ENDING[zigzag]
    low = _GOING_ON[zigzag & _FOURTEEN_BITS]
    zigzag >>= 14
    if zigzag <= _FOURTEEN_BITS:
        return low + _ENDING[zigzag]
    middle = _GOING_ON[zigzag & _FOURTEEN_BITS]
    zigzag >>= 14
    return low + middle + (_ENDING[zigzag] if zigzag <= _FOURTEEN_BITS else encode_varint(zigzag))


class _Prefix(dict[int, bytes]):
    """The encoded length of a text, behind the union's branch if there is one; encoded on first
    use.
    """

    # A dictionary with `__missing__`: a known length costs one look-up. A function that encodes or
    # caches would be a call for each text.
    def __init__(self, branch: bytes = b"") -> None:
        super().__init__((length, branch + _ENDING[2 * length]) for length in range(256))
        self._branch = branch

    def __missing__(self, length: int) -> bytes:
        return self._branch + encode_long(length)


_LENGTH = _Prefix()


def encode_text(text: str) -> bytes:
    """Avro's string."""
    data = text.encode()
    return _LENGTH[len(data)] + data


def encode_bytes(data: bytes) -> bytes:
    """Avro's bytes."""
    return _LENGTH[len(data)] + data


def encode_unscaled(number: int) -> bytes:
    """A decimal's unscaled number as the shortest big-endian two's complement, equal to Java's
    BigInteger.toByteArray.
    """
    # ~number has as many bits as two's complement needs beside the sign, so -128 is one byte and
    # 128 two, as in Java.
    size = ((number if number >= 0 else ~number).bit_length() >> 3) + 1
    return _LENGTH[size] + number.to_bytes(size, "big", signed=True)


def _decimal(scale: int, precision: int) -> Encode:
    limit = 10**precision

    def encode(value: Decimal) -> bytes:
        scaled = value.scaleb(scale)
        number = int(scaled)
        if number != scaled or not -limit < number < limit:
            raise EncodeError(f"{value} does not fit numeric({precision}, {scale})")
        return encode_unscaled(number)

    return encode


def _zoned_timestamp(value: datetime) -> bytes:
    """Debezium's io.debezium.time.ZonedTimestamp: ISO 8601 in UTC, always to the microsecond."""
    if value.tzinfo is not UTC:
        value = value.astimezone(UTC)
    return encode_text(value.isoformat(timespec="microseconds")[:-6] + "Z")


_PRIMITIVES: Mapping[str, Encode] = {
    "null": lambda _: b"",
    "boolean": lambda value: b"\x01" if value else b"\x00",
    "int": encode_long,
    "long": encode_long,
    "string": encode_text,
    "bytes": encode_bytes,
}


def encoder(schema: Any) -> Encode:
    """A function from a Python value to Avro bytes, for the schemas that Debezium makes of columns;
    raises EncodeError for any other schema.
    """
    if isinstance(schema, list):
        return _union(schema)
    if isinstance(schema, str):
        if schema not in _PRIMITIVES:
            raise EncodeError(f"Avro type {schema!r} is not written here")
        return _PRIMITIVES[schema]
    if schema.get("logicalType") == "decimal":
        return _decimal(int(schema["scale"]), int(schema["precision"]))
    if schema.get("connect.name") == "io.debezium.time.ZonedTimestamp":
        return _zoned_timestamp
    return encoder(schema["type"])


def _union(branches: Sequence[Any]) -> Encode:
    if len(branches) != 2 or "null" not in branches:
        raise EncodeError(
            f"a union of {len(branches)} branches is not written here; null and one other are"
        )
    null = branches.index("null")
    nothing, something = encode_long(null), encode_long(1 - null)
    inner = encoder(branches[1 - null])
    return lambda value: nothing if value is None else something + inner(value)


def compile_row(schema: AvroDefinition) -> Callable[[Sequence[Any]], bytes]:
    """A function from a row (its values in column order) to the record's bytes."""
    # The slow way is a loop over the columns that calls an encoder for each value. Here the loop is
    # unrolled into source code with one variable for each column; texts, the most frequent values,
    # are encoded in place without a call. A test compares every byte with fastavro's.
    columns = schema["fields"]
    space: dict[str, Any] = {"length": _LENGTH, "long": encode_long}
    lines, parts = [], []
    for number, column in enumerate(columns):
        kind, value, part = column["type"], f"v{number}", f"p{number}"
        if kind == "string":
            lines.append(f" {value} = {value}.encode()")
            parts.append(f"length[len({value})], {value}")
        elif kind == ["null", "string"]:
            space[f"some{number}"] = _Prefix(encode_long(1))
            lines += [
                f" if {value} is None:",
                f"  {part} = b'\\x00'",
                " else:",
                f"  {value} = {value}.encode()",
            ]
            lines.append(f"  {part} = some{number}[len({value})] + {value}")
            parts.append(part)
        elif kind == "long":
            parts.append(f"long({value})")
        else:
            space[f"encode{number}"] = encoder(kind)
            parts.append(f"encode{number}({value})")
    values = ", ".join(f"v{number}" for number in range(len(columns)))
    source = f"def encode(row, join=b''.join):\n {values}, = row\n" + "\n".join(lines)
    source += f"\n return join(({', '.join(parts)},))\n"
    exec(source, space)  # noqa: S102 - the source is made above, of numbers and fixed names only
    compiled: Callable[[Sequence[Any]], bytes] = space["encode"]
    return compiled


def _compile_key(key: AvroDefinition, columns: Sequence[str]) -> Callable[[Sequence[Any]], bytes]:
    """A function from a row to its key's bytes."""
    parts = [(columns.index(column["name"]), encoder(column["type"])) for column in key["fields"]]
    # Most keys have one column, which needs no list and no join.
    if len(parts) == 1:
        ((place, encode),) = parts
        return lambda row: encode(row[place])
    return lambda row: b"".join([encode(row[place]) for place, encode in parts])


@dataclass(frozen=True, slots=True)
class ChangeOrigin:
    """The parts of every envelope that name its source, as the connector would write them."""

    name: str = "cdc"
    database: str = "postgres"
    schema: str = "public"
    table: str = "customers"
    version: str = "3.6.3.Final"


@dataclass(frozen=True, slots=True)
class Moment:
    """The parts behind an envelope's rows that all records of one moment share."""

    source: bytes
    after_sequence: bytes
    after_transaction: bytes
    after_lsn: bytes
    after_operation: bytes


@dataclass(slots=True)
class _Parts:
    """Collects bytes, and by name the times between them; starts a new part where a record's own
    value is inserted.
    """

    parts: list[list[bytes | str]] = field(default_factory=lambda: [[b""]])
    cuts: list[str] = field(default_factory=list)

    def add(self, piece: bytes | str) -> None:
        last = self.parts[-1]
        # Constant neighbours become one piece here, so a record joins a few long pieces and not a
        # few dozen short ones.
        if isinstance(piece, bytes) and isinstance(before := last[-1], bytes):
            last[-1] = before + piece
        else:
            last.append(piece)

    def cut(self, name: str) -> None:
        self.cuts.append(name)
        self.parts.append([b""])


#: The length of an envelope's time units, in nanoseconds.
_TIMES = {"ts_ms": 1_000_000, "ts_us": 1000, "ts_ns": 1}
_CUTS = ["sequence", "txId", "lsn", "op"]
_OPERATIONS = {letter: encode_text(letter) for letter in "crudt"}
_SOME = encode_long(1)


class EnvelopeEncoder:
    """Keys and values of one topic, in Confluent's wire format.

    Records of one time should share a `moment`, which is expensive to make.
    """

    def __init__(
        self, schemas: TopicSchemas, key_id: int, value_id: int, origin: ChangeOrigin
    ) -> None:
        self._value = schemas.value
        self._origin = origin
        self.key_head = HEADER.pack(0, key_id)
        self.value_head = HEADER.pack(0, value_id)
        self._row = compile_row(row_schema(schemas.value))
        names = [column["name"] for column in row_schema(schemas.value)["fields"]]
        self.columns = len(names)
        self._key = _compile_key(schemas.key, names)
        self._check()

    def _check(self) -> None:
        fields = [field["name"] for field in self._value["fields"]]
        if fields[:3] != ["before", "after", "source"]:
            raise EncodeError(
                f"schema {self._value.get('name')!r} is no Debezium envelope: its fields are"
                f" {fields}"
            )
        self._parts = self._prepare()

    def key(self, row: Sequence[Any]) -> bytes:
        """The key of a row."""
        return self.key_head + self._key(row)

    def value(
        self,
        operation: str,
        before: Sequence[Any] | None,
        after: Sequence[Any] | None,
        position: tuple[int, int],
        moment: Moment,
    ) -> bytes:
        """The envelope of one change, as bytes.

        `operation` is Debezium's letter (c, u, d, r, t). `position` is the transaction's number and
        the change's LSN, which counts within the topic. It is a plain tuple, because an object for
        each record would cost more than everything that is inserted here.
        """
        encode, (transaction, lsn) = self._row, position
        # One join of finished pieces: adding piece by piece would copy the beginning again each
        # time.
        return b"".join(
            (
                self.value_head,
                b"\x00" if before is None else b"\x02" + encode(before),
                b"\x00" if after is None else b"\x02" + encode(after),
                moment.source,
                # The length comes before the text, so the text is made inside the look-up of its
                # length.
                _SEQUENCE[len(sequence := b'["%d","%d"]' % (lsn, lsn))],
                sequence,
                moment.after_sequence,
                encode_long(transaction),
                moment.after_transaction,
                encode_long(lsn),
                moment.after_lsn,
                _OPERATIONS[operation],
                moment.after_operation,
            )
        )

    def moment(self, committed_us: int) -> Moment:
        """The source block and the tail for events that were committed and captured at this time
        (wall us).
        """
        # All records of one push share a moment, so its times are encoded once for thousands.
        times = {name: encode_long(committed_us * 1000 // scale) for name, scale in _TIMES.items()}
        return Moment(
            *(
                b"".join(piece if isinstance(piece, bytes) else times[piece] for piece in part)
                for part in self._parts
            )
        )

    def _prepare(self) -> Sequence[Sequence[bytes | str]]:
        """Everything behind the rows, encoded except for the times, and cut where a record's own
        values are inserted.
        """
        parts = _Parts()
        origin = {
            "version": self._origin.version,
            "connector": "postgresql",
            "name": self._origin.name,
            "snapshot": "false",
            "db": self._origin.database,
            "schema": self._origin.schema,
            "table": self._origin.table,
        }
        for outer in self._value["fields"][2:]:
            for inner in outer["type"]["fields"] if outer["name"] == "source" else (outer,):
                _place(parts, inner["name"], inner["type"], origin)
        # `value` inserts by position. With another order of fields in the schema a number would
        # stand in another field, and no reader would notice.
        if parts.cuts != _CUTS:
            raise EncodeError(
                f"an envelope's source is expected to have {_CUTS} in this order, not {parts.cuts}"
            )
        return parts.parts


def _place(parts: _Parts, name: str, kind: Any, values: Mapping[str, object]) -> None:
    """Add one field: inserted for each record, for each moment, the same in all events, or null in
    all.
    """
    if name in _CUTS or name in _TIMES:
        if isinstance(kind, list) and name != "sequence":
            parts.add(encode_long(1 - kind.index("null")))
        if name in _CUTS:
            parts.cut(name)
        else:
            parts.add(name)
    elif (value := values.get(name)) is None:
        parts.add(encode_long(kind.index("null")))
    else:
        parts.add(encoder(kind)(value))


#: `sequence` is a nullable text.
_SEQUENCE = _Prefix(_SOME)
