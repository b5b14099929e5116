"""Changes as JSON, straight from pgoutput's bytes.

One object a change, without white space:

    {"op": "c" | "u" | "d" | "t", "schema": ..., "table": ..., "before": row | null, "after": row | null,
     "source": {"lsn": commit LSN, "commit_ts_us": microseconds since 1970, "xid": ...}}

A row is an object of its columns. Integers and finite floats are numbers, booleans are true and false; everything else
is the text that Postgres writes, numeric and json included, so that nothing is rounded. NaN and the infinities are
strings. A column that is absent was not sent (unchanged TOAST); one that is null is NULL. `before` is the whole old row
(REPLICA IDENTITY FULL) or null; where only the old key is known, a field `key` follows `before`. A truncated table is
one object with neither row. Integers keep all their digits; readers that take numbers as doubles lose those over 2**53.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Any

import msgspec
import orjson

from infra.platform.wal.bulk import FEWEST, Cut, cut, is_special
from infra.platform.wal.decoder import PgOutputDecoder
from infra.platform.wal.error import DecodeError
from infra.platform.wal.event import UNCHANGED, Relation, Truncate, Type
from infra.platform.wal.tuple_reader import HEAD_BYTES, SHAPES, Codec, Read, compile_reader

_INTEGERS = frozenset({20, 21, 23, 26})
_FLOATS = frozenset({700, 701})
_BOOLEAN = 16
_BOOLEANS = {b"t": b"true", b"f": b"false"}
_TRUTHS = {b"t": True, b"f": False}
_OPERATIONS = {"I": "c", "U": "u", "D": "d"}
_NOT_FINITE = frozenset({b"NaN", b"Infinity", b"-Infinity"})
_CHANGES = frozenset({b"I", b"U", b"D"})
_SOURCE = b"@source@"

KeyColumns = Mapping[tuple[str, str], Sequence[str]]


class Record(msgspec.Struct, gc=False):
    """One change ready to be sent: `key` is what orders it, `value` the JSON."""

    relation: Relation
    key: bytes
    value: bytes


@dataclass(frozen=True, slots=True)
class Source:
    """The transaction that changes belong to."""

    lsn: int
    commit_us: int
    xid: int

    def fields(self) -> dict[str, int]:
        """As the JSON has it."""
        return {"lsn": self.lsn, "commit_ts_us": self.commit_us, "xid": self.xid}


class ChangeJson:
    """Serialises the messages of one connection, in the order in which transactions were committed. Not thread-safe.

    `keys` names the columns that order a table's changes, usually its primary key; without it, those of its replica
    identity, which with REPLICA IDENTITY FULL are all columns. A key is the column's text, several are joined by zeros.
    """

    def __init__(self, keys: KeyColumns | None = None) -> None:
        self._form = JsonForm(keys or {})
        self._decoder = PgOutputDecoder(self._form)
        self._templates: dict[tuple[bytes, tuple[bool, ...]], tuple[Relation, _Template]] = {}

    def serialise(self, source: Source, messages: Sequence[bytes]) -> list[Record]:
        """The records of a transaction's messages, in their order; raises DecodeError."""
        self._form.source = source.fields()
        heads = [message[:HEAD_BYTES] for message in messages]
        if all(head[:1] in _CHANGES for head in set(heads)):
            return self._changes(messages, heads)
        # What a message that is no change says, say of a relation, holds from there on.
        records: list[Record] = []
        first = 0
        for last, head in enumerate(heads):
            if head[:1] not in _CHANGES:
                records += self._changes(messages[first:last], heads[first:last])
                records += self._other(messages[last])
                first = last + 1
        return records + self._changes(messages[first:], heads[first:])

    def _other(self, message: bytes) -> list[Record]:
        event = self._decoder.decode(message)
        return list(map(self._form.truncated, event.relations)) if isinstance(event, Truncate) else []

    def _changes(self, messages: Sequence[bytes], heads: Sequence[bytes]) -> list[Record]:
        if len(messages) < FEWEST:
            return self._decoder.decode_many(messages)
        groups = _groups(heads)
        made: dict[int, Record] = {}
        for head, rows in groups.items():
            for cut_rows, records in self._alike(head, messages if len(groups) == 1 else [messages[r] for r in rows]):
                if len(records) == len(messages):
                    return records
                made.update(zip([rows[row] for row in cut_rows], records, strict=True))
        decode = self._decoder.decode
        return [made[row] if row in made else decode(message) for row, message in enumerate(messages)]

    def _alike(self, head: bytes, messages: Sequence[bytes]) -> Iterator[tuple[Sequence[int], list[Record]]]:
        """Places and records of those messages of one head that can be made all at once."""
        relation = self._decoder.relations.get(int.from_bytes(head[1:5], "big"))
        shape = head[:1] + head[5:6]
        if len(messages) < FEWEST or relation is None or shape not in SHAPES:
            return
        if int.from_bytes(head[6:8], "big") != len(relation.columns):
            return
        for piece in cut(messages, len(SHAPES[shape]), len(relation.columns)):
            try:
                yield piece.rows, self._template(head, shape, relation, piece.null).fill(piece, self._form.source)
            except (ValueError, KeyError):
                # Some value is not of its type: the reader of single messages will say which.
                continue

    def _template(self, head: bytes, shape: bytes, relation: Relation, null: tuple[bool, ...]) -> _Template:
        known = self._templates.get((head, null))
        if known is not None and known[0] is relation:
            return known[1]
        if len(self._templates) >= 1000:
            self._templates.clear()
        template = _Template(relation, shape, null, self._form.key_positions(relation))
        self._templates[head, null] = (relation, template)
        return template


