"""One change as JSON: the expressions of its compiled reader, and the key that orders it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
import orjson

from infra.platform.wal.serialise import any_bytes
from infra.platform.wal.serialise.json_template import BOOLEAN, FLOATS, INTEGERS, OPERATIONS
from infra.replication.error import DecodeError
from infra.replication.pgoutput.event import UNCHANGED, Relation, Type
from infra.replication.pgoutput.tuple_reader import SHAPES, Codec, Read, compile_reader

_TRUTHS = {b"t": True, b"f": False}
#: REPLICA IDENTITY FULL in a Relation message.
_FULL = "f"

#: Gives the columns that identify a table's rows; None if they are not known.
KeyColumns = Callable[[Relation], Sequence[str] | None]


def no_key(_: Relation) -> None:
    """For callers that know only the replica identity."""


class JsonRecord(msgspec.Struct, gc=False):
    """One change ready to be sent: `key` orders it, `value` is the JSON; both are bytes.

    `probe` is the probe column's value, of the new row or otherwise the old one.
    """

    relation: Relation
    key: bytes
    value: bytes
    probe: bytes = b""
    deleted: bool = False


class JsonForm:
    """Reads one change at a time into its record; `source` is the transaction as JSON, and must be
    set before.
    """

    def __init__(self, keys: KeyColumns, probe_column: str = "") -> None:
        self._keys = keys
        self._probe_column = probe_column
        self._known: dict[int, tuple[Relation, Sequence[int]]] = {}
        self.source = orjson.Fragment(b"null")

    def probe_of(self, relation: Relation) -> int | None:
        """The index of the probe column in a relation; None if it has none."""
        names = relation.names
        return names.index(self._probe_column) if self._probe_column in names else None

    def learn_key(self, relation: Relation) -> bool:
        """Ask for a relation's key; returns whether it has changed."""
        known = self._known.get(relation.oid)
        found = tuple(key_positions(relation, self._keys(relation)))
        self._known[relation.oid] = relation, found
        # By identity: the decoder keeps one object while a table's description stays the same.
        return known is not None and (known[0] is not relation or known[1] != found)

    def key_positions(self, relation: Relation) -> Sequence[int]:
        """The indexes of the key's columns in a relation; of all columns if it has no key."""
        known = self._known.get(relation.oid)
        if known is None or known[0] is not relation:
            self.learn_key(relation)
        return self._known[relation.oid][1]

    def reader(self, relation: Relation, shape: bytes, example: bytes) -> Read:
        """A reader that is compiled for the relation."""
        return compile_reader(relation, shape, self, example)

    def learn(self, described: Type) -> None:
        """Nothing to learn: types that are not built in are written as text."""

    def codec(self, relation: Relation, position: int) -> Codec:
        """Numbers and booleans as such, all other values as text."""
        type_oid = relation.columns[position].type_oid
        if type_oid in INTEGERS:
            return Codec("int(s[a:p])", "int(b[a:p])", int, _signed)
        if type_oid in FLOATS:
            return Codec("real(s[a:p])", "real(str(b[a:p], 'utf-8'))", _real_text, _refused)
        if type_oid == BOOLEAN:
            return Codec("truth(b[a:p])", "truth(b[a:p])", _truth, _refused)
        return Codec("s[a:p]", "str(b[a:p], 'utf-8')", _text, _refused)

    def result(self, relation: Relation, operation: str, kinds: str) -> str:
        """A Record."""
        # The reader is source that is compiled once for each relation and kind: this function runs
        # once, and its result runs for every change.
        variables = {
            kind: [f"{kind.lower()}{at}" for at in range(len(relation.columns))] for kind in kinds
        }
        rows = {kind: self._row(relation, kind, names) for kind, names in variables.items()}
        fields = {
            "op": repr(OPERATIONS[operation]),
            "source": "form.source",
            "schema": "R.schema",
            "table": "R.table",
        }
        fields |= {"before": rows.get("O", "None")}
        fields |= {"key": rows["K"]} if "K" in rows else {}
        fields |= {"after": rows.get("N", "None")}
        body = ", ".join(f"{name!r}: {value}" for name, value in fields.items())
        key = "".join(
            f"{variables[kinds[-1]][position]}, " for position in self.key_positions(relation)
        )
        place = self.probe_of(relation)
        probe = "None" if place is None else variables[kinds[-1]][place]
        return f"record(R, ({key}), {{{body}}}, {probe}, {operation == 'D'})"

    def _row(self, relation: Relation, kind: str, variables: Sequence[str]) -> str:
        places = relation.key_positions if kind == "K" else range(len(variables))
        values = {place: variables[place] for place in places}
        # A key has a float's text, a row has its number.
        values |= {
            at: f"number({name})"
            for at, name in values.items()
            if relation.columns[at].type_oid in FLOATS
        }
        return (
            "{"
            + ", ".join(f"{relation.names[place]!r}: {value}" for place, value in values.items())
            + "}"
        )

    def names(self, relation: Relation) -> Mapping[str, object]:
        """The relation, this form, and the functions that expressions call."""
        return {
            "R": relation,
            "form": self,
            "record": _record,
            "real": _real,
            "number": _number,
            "truth": _truth,
        }

    def of_any_bytes(
        self, relations: Mapping[int, Relation], message: bytes, error: DecodeError
    ) -> JsonRecord:
        """The record of a change whose texts are not all UTF-8; raises `error` for any
        other fault.
        """
        relation = relations.get(int.from_bytes(message[1:5], "big"))
        if relation is None or message[:1] + message[5:6] not in SHAPES:
            raise error
        try:
            fields, row = any_bytes.body(relation, message, self.source)
        except (ValueError, IndexError, DecodeError):
            raise error from None
        key = [row[place] for place in self.key_positions(relation)]
        place = self.probe_of(relation)
        probe = None if place is None else row[place]
        return _record(relation, key, fields, probe, message[:1] == b"D")

    def truncated(self, relation: Relation) -> JsonRecord:
        """The record of a TRUNCATE."""
        fields = {
            "op": "t",
            "source": self.source,
            "schema": relation.schema,
            "table": relation.table,
        }
        return JsonRecord(relation, b"", orjson.dumps({**fields, "before": None, "after": None}))


