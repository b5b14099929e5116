"""Changes as Avro in Debezium's envelope and Confluent's wire format, straight from pgoutput's
bytes.

The bytes are those that `infra.avro.encoder` writes for the same row; here no value becomes a
Python object on the way unless its Avro form is another one. A text is a length and its own bytes.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

import msgspec

from cdc_users.measure.ledger.probe import PROBE_BYTES
from infra.avro.encoder import ChangeOrigin, EnvelopeEncoder, encode_bytes, encode_long, encoder
from infra.avro.kind import PLACEHOLDER
from infra.platform.process.error import PlatformError
from infra.platform.wal.serialise.avro_value import WRITERS
from infra.platform.wal.serialise.change_json import CommitSource
from infra.replication.pgoutput.decoder import PgOutputDecoder
from infra.replication.pgoutput.event import UNCHANGED, Relation, Truncate, Type
from infra.replication.pgoutput.tuple_reader import Codec, Read, compile_reader
from infra.schemas.debezium import AvroDefinition, TopicSchemas, row_schema
from infra.schemas.envelope import HEADER, HEADER_BYTES

_OPERATIONS = {"I": "c", "U": "u", "D": "d"}
_SHORTEST = 256
_STRING, _LONG = "string", "long"


@dataclass(frozen=True, slots=True)
class Registered:
    """A table's schemas and the ids that the registry gave them."""

    schemas: TopicSchemas
    key_id: int
    value_id: int


class AvroRecord(msgspec.Struct, gc=False):
    """One change ready to be sent: key and value in the wire format.

    `moved` is what must be sent before it: the delete of the old key, where a change of the key
    makes another row of it, as Debezium does.
    """

    relation: Relation
    key: bytes
    value: bytes
    probe: bytes = b""
    deleted: bool = False
    moved: AvroRecord | None = None


class TruncateError(PlatformError):
    """A table was emptied, which this form does not carry."""

    def __init__(self, tables: Sequence[str]) -> None:
        super().__init__(
            f"TRUNCATE of {', '.join(tables)} has no form in Debezium's keyed records; use --format"
            " json, or publish without truncate"
        )


class ChangeAvro:
    """Serialises changes of tables whose schemas `registered` knows, in commit order.

    Not thread-safe.

    Where only an old key is known, `before` is null: what the source did not send is not made up.
    A TRUNCATE is a TruncateError, since Debezium's records have no key for it.
    """

    def __init__(
        self,
        registered: Callable[[Relation], Registered],
        origin: str,
        database: str,
        probe_column: str = "",
    ) -> None:
        self._form = AvroForm(registered, origin, database, probe_column)
        self._decoder = PgOutputDecoder(self._form)

    def records(self, source: CommitSource, messages: Sequence[bytes]) -> list[AvroRecord]:
        """The records of a transaction's changes, in their order; raises DecodeError."""
        self._form.begin(source)
        made: list[AvroRecord] = []
        for event in self._decoder.decode_many(messages):
            if type(event) is AvroRecord:
                if event.moved is not None:
                    made.append(event.moved)
                made.append(event)
            elif type(event) is Relation:
                self._described(event)
            elif type(event) is Truncate:
                raise TruncateError([f"{each.schema}.{each.table}" for each in event.relations])
        return made

    def _described(self, relation: Relation) -> None:
        """A table is described, for the first time or again: its key may be another one now."""
        if self._form.described_again(relation):
            self._decoder.forget(relation.oid)

    def serialise(self, source: CommitSource, messages: Sequence[bytes]) -> list[bytes]:
        """The values alone."""
        return [record.value for record in self.records(source, messages)]