def _groups(heads: Sequence[bytes]) -> Mapping[bytes, Sequence[int]]:
    """The places of each head."""
    if len(set(heads)) == 1:
        return {heads[0]: range(len(heads))}
    groups: dict[bytes, list[int]] = {}
    for row, head in enumerate(heads):
        groups.setdefault(head, []).append(row)
    return groups


class JsonForm:
    """Reads one change at a time into its Record; `source` is the transaction's, set before."""

    def __init__(self, keys: KeyColumns) -> None:
        self._keys = keys
        self.source: Mapping[str, int] = {}

    def key_positions(self, relation: Relation) -> Sequence[int]:
        """Where the columns of a relation's key stand; all columns where it has none."""
        names = self._keys.get((relation.schema, relation.table))
        if names is None:
            return relation.key_positions or range(len(relation.columns))
        missing = set(names) - set(relation.names)
        if missing:
            raise DecodeError(f"{relation.schema}.{relation.table} has no column {', '.join(sorted(missing))}", 0)
        return [relation.names.index(name) for name in names]

    def reader(self, relation: Relation, shape: bytes, example: bytes) -> Read:
        """Compiled for the relation."""
        return compile_reader(relation, shape, self, example)

    def learn(self, described: Type) -> None:
        """Types that are not built in are written as text."""

    def codec(self, relation: Relation, position: int) -> Codec:
        """Numbers and booleans as such, everything else as text."""
        type_oid = relation.columns[position].type_oid
        if type_oid in _INTEGERS:
            return Codec("int(s[a:p])", "int(b[a:p])", int, _signed)
        if type_oid in _FLOATS:
            return Codec("real(s[a:p])", "real(b[a:p])", _real, _refused)
        if type_oid == _BOOLEAN:
            return Codec("truth(b[a:p])", "truth(b[a:p])", _truth, _refused)
        return Codec("s[a:p]", "str(b[a:p], 'utf-8')", _text, _refused)

    def result(self, relation: Relation, operation: str, kinds: str) -> str:
        """A Record."""
        variables = {kind: [f"{kind.lower()}{at}" for at in range(len(relation.columns))] for kind in kinds}
        rows = {kind: self._row(relation, kind, names) for kind, names in variables.items()}
        fields = {"op": repr(_OPERATIONS[operation]), "schema": "R.schema", "table": "R.table"}
        fields |= {"before": rows.get("O", "None")}
        fields |= {"key": rows["K"]} if "K" in rows else {}
        fields |= {"after": rows.get("N", "None"), "source": "form.source"}
        body = ", ".join(f"{name!r}: {value}" for name, value in fields.items())
        key = "".join(f"{variables[kinds[-1]][position]}, " for position in self.key_positions(relation))
        return f"record(R, ({key}), {{{body}}})"

    def _row(self, relation: Relation, kind: str, variables: Sequence[str]) -> str:
        places = relation.key_positions if kind == "K" else range(len(variables))
        return "{" + ", ".join(f"{relation.names[place]!r}: {variables[place]}" for place in places) + "}"

    def names(self, relation: Relation) -> Mapping[str, Any]:
        """The relation, this form, and the functions that expressions call."""
        return {"R": relation, "form": self, "record": _record, "real": _real, "truth": _truth}

    def truncated(self, relation: Relation) -> Record:
        """The record of a table that was emptied."""
        fields = {"op": "t", "schema": relation.schema, "table": relation.table, "before": None, "after": None}
        return Record(relation, b"", orjson.dumps({**fields, "source": self.source}))


def _record(relation: Relation, key: Sequence[Any], body: dict[str, Any]) -> Record:
    try:
        value = orjson.dumps(body)
    except TypeError:
        value = orjson.dumps({name: _sent(part) for name, part in body.items()})
    return Record(relation, b"\0".join(map(_key_bytes, key)), value)


def _sent(part: Any) -> Any:
    """A row without the columns that were not sent."""
    if not isinstance(part, dict):
        return part
    return {name: value for name, value in part.items() if value is not UNCHANGED}


def _key_bytes(value: Any) -> bytes:
    if value is None or value is UNCHANGED:
        return b""
    if isinstance(value, bool):
        return b"t" if value else b"f"
    return str(value).encode()


def _text(value: bytes) -> str:
    return str(value, "utf-8")


def _real(text: str | bytes) -> float | str:
    number = float(text)
    return number if math.isfinite(number) else str(text, "utf-8") if isinstance(text, bytes) else text