def key_positions(relation: Relation, names: Sequence[str] | None) -> Sequence[int]:
    """The indexes of the columns that order a table's changes: those of `names` if they fit the
    server's description, otherwise all columns.
    """
    # Deletes carry the replica identity. If another key ordered the other changes, a row's delete
    # could go to another partition than its insert.
    identity = relation.key_positions
    every = range(len(relation.columns))
    if not names:
        return identity or every
    if 0 < len(identity) < len(relation.columns):
        # Deleted rows have only these columns: the primary key, even if renamed since, or another
        # index.
        same = set(names) == {relation.names[position] for position in identity}
        return [relation.names.index(name) for name in names] if same else identity
    missing = set(names) - set(relation.names)
    if missing and relation.identity == _FULL:
        raise DecodeError(
            f"{relation.schema}.{relation.table} has no column {', '.join(sorted(missing))},"
            " which is its primary key now: it was altered after these changes, or a column list"
            " leaves the key out; publish the key, or set another REPLICA IDENTITY",
            0,
        )
    # Without the key's columns only inserts are published, which need no order.
    return every if missing else [relation.names.index(name) for name in names]


def _record(
    relation: Relation, key: Sequence[Any], body: Mapping[str, object], probe: Any, deleted: bool
) -> JsonRecord:
    # orjson raises for UNCHANGED. A check of each value first would cost time for every change, not
    # only for those with unchanged TOAST.
    try:
        value = orjson.dumps(body)
    except TypeError:
        value = orjson.dumps({name: _sent(part) for name, part in body.items()})
    seen = probe.encode() if isinstance(probe, str) else b""
    return JsonRecord(relation, b"\0".join(map(_key_bytes, key)), value, seen, deleted)


def _sent(part: Any) -> Any:
    """A row without the columns that were not sent."""
    if not isinstance(part, dict):
        return part
    return {name: value for name, value in part.items() if value is not UNCHANGED}


def _key_bytes(value: Any) -> bytes:
    if value is None or value is UNCHANGED:
        return b""
    # Before the general case, because str(True) is not Postgres's text.
    if isinstance(value, bool):
        return b"t" if value else b"f"
    return str(value).encode()


def _text(value: bytes) -> str:
    return str(value, "utf-8")


def _real(text: str) -> str:
    # The float is only a check: Postgres's own text is kept, because a float that is printed again
    # may have other digits.
    float(text)
    return text


def _real_text(value: bytes) -> str:
    return _real(_text(value))


def _number(text: Any) -> Any:
    """The number of a float's text; NULL, UNCHANGED, NaN and infinity stay unchanged."""
    if not isinstance(text, str):
        return text
    number = float(text)
    return number if math.isfinite(number) else text


def _truth(text: bytes) -> bool:
    if text not in _TRUTHS:
        raise ValueError(f"{text!r} is no boolean")
    return _TRUTHS[text]


def _signed(value: bytes) -> int:
    return int.from_bytes(value, "big", signed=True)


def _refused(value: bytes) -> Any:
    raise ValueError(
        f"{len(value)} bytes in binary form; JSON is made of text: leave the option `binary` off"
    )