class AvroForm:
    """Reads one change at a time into its envelope; `begin` sets the transaction."""

    def __init__(
        self,
        registered: Callable[[Relation], Registered],
        origin: str,
        database: str,
        probe_column: str = "",
    ) -> None:
        self._registered = registered
        self._probe_column = probe_column
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
        keys = {field["name"] for field in self._of(relation).schemas.key["fields"]}
        for field in row_schema(self._of(relation).schemas.value)["fields"]:
            if field["name"] == name:
                codec = _codec(field["type"], position)
                return codec if name in keys else replace(codec, absent="NONE")
        raise ValueError(f"the schema of {relation.schema}.{relation.table} has no field {name!r}")

    def result(self, relation: Relation, operation: str, kinds: str) -> str:
        """The envelope's bytes."""
        names = [field["name"] for field in row_schema(self._of(relation).schemas.value)["fields"]]
        missing = set(names) - set(relation.names)
        if missing:
            raise ValueError(
                f"{relation.schema}.{relation.table} has no column {', '.join(sorted(missing))}"
            )
        rows = {
            kind: [f"{kind.lower()}{relation.names.index(name)}" for name in names]
            for kind in kinds
            if kind != "K"
        }
        keys = {kind: self._key(relation, kind) for kind in kinds}
        return _expression(operation, rows, keys, self._probe(relation, kinds[-1]))

    def _key(self, relation: Relation, kind: str) -> str:
        """The key's columns are never NULL, so their bytes are the same in key and row."""
        names = [field["name"] for field in self._of(relation).schemas.key["fields"]]
        parts = [f"{kind.lower()}{relation.names.index(name)}" for name in names]
        return f"join((KEY, {', '.join(parts)}))"

    def _probe(self, relation: Relation, kind: str) -> str:
        """The probe column's last bytes: in Avro a text stands behind its length, as it is."""
        if self._probe_column not in relation.names or kind == "K":
            return "NO_PROBE"
        return f"{kind.lower()}{relation.names.index(self._probe_column)}[-{PROBE_BYTES}:]"

    def described_again(self, relation: Relation) -> bool:
        """Whether a relation that is known already has other schemas by now."""
        known = self._known.pop(relation.oid, None)
        if known is None:
            return False
        changed = self._of(relation) != known[1]
        if changed:
            self._tails.pop(relation.oid, None)
        return changed

    def names(self, relation: Relation) -> Mapping[str, object]:
        """What stands before the rows, what stands behind them for each operation, and the
        functions of expressions.
        """
        tails = self._tails.get(relation.oid)
        if tails is None:
            origin = ChangeOrigin(self._origin, self._database, relation.schema, relation.table)
            tails = self._tails[relation.oid] = _Tails(self._of(relation), origin)
        tails.begin(self._source)
        return {
            "R": relation,
            "KEY": HEADER.pack(0, self._of(relation).key_id),
            "NO_PROBE": b"",
            "record": AvroRecord,
            "moved": _moved,
            "HEAD": tails.head,
            "SOME": b"\x02",
            "NONE": b"\x00",
            "T": tails,
            "join": b"".join if _can_all_be_left_out(self._of(relation)) else _joined,
            "long": encode_long,
            "checked": _checked,
            "missing": _missing,
        }

    def _of(self, relation: Relation) -> Registered:
        known = self._known.get(relation.oid)
        if known is None or known[0] is not relation:
            # The tails stay: PostgreSQL describes a table again after each invalidation, mostly as
            # it was, and a compiled reader that is kept goes on joining the tails that it has.
            known = self._known[relation.oid] = (relation, self._registered(relation))
        return known[1]


class _Tails:
    """What follows the rows in an envelope, the same for all changes of one table, transaction and
    operation.
    """

    __slots__ = ("_encoder", "c", "d", "head", "u")

    def __init__(self, registered: Registered, origin: ChangeOrigin) -> None:
        self._encoder = EnvelopeEncoder(
            _without_columns(registered.schemas), registered.key_id, registered.value_id, origin
        )
        self.head = b""
        self.c = self.u = self.d = b""

    def begin(self, source: CommitSource) -> None:
        moment = self._encoder.moment(source.commit_us)
        # Written once a transaction by the general encoder, so that these bytes are its own; each
        # change then only joins them. The two bytes behind the header are the two absent rows.
        written = {
            letter: self._encoder.value(letter, None, None, source.xid, source.lsn, moment)
            for letter in "cud"
        }
        rows = HEADER_BYTES + 2
        self.head = written["c"][:HEADER_BYTES]
        self.c, self.u, self.d = (written[letter][rows:] for letter in "cud")


def _without_columns(schemas: TopicSchemas) -> TopicSchemas:
    """The same envelope around a row of one text: rows themselves are written elsewhere, also those
    of types that the general encoder does not know.
    """
    value: AvroDefinition = copy.deepcopy(dict(schemas.value))
    row_schema(value)["fields"][:] = [{"name": "row", "type": "string"}]
    key = {**schemas.key, "fields": [{"name": "row", "type": "string"}]}
    return TopicSchemas(schemas.topic, key, value)


