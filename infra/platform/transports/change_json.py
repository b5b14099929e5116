"""Changes as JSON, straight from pgoutput's bytes.

One object a change, without white space:

    {"op": "c" | "u" | "d" | "t", "source": {"lsn": commit LSN, "commit_ts_us": microseconds since 1970, "xid": ...},
     "schema": ..., "table": ..., "before": row | null, "after": row | null}

A row is an object of its columns. Integers and finite floats are numbers, booleans are true and false; everything else
is the text that Postgres writes, numeric and json included, so that nothing is rounded. NaN and the infinities are
strings. A column that is absent was not sent (unchanged TOAST); one that is null is NULL. `before` is the whole old row
(REPLICA IDENTITY FULL) or null; where only the old key is known, a field `key` follows `before`. A truncated table is
one object with neither row. Integers keep all their digits; readers that take numbers as doubles lose those over 2**53.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain, pairwise, repeat
from operator import itemgetter
from typing import Any

import msgspec
import numpy as np
import orjson

from infra.platform.transports.json_template import BOOLEAN, FLOATS, INTEGERS, OPERATIONS, JsonTemplate
from infra.platform.wal.bulk import FEWEST, cut
from infra.platform.wal.decoder import PgOutputDecoder
from infra.platform.wal.error import DecodeError
from infra.platform.wal.event import UNCHANGED, Relation, Truncate, Type
from infra.platform.wal.tuple_reader import HEAD_BYTES, LONG_BYTES, SHAPES, Codec, Read, compile_reader

_TRUTHS = {b"t": True, b"f": False}
_HEAD = itemgetter(slice(HEAD_BYTES))
#: More messages at once leave the processor's caches.
_MOST = 500
#: Up to here, looking for each head in turn is faster than looking at each message.
_FEW_HEADS = 16
_CHANGES = frozenset({b"I", b"U", b"D"})

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
        self._templates: dict[bytes, tuple[Relation, JsonTemplate]] = {}

    def serialise(self, source: Source, messages: Sequence[bytes]) -> list[Record]:
        """The records of a transaction's messages, in their order; raises DecodeError."""
        return self.serialise_parts([(source, messages)])[0]

    def serialise_parts(self, parts: Sequence[tuple[Source, Sequence[bytes]]]) -> list[list[Record]]:
        """The same for many transactions, in commit order: much cheaper than one by one where they are small."""
        messages = list(chain.from_iterable([part for _, part in parts]))
        sources = list(chain.from_iterable([[orjson.dumps(source.fields())] * len(part) for source, part in parts]))
        heads = list(map(_HEAD, messages))
        borders = list(accumulate((len(part) for _, part in parts), initial=0))
        if all(head[:1] in _CHANGES for head in set(heads)):
            records = self._changes(messages, heads, sources)
            return [records[first:last] for first, last in pairwise(borders)]
        records, ends = self._segments(messages, heads, sources)
        return [records[ends[first] : ends[last]] for first, last in pairwise(borders)]

    def _segments(
        self, messages: Sequence[bytes], heads: Sequence[bytes], sources: Sequence[bytes]
    ) -> tuple[list[Record], list[int]]:
        """All records, and where each message's begin; what one that is no change says holds from there on."""
        # One flat list: a list a message would have the garbage collector look at everything there is, again and again.
        made: list[Record] = []
        ends = [0]
        borders = [row for row, head in enumerate(heads) if head[:1] not in _CHANGES]
        for first, last in pairwise([-1, *borders, len(messages)]):
            segment = slice(first + 1, last)
            made += self._changes(messages[segment], heads[segment], sources[segment])
            ends += range(ends[-1] + 1, len(made) + 1)
            if last < len(messages):
                made += self._other(messages[last], sources[last])
                ends.append(len(made))
        return made, ends

    def _other(self, message: bytes, source: bytes) -> list[Record]:
        self._form.source = orjson.Fragment(source)
        event = self._decoder.decode(message)
        return list(map(self._form.truncated, event.relations)) if isinstance(event, Truncate) else []

    def _changes(self, messages: Sequence[bytes], heads: Sequence[bytes], sources: Sequence[bytes]) -> list[Record]:
        if len(messages) < FEWEST:
            return list(map(self._singly, messages, sources))
        groups = _groups(heads)
        if len(groups) == 1 and len(messages) > _MOST:
            blocks = [slice(first, first + _MOST) for first in range(0, len(messages), _MOST)]
            return [r for block in blocks for r in self._changes(messages[block], heads[block], sources[block])]
        if len(groups) == 1:
            places, records = self._alike(heads[0], messages, sources)
        else:
            places, records = self._by_group(groups, messages, sources)
        if len(records) < len(messages):
            rest = sorted(set(range(len(messages))).difference(places))
            places = [*places, *rest]
            records += [self._singly(messages[row], sources[row]) for row in rest]
        elif len(groups) == 1:
            return records
        return list(map(records.__getitem__, np.argsort(places).tolist()))

    def _by_group(
        self, groups: Mapping[bytes, Sequence[int]], messages: Sequence[bytes], sources: Sequence[bytes]
    ) -> tuple[Sequence[int], list[Record]]:
        """Places and records of those messages that can be made all at once, one head after the other."""
        made_at: list[int] = []
        made: list[Record] = []
        for head, places in groups.items():
            rows, records = self._alike(
                head, list(map(messages.__getitem__, places)), list(map(sources.__getitem__, places))
            )
            made_at += places if len(rows) == len(places) else [places[row] for row in rows]
            made += records
        return made_at, made

    def _singly(self, message: bytes, source: bytes) -> Record:
        self._form.source = orjson.Fragment(source)
        record: Record = self._decoder.decode(message)
        return record

    def _alike(
        self, head: bytes, messages: Sequence[bytes], sources: Sequence[bytes]
    ) -> tuple[Sequence[int], list[Record]]:
        """Places and records of those messages of one head that can be made all at once."""
        relation = self._decoder.relations.get(int.from_bytes(head[1:5], "big"))
        shape = head[:1] + head[5:6]
        if len(messages) < FEWEST or relation is None or shape not in SHAPES:
            return (), []
        if len(messages[0]) > LONG_BYTES:
            # Of long messages, copying is the cost, and cutting copies most.
            return (), []
        if int.from_bytes(head[6:8], "big") != len(relation.columns):
            return (), []
        piece = cut(messages, len(SHAPES[shape]), len(relation.columns))
        if piece is None:
            return (), []
        whole = len(piece.rows) == len(messages)
        template = self._template(head, shape, relation)
        try:
            keys, values = template.fill(piece, sources if whole else [sources[row] for row in piece.rows])
        except (ValueError, KeyError):
            # Some value is not of its type: the reader of single messages will say which.
            return (), []
        return piece.rows, list(map(Record, repeat(relation), keys, values))

    def _template(self, head: bytes, shape: bytes, relation: Relation) -> JsonTemplate:
        known = self._templates.get(head)
        if known is None or known[0] is not relation:
            template = JsonTemplate(relation, shape, self._form.key_positions(relation))
            known = self._templates[head] = (relation, template)
        return known[1]


