"""Serialises changes as Avro in Debezium's envelope and Confluent's wire format, straight from
pgoutput's bytes.

The bytes equal those of `infra.avro.encoder` for the same row. A value becomes a Python object only
if its Avro form differs from its text: Avro's text is a length and the same bytes.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from cdc_users.measure.ledger.probe import PROBE_BYTES
from infra.avro.encoder import ChangeOrigin, EnvelopeEncoder, encode_long
from infra.platform.wal.serialise.avro_codec import checked, codec_of, has_placeholder, missing
from infra.platform.wal.serialise.commit_source import CommitSource
from infra.replication.connection import lsn_text
from infra.replication.error import DecodeError
from infra.replication.pgoutput.decoder import PgOutputDecoder
from infra.replication.pgoutput.event import Relation, Truncate, Type
from infra.replication.pgoutput.tuple_reader import Codec, Read, compile_reader
from infra.schemas.debezium import AvroDefinition, TopicSchemas, row_schema
from infra.schemas.envelope import HEADER, HEADER_BYTES

_OPERATIONS = {"I": "c", "U": "u", "D": "d"}


@dataclass(frozen=True, slots=True)
class Registered:
    """A table's schemas and the ids that the registry gave them."""

    schemas: TopicSchemas
    key_id: int
    value_id: int


class AvroRecord(msgspec.Struct, gc=False):
    """One change ready to be sent: key and value in the wire format.

    `moved` must be sent before it: if an update changes the key, this is the delete of the old key,
    as in Debezium. A `keyless` record belongs to a table without a key, or to a TRUNCATE.
    """

    relation: Relation
    key: bytes
    value: bytes
    probe: bytes = b""
    deleted: bool = False
    moved: AvroRecord | None = None
    keyless: bool = False


class ChangeAvro:
    """Serialises changes of tables whose schemas `registered` gives, in commit order.

    Not thread-safe.

    If only an old key is known, `before` is null, because values that the source did not send are
    not invented. A TRUNCATE is one record for each table, without rows and key.
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
        for event in self._decoded(source, messages):
            # `type() is`, with the most frequent type first: isinstance is a call that checks base
            # classes.
            if type(event) is AvroRecord:
                if event.moved is not None:
                    made.append(event.moved)
                made.append(event)
            elif type(event) is Relation:
                self._described(event)
            elif type(event) is Truncate:
                made += map(self._form.truncated, event.relations)
        return made

    def _decoded(self, source: CommitSource, messages: Sequence[bytes]) -> list[Any]:
        """The messages' events; a DecodeError names the transaction."""
        try:
            return self._decoder.decode_many(messages)
        except DecodeError as error:
            place = f"in transaction {source.xid} at {lsn_text(source.lsn)}"
            raise DecodeError(f"{error.reason} ({place})", error.offset) from error

    def _described(self, relation: Relation) -> None:
        """A table is described, for the first time or again; its key may have changed."""
        if self._form.described_again(relation):
            self._decoder.forget(relation.oid)

    def serialise(self, source: CommitSource, messages: Sequence[bytes]) -> list[bytes]:
        """The values of the records, without keys."""
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
        """Begin a transaction, to which the following changes belong."""
        self._source = source
        # For all known tables at the begin of each transaction: a check for each change whether its
        # table's tails are current would cost more.
        for tails in self._tails.values():
            tails.begin(source)

    def reader(self, relation: Relation, shape: bytes, example: bytes) -> Read:
        """A reader that is compiled for the relation and its schemas."""
        return compile_reader(relation, shape, self, example)

    def learn(self, described: Type) -> None:
        """Nothing to learn: types that are not built in are written as text."""

    def codec(self, relation: Relation, position: int) -> Codec:
        """The codec of the column's field in the schema."""
        name = relation.columns[position].name
        keys = {field["name"] for field in self._of(relation).schemas.key["fields"]}
        for field in row_schema(self._of(relation).schemas.value)["fields"]:
            if field["name"] == name:
                codec = replace(codec_of(field["type"], position), from_old=True)
                return codec if name in keys else replace(codec, absent="NONE")
        raise ValueError(f"the schema of {relation.schema}.{relation.table} has no field {name!r}")

    def result(self, relation: Relation, operation: str, kinds: str) -> str:
        """The envelope's bytes."""
        names = [field["name"] for field in row_schema(self._of(relation).schemas.value)["fields"]]
        # A field without a column in the stream cannot be left out, because in Avro only the
        # position says which field a value belongs to.
        absent = set(names) - set(relation.names)
        if absent:
            raise ValueError(
                f"{relation.schema}.{relation.table} has no column {', '.join(sorted(absent))}"
            )
        rows = {
            kind: [f"{kind.lower()}{relation.names.index(name)}" for name in names]
            for kind in kinds
            if kind != "K"
        }
        keys = {kind: self._key(relation, kind) for kind in kinds}
        return _expression(operation, rows, keys, self._probe(relation, kinds[-1]))

    def truncated(self, relation: Relation) -> AvroRecord:
        """The record of a TRUNCATE."""
        value = self._tails_of(relation).truncate()
        return AvroRecord(relation, b"", value, keyless=True)

    def _key(self, relation: Relation, kind: str) -> str:
        """The expression of the key: its columns are never NULL, so their bytes are equal in key
        and row; "" if the table has no key.
        """
        names = [field["name"] for field in self._of(relation).schemas.key["fields"]]
        if not names:
            return ""
        parts = [f"{kind.lower()}{relation.names.index(name)}" for name in names]
        return f"join((KEY, {', '.join(parts)}))"

    def _probe(self, relation: Relation, kind: str) -> str:
        """The expression of the probe column's last bytes, which are the probe's text."""
        if self._probe_column not in relation.names or kind == "K":
            return "NO_PROBE"
        # The length and, in a nullable column, the branch come first; the end is the same in both
        # cases.
        return f"{kind.lower()}{relation.names.index(self._probe_column)}[-{PROBE_BYTES}:]"

    def described_again(self, relation: Relation) -> bool:
        """Whether a known relation has other schemas now."""
        # PostgreSQL repeats descriptions after every invalidation, mostly unchanged. Then the
        # compiled readers stay, because compiling is slow compared with reading.
        known = self._known.pop(relation.oid, None)
        if known is None:
            return False
        changed = self._of(relation) != known[1]
        if changed:
            self._tails.pop(relation.oid, None)
        return changed

    def names(self, relation: Relation) -> Mapping[str, object]:
        """The bytes before the rows, those behind them for each operation, and the functions of
        expressions.
        """
        tails = self._tails_of(relation)
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
            # If no value can be missing, the plain join is used; the other one costs a Python call
            # for each change.
            "join": b"".join if _can_all_be_left_out(self._of(relation)) else _joined,
            "long": encode_long,
            "checked": checked,
            "missing": missing,
        }

    def _tails_of(self, relation: Relation) -> _Tails:
        tails = self._tails.get(relation.oid)
        if tails is None:
            origin = ChangeOrigin(self._origin, self._database, relation.schema, relation.table)
            tails = self._tails[relation.oid] = _Tails(self._of(relation), origin)
        tails.begin(self._source)
        return tails

    def _of(self, relation: Relation) -> Registered:
        known = self._known.get(relation.oid)
        if known is None or known[0] is not relation:
            # The tails stay: PostgreSQL repeats descriptions after each invalidation, mostly
            # unchanged, and a compiled reader that is kept goes on using the tails that it has.
            known = self._known[relation.oid] = (relation, self._registered(relation))
        return known[1]


