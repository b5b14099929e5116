"""Changes as Avro in Debezium's envelope and Confluent's wire format, straight from pgoutput's
bytes.

The bytes are those that `infra.avro.encoder` writes for the same row; here no value becomes a
Python object on the way unless its Avro form is another one. A text is a length and its own bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from infra.avro.encoder import ChangeOrigin, EnvelopeEncoder, encode_bytes, encode_long, encoder
from infra.avro.kind import PLACEHOLDER
from infra.platform.wal.serialise.change_json import CommitSource
from infra.replication.pgoutput.decoder import PgOutputDecoder
from infra.replication.pgoutput.event import Relation, Type
from infra.replication.pgoutput.tuple_reader import Codec, Read, compile_reader
from infra.schemas.debezium import TopicSchemas, row_schema
from infra.schemas.envelope import HEADER_BYTES

_OPERATIONS = {"I": "c", "U": "u", "D": "d"}
_SHORTEST = 256
_STRING, _LONG = "string", "long"


@dataclass(frozen=True, slots=True)
class Registered:
    """A table's schemas and the ids that the registry gave them."""

    schemas: TopicSchemas
    key_id: int
    value_id: int


class ChangeAvro:
    """Serialises changes of tables whose schemas `registered` knows, in commit order.

    Not thread-safe.

    Where only an old key is known, `before` is null.
    """

    def __init__(
        self, registered: Callable[[Relation], Registered], origin: str, database: str
    ) -> None:
        self._form = AvroForm(registered, origin, database)
        self._decoder = PgOutputDecoder(self._form)

    def serialise(self, source: CommitSource, messages: Sequence[bytes]) -> list[bytes]:
        """The values of a transaction's changes, in their order; raises DecodeError."""
        self._form.begin(source)
        return [event for event in self._decoder.decode_many(messages) if type(event) is bytes]


class AvroForm:
    """Reads one change at a time into its envelope; `begin` sets the transaction."""

    def __init__(
        self, registered: Callable[[Relation], Registered], origin: str, database: str
    ) -> None:
        self._registered = registered
        self._origin = origin
        self._database = database
        self._source = CommitSource(0, 0, 0)
        self._known: dict[int, tuple[Relation, Registered]] = {}
        self._tails: dict[int, _Tails] = {}

    def begin(self, source: CommitSource) -> None:
        """What follows belongs to this transaction."""
        self._source = source
        for tails in self._tails.values():
            tails.begin(source)

    def reader(self, relation: Relation, shape: bytes, example: bytes) -> Read:
        """Compiled for the relation and its schemas."""
        return compile_reader(relation, shape, self, example)

    def learn(self, described: Type) -> None:
        """Types that are not built in are written as text."""

    def codec(self, relation: Relation, position: int) -> Codec:
        """By the column's field in the schema."""
        name = relation.columns[position].name
        for field in row_schema(self._of(relation).schemas.value)["fields"]:
            if field["name"] == name:
                return _codec(field["type"], position)
        raise ValueError(f"the schema of {relation.schema}.{relation.table} has no field {name!r}")

    def result(self, relation: Relation, operation: str, kinds: str) -> str:
        """The envelope's bytes."""
        names = [field["name"] for field in row_schema(self._of(relation).schemas.value)["fields"]]
        missing = set(names) - set(relation.names)
        if missing:
            raise ValueError(
                f"{relation.schema}.{relation.table} has no column {', '.join(sorted(missing))}"
            )
        parts = ["HEAD"]
        for kind in "ON":
            row = [f"{kind.lower()}{relation.names.index(name)}" for name in names]
            parts += ["SOME", *row] if kind in kinds else ["NONE"]
        return f"join(({', '.join(parts)}, T.{_OPERATIONS[operation]}))"

    def names(self, relation: Relation) -> Mapping[str, Any]:
        """What stands before the rows, what stands behind them for each operation, and the
        functions of expressions.
        """
        tails = self._tails.get(relation.oid)
        if tails is None:
            origin = ChangeOrigin(self._origin, self._database, relation.schema, relation.table)
            tails = self._tails[relation.oid] = _Tails(self._of(relation), origin)
        tails.begin(self._source)
        return {
            "HEAD": tails.head,
            "SOME": b"\x02",
            "NONE": b"\x00",
            "T": tails,
            "join": b"".join,
            "long": encode_long,
            "checked": _checked,
            "missing": _missing,
        }

    def _of(self, relation: Relation) -> Registered:
        known = self._known.get(relation.oid)
        if known is None or known[0] is not relation:
            known = self._known[relation.oid] = (relation, self._registered(relation))
            self._tails.pop(relation.oid, None)
        return known[1]