def _expression(
    operation: str, rows: Mapping[str, Sequence[str]], keys: Mapping[str, str], probe: str
) -> str:
    """The record of a change, as Python source; only what this operation needs is joined."""
    before = f"SOME, {', '.join(rows['O'])}" if "O" in rows else "NONE"
    after = f"SOME, {', '.join(rows['N'])}" if "N" in rows else "NONE"
    value = f"join((HEAD, {before}, {after}, T.{_OPERATIONS[operation]}))"
    if operation != "U" or len(keys) == 1:
        (key,) = keys.values()
        return f"record(R, {key}, {value}, {probe}, {operation == 'D'})"
    old = keys["O"] if "O" in keys else keys["K"]
    deleted = f"join((HEAD, {before}, NONE, T.d))"
    created = f"join((HEAD, NONE, {after}, T.c))"
    # These two are made only where the key has changed, which is rare.
    return (
        f"record(R, new, {value}, {probe}) if (new := {keys['N']}) == (old := {old})"
        f" else moved(R, old, {deleted}, new, {created}, {probe})"
    )


def _moved(
    relation: Relation, old: bytes, deleted: bytes, new: bytes, created: bytes, probe: bytes
) -> AvroRecord:
    """A row whose key was changed: the old one goes, a new one comes."""
    gone = AvroRecord(relation, old, deleted, b"", True)
    return AvroRecord(relation, new, created, probe, False, gone)


def _can_all_be_left_out(registered: Registered) -> bool:
    """Whether every column has a form for a value that was not sent."""
    fields = row_schema(registered.schemas.value)["fields"]
    return all(_has_placeholder(field["type"]) for field in fields)


def _has_placeholder(schema: Any) -> bool:
    if isinstance(schema, list):
        schema = next(branch for branch in schema if branch != "null")
    if isinstance(schema, Mapping):
        return schema["type"] in ("string", "bytes") and "logicalType" not in schema
    return schema in ("string", "bytes")


def _joined(parts: Sequence[Any]) -> bytes:
    try:
        return b"".join(parts)
    except TypeError:
        raise ValueError(
            "a large value was not sent because it did not change, and its type has no form for"
            " that; run ALTER TABLE ... REPLICA IDENTITY FULL"
        ) from None


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
    # Branch and length stand before a short text together, looked up by its length: no varint is
    # encoded for a value. The reader's fast path has lengths of one byte only, so 256 entries are
    # all there are.
    prefixes = [branch + encode_long(length) for length in range(_SHORTEST)]
    write = _writer(schema, branch)
    names = {lengths: prefixes, convert: write}
    null_expression = "NONE" if nullable else f"missing({position})"

    def text(value: bytes) -> bytes:
        return write(str(value, "utf-8"))

    unchanged: Any = UNCHANGED
    if _has_placeholder(schema):
        unchanged = branch + encode_bytes(PLACEHOLDER.encode())
    # ASCII needs no check: it is UTF-8. Anything else is decoded once to be checked, and its own
    # bytes are sent.
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
    if isinstance(schema, Mapping) and schema.get("logicalType") == "decimal":
        return _decimal(int(schema["scale"]), encoder(schema), branch)
    kind = schema["type"] if isinstance(schema, Mapping) else schema
    name = schema.get("connect.name", kind) if isinstance(schema, Mapping) else schema
    write = WRITERS.get(name) or WRITERS.get(kind)
    if write is None:
        raise ValueError(f"Avro type {schema!r} is not written here")
    return lambda text: branch + write(text)


def _decimal(scale: int, encode: Callable[[Any], bytes], branch: bytes) -> Callable[[str], bytes]:
    def write(text: str) -> bytes:
        whole, _, fraction = text.partition(".")
        digits = whole + fraction
        # Postgres writes numeric(p, s) with s digits always, so the text without its point is the
        # unscaled number. Decimal would give the same, slower; what looks otherwise goes there.
        if len(fraction) == scale and digits.removeprefix("-").isdigit():
            number = int(digits)
            size = ((number if number >= 0 else ~number).bit_length() >> 3) + 1
            return branch + encode_bytes(number.to_bytes(size, "big", signed=True))
        return branch + encode(Decimal(text))

    return write


def _checked(value: bytes) -> bytes:
    str(value, "utf-8")
    return value


def _missing(position: int) -> bytes:
    raise ValueError(f"column {position} is NULL, but its schema allows none")


def _refused(value: bytes) -> Any:
    raise ValueError(
        f"{len(value)} bytes in binary form; Avro is made of text: leave the option `binary` off"
    )