class _Tails:
    """The bytes behind the rows of an envelope, the same for all changes of one table, transaction
    and operation.
    """

    __slots__ = ("_encoder", "_source", "c", "d", "head", "u")

    def __init__(self, registered: Registered, origin: ChangeOrigin) -> None:
        self._encoder = EnvelopeEncoder(
            _without_columns(registered.schemas), registered.key_id, registered.value_id, origin
        )
        self._source = CommitSource(0, 0, 0)
        self.head = b""
        self.c = self.u = self.d = b""

    def begin(self, source: CommitSource) -> None:
        self._source = source
        # The general encoder writes them once for each transaction, so the bytes are its own; a
        # change only joins them. The two bytes behind the header are the two absent rows.
        written = {letter: self._rowless(letter) for letter in "cud"}
        rows = HEADER_BYTES + 2
        self.head = written["c"][:HEADER_BYTES]
        self.c, self.u, self.d = (written[letter][rows:] for letter in "cud")

    def truncate(self) -> bytes:
        """The envelope of a TRUNCATE."""
        return self._rowless("t")

    def _rowless(self, letter: str) -> bytes:
        source = self._source
        moment = self._encoder.moment(source.commit_us)
        return self._encoder.value(letter, None, None, (source.xid, source.lsn), moment)


def _without_columns(schemas: TopicSchemas) -> TopicSchemas:
    """The same envelope around a row of one text: the rows themselves are written elsewhere,
    including types that the general encoder does not know.
    """
    value: AvroDefinition = copy.deepcopy(dict(schemas.value))
    row_schema(value)["fields"][:] = [{"name": "row", "type": "string"}]
    key = {**schemas.key, "fields": [{"name": "row", "type": "string"}]}
    return TopicSchemas(schemas.topic, key, value)


def _expression(
    operation: str, rows: Mapping[str, Sequence[str]], keys: Mapping[str, str], probe: str
) -> str:
    """The record of a change as a Python expression; it joins only what this operation needs."""
    before = f"SOME, {', '.join(rows['O'])}" if "O" in rows else "NONE"
    after = f"SOME, {', '.join(rows['N'])}" if "N" in rows else "NONE"
    value = f"join((HEAD, {before}, {after}, T.{_OPERATIONS[operation]}))"
    if not all(keys.values()):
        return f"record(R, NO_PROBE, {value}, {probe}, {operation == 'D'}, None, True)"
    if operation != "U" or len(keys) == 1:
        (key,) = keys.values()
        return f"record(R, {key}, {value}, {probe}, {operation == 'D'})"
    old = keys["O"] if "O" in keys else keys["K"]
    deleted = f"join((HEAD, {before}, NONE, T.d))"
    created = f"join((HEAD, NONE, {after}, T.c))"
    # Both are made only if the key has changed, which is rare.
    return (
        f"record(R, new, {value}, {probe}) if (new := {keys['N']}) == (old := {old})"
        f" else moved(record(R, old, {deleted}, b'', True), new, {created}, {probe})"
    )


def _moved(gone: AvroRecord, key: bytes, created: bytes, probe: bytes) -> AvroRecord:
    """An update that changed the key: a delete of the old row, then a new row."""
    return AvroRecord(gone.relation, key, created, probe, False, gone)


def _can_all_be_left_out(registered: Registered) -> bool:
    """Whether every column has a form for a value that was not sent."""
    fields = row_schema(registered.schemas.value)["fields"]
    return all(has_placeholder(field["type"]) for field in fields)


def _joined(parts: Sequence[Any]) -> bytes:
    try:
        return b"".join(parts)
    # A missing value is no bytes, so `join` refuses it: the check costs nothing for complete rows.
    except TypeError:
        raise DecodeError(
            "a large value was not sent because it did not change, and its type has no form for"
            " that; run ALTER TABLE ... REPLICA IDENTITY FULL",
            0,
        ) from None