def _truth(text: bytes) -> bool:
    if text not in _TRUTHS:
        raise ValueError(f"{text!r} is no boolean")
    return _TRUTHS[text]


def _signed(value: bytes) -> int:
    return int.from_bytes(value, "big", signed=True)


def _refused(value: bytes) -> Any:
    raise ValueError(f"{len(value)} bytes in binary form; JSON is made of text: leave the option `binary` off")


class _Template:
    """The JSON of changes that are alike but for their values."""

    def __init__(self, relation: Relation, shape: bytes, null: tuple[bool, ...], keys: Sequence[int]) -> None:
        kinds = SHAPES[shape]
        self._relation = relation
        #: For each piece of a message behind the first, the type of its column.
        self._types: list[int] = []
        self._places: dict[tuple[str, int], int] = {}
        rows: dict[str, bytes] = {}
        width = len(relation.columns)
        for number, kind in enumerate(kinds):
            rows[kind] = self._row(kind, null[number * width : (number + 1) * width])
        self._keys = [self._places.get((kinds[-1], position)) for position in keys]
        self._text = b"%.0b" + _change(relation, _OPERATIONS[shape.decode()[0]], rows)

    def _row(self, kind: str, null: Sequence[bool]) -> bytes:
        fields = []
        for position, column in enumerate(self._relation.columns):
            if kind == "K" and not column.key:
                if not null[position]:
                    raise ValueError(f"column {column.name!r} is sent with the old key, but is not of it")
                continue
            value = b"null"
            if not null[position]:
                self._types.append(column.type_oid)
                self._places[kind, position] = len(self._types)
                value = b"%b" if _is_bare(column.type_oid) else b'"%b"'
            fields.append(orjson.dumps(column.name).replace(b"%", b"%%") + b":" + value)
        return b"{" + b",".join(fields) + b"}"

    def fill(self, piece: Cut, source: Mapping[str, int]) -> list[Record]:
        """The records of the cut's messages; raises ValueError or KeyError where a value is not of its type."""
        pieces, stride, count = piece.pieces, piece.stride, len(piece.rows)
        keys = self._key_bytes(pieces, stride, count)
        self._convert(piece)
        template = self._text.replace(_SOURCE, orjson.dumps(source))
        values = list(map(template.__mod__, zip(*[iter(pieces)] * stride, strict=True)))
        if not all(map(bytes.isascii, values)):
            str(b"".join(values), "utf-8")
        return list(map(Record, repeat(self._relation), keys, values))

    def _key_bytes(self, pieces: list[bytes], stride: int, count: int) -> list[bytes]:
        columns = [pieces[place::stride] if place is not None else [b""] * count for place in self._keys]
        return columns[0] if len(columns) == 1 else list(map(b"\0".join, zip(*columns, strict=True)))

    def _convert(self, piece: Cut) -> None:
        """Make the pieces JSON, column by column, where they are not yet; raises ValueError or KeyError."""
        pieces, stride = piece.pieces, piece.stride
        for place, type_oid in enumerate(self._types, start=1):
            if type_oid in _INTEGERS:
                _check_integers(pieces[place::stride])
            elif type_oid in _FLOATS:
                pieces[place::stride] = map(_float, pieces[place::stride])
            elif type_oid == _BOOLEAN:
                pieces[place::stride] = map(_BOOLEANS.__getitem__, pieces[place::stride])
            elif piece.special and is_special(b"".join(column := pieces[place::stride])):
                pieces[place::stride] = _escaped(column)


def _change(relation: Relation, operation: str, rows: Mapping[str, bytes]) -> bytes:
    head = orjson.dumps({"op": operation, "schema": relation.schema, "table": relation.table})[:-1]
    key = b',"key":' + rows["K"] if "K" in rows else b""
    before, after = rows.get("O", b"null"), rows.get("N", b"null")
    return b'%b,"before":%b%b,"after":%b,"source":%b}' % (head.replace(b"%", b"%%"), before, key, after, _SOURCE)


def _is_bare(type_oid: int) -> bool:
    return type_oid in _INTEGERS or type_oid in _FLOATS or type_oid == _BOOLEAN


def _check_integers(pieces: Sequence[bytes]) -> None:
    lines = b"\n%b\n" % b"\n".join(pieces)
    if b"\n0" in lines or b"\n\n" in lines or not lines.translate(None, b"\n").isdigit():
        for piece in pieces:
            if b"%d" % int(piece) != piece:
                raise ValueError(f"{piece!r} is no integer as Postgres writes it")


def _float(piece: bytes) -> bytes:
    if piece in _NOT_FINITE:
        return b'"' + piece + b'"'
    return orjson.dumps(float(piece))


def _escaped(pieces: Sequence[bytes]) -> list[bytes]:
    """Texts as JSON writes them, without their quotes."""
    # In between two quotes that are not escaped there is never a comma alone, so this splits where values end.
    return orjson.dumps([str(piece, "utf-8") for piece in pieces])[2:-2].split(b'","')