class _Tails:
    """What follows the rows in an envelope, the same for all changes of one table, transaction and
    operation.
    """

    __slots__ = ("_encoder", "c", "d", "head", "u")

    def __init__(self, registered: Registered, origin: ChangeOrigin) -> None:
        self._encoder = EnvelopeEncoder(
            registered.schemas, registered.key_id, registered.value_id, origin
        )
        self.head = b""
        self.c = self.u = self.d = b""

    def begin(self, source: CommitSource) -> None:
        moment = self._encoder.moment(source.commit_us)
        written = {
            letter: self._encoder.value(letter, None, None, source.xid, source.lsn, moment)
            for letter in "cud"
        }
        rows = HEADER_BYTES + 2
        self.head = written["c"][:HEADER_BYTES]
        self.c, self.u, self.d = (written[letter][rows:] for letter in "cud")


def _codec(schema: Any, position: int) -> Codec:
    """How a field of this type is written from Postgres's text."""
    nullable = isinstance(schema, list)
    branch = b""
    if isinstance(schema, list):
        if len(schema) != 2 or "null" not in schema:
            raise ValueError(
                f"a union of {len(schema)} branches is not written here; null and one other are"
            )
        null = schema.index("null")
        branch, schema = encode_long(1 - null), schema[1 - null]
    lengths, convert = f"len{position}", f"write{position}"
    prefixes = [branch + encode_long(length) for length in range(_SHORTEST)]
    write = _writer(schema, branch)
    names = {lengths: prefixes, convert: write}
    null_expression = "NONE" if nullable else f"missing({position})"

    def text(value: bytes) -> bytes:
        return write(str(value, "utf-8"))

    unchanged = branch + encode_bytes(PLACEHOLDER.encode())
    if schema == _STRING:
        ascii_expression, utf8 = f"{lengths}[p - a] + b[a:p]", f"{lengths}[p - a] + checked(b[a:p])"
    elif schema == _LONG:
        ascii_expression = utf8 = (
            "long(int(b[a:p]))" if not branch else f"{branch!r} + long(int(b[a:p]))"
        )
    else:
        ascii_expression, utf8 = f"{convert}(s[a:p])", f"{convert}(str(b[a:p], 'utf-8'))"
    return Codec(ascii_expression, utf8, text, _refused, names, null_expression, unchanged)


def _writer(schema: Any, branch: bytes) -> Callable[[str], bytes]:
    """A function from a value's text to its Avro form, with the union's branch before it."""
    name = schema.get("connect.name", schema["type"]) if isinstance(schema, Mapping) else schema
    encode = encoder(schema)
    if isinstance(schema, Mapping) and schema.get("logicalType") == "decimal":
        return _decimal(int(schema["scale"]), encode, branch)
    if name == "io.debezium.time.ZonedTimestamp":
        return lambda text: branch + encoder("string")(_zoned(text))
    convert = _FROM_TEXT.get(name, str)
    return lambda text: branch + encode(convert(text))


def _truth(text: str) -> bool:
    if text not in ("t", "f"):
        raise ValueError(f"{text!r} is no boolean")
    return text == "t"


_FROM_TEXT: Mapping[str, Callable[[str], Any]] = {"int": int, "long": int, "boolean": _truth}


def _decimal(scale: int, encode: Callable[[Any], bytes], branch: bytes) -> Callable[[str], bytes]:
    def write(text: str) -> bytes:
        whole, _, fraction = text.partition(".")
        digits = whole + fraction
        if len(fraction) == scale and digits.removeprefix("-").isdigit():
            number = int(digits)
            size = ((number if number >= 0 else ~number).bit_length() >> 3) + 1
            return branch + encode_bytes(number.to_bytes(size, "big", signed=True))
        return branch + encode(Decimal(text))

    return write


def _zoned(text: str) -> str:
    """Postgres's ISO text as Debezium's: in UTC, always to the microsecond."""
    if text[-3:] == "+00" and 22 <= len(text) <= 29 and text[4] == text[7] == "-":
        return f"{text[:10]}T{text[11:19]}.{text[20:-3]:0<6}Z"
    return (
        datetime.fromisoformat(text).astimezone(UTC).isoformat(timespec="microseconds")[:-6] + "Z"
    )


def _checked(value: bytes) -> bytes:
    str(value, "utf-8")
    return value


def _missing(position: int) -> bytes:
    raise ValueError(f"column {position} is NULL, but its schema allows none")


def _refused(value: bytes) -> Any:
    raise ValueError(
        f"{len(value)} bytes in binary form; Avro is made of text: leave the option `binary` off"
    )