def _groups(heads: Sequence[bytes]) -> Mapping[bytes, Sequence[int]]:
    """The places of each head."""
    distinct = dict.fromkeys(heads)
    if len(distinct) == 1:
        return {heads[0]: range(len(heads))}
    joined = b"".join(heads)
    if len(distinct) <= _FEW_HEADS and len(joined) == HEAD_BYTES * len(heads):
        numbers = np.frombuffer(joined, "<u8")
        return {head: np.flatnonzero(numbers == int.from_bytes(head, "little")).tolist() for head in distinct}
    groups: dict[bytes, list[int]] = {}
    for row, head in enumerate(heads):
        groups.setdefault(head, []).append(row)
    return groups


class JsonForm:
    """Reads one change at a time into its Record; `source` is the transaction's, as JSON, set before."""

    def __init__(self, keys: KeyColumns) -> None:
        self._keys = keys
        self.source = orjson.Fragment(b"null")

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
        if type_oid in INTEGERS:
            return Codec("int(s[a:p])", "int(b[a:p])", int, _signed)
        if type_oid in FLOATS:
            return Codec("real(s[a:p])", "real(b[a:p])", _real, _refused)
        if type_oid == BOOLEAN:
            return Codec("truth(b[a:p])", "truth(b[a:p])", _truth, _refused)
        return Codec("s[a:p]", "str(b[a:p], 'utf-8')", _text, _refused)

    def result(self, relation: Relation, operation: str, kinds: str) -> str:
        """A Record."""
        variables = {kind: [f"{kind.lower()}{at}" for at in range(len(relation.columns))] for kind in kinds}
        rows = {kind: self._row(relation, kind, names) for kind, names in variables.items()}
        fields = {"op": repr(OPERATIONS[operation]), "source": "form.source", "schema": "R.schema", "table": "R.table"}
        fields |= {"before": rows.get("O", "None")}
        fields |= {"key": rows["K"]} if "K" in rows else {}
        fields |= {"after": rows.get("N", "None")}
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
        fields = {"op": "t", "source": self.source, "schema": relation.schema, "table": relation.table}
        return Record(relation, b"", orjson.dumps({**fields, "before": None, "after": None}))


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
