"""Serialises many changes as JSON at once: the text that equal heads share, with places for the
values that bulk.py cuts out of messages.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, repeat
from operator import itemgetter, mod

import msgspec
import orjson

from infra.replication.pgoutput.bulk import Cut, Group, is_special
from infra.replication.pgoutput.event import Relation
from infra.replication.pgoutput.tuple_reader import SHAPES

INTEGERS = frozenset({20, 21, 23, 26})
FLOATS = frozenset({700, 701})
BOOLEAN = 16
#: Debezium's letters for pgoutput's operations.
OPERATIONS = {"I": "c", "U": "u", "D": "d"}
_LINES, _INSIDE = msgspec.json.Encoder(), itemgetter(slice(1, -1))
_BOOLEANS = {b"t": b"true", b"f": b"false"}
#: The place of a piece in a text; the text is JSON, so it has no zero bytes of its own.
_PLACE = b"\0"
#: Consumes a piece, or None, and writes nothing.
_NOTHING = b"%.0a"
#: Stands for NULL until the text is complete: inside quotes JSON has no such character.
_NULL = b"\1"
#: With more NULL patterns than this in a block, it is faster to insert the nulls afterwards.
_FEW_PATTERNS = 32
_MOST_TEXTS = 1000
_OF_INTEGERS = b"-0123456789"
#: What no integer of Postgres's looks like after a comma: empty, -0, or a leading zero.
_NOT_INTEGERS = re.compile(rb",(?:,|-[,0]|0[0-9])")
_NOT_FINITE = frozenset({b"NaN", b"Infinity", b"-Infinity"})


class JsonTemplate:
    """The JSON of changes that differ only in their values."""

    def __init__(
        self, relation: Relation, shape: bytes, keys: Sequence[int], probe: int | None = None
    ) -> None:
        kinds = SHAPES[shape]
        width = len(relation.columns)
        self.relation = relation
        self._tuples = len(kinds)
        self._types = [column.type_oid for column in relation.columns] * len(kinds)
        #: The places of values that are not in the row, because a key's tuple has only its own
        #: columns.
        self._unused = {
            place for place in range(width) if "K" in kinds and not relation.columns[place].key
        }
        # The last tuple is the new row, or the only one; a meaningless piece stands before it.
        last = 1 + (len(kinds) - 1) * width
        self._keys = [last + position for position in keys]
        self._probe = None if probe is None else last + probe
        self.deletes = shape[:1] == b"D"
        rows = {kind: _row(relation, kind) for kind in kinds}
        self._parts = (
            _change(relation, OPERATIONS[shape.decode()[0]], rows)
            .replace(b"%", b"%%")
            .split(_PLACE)
        )
        self._texts: dict[tuple[int, ...], bytes] = {}

    @property
    def values(self) -> int:
        """The number of values in the template's messages."""
        return len(self._types)

    def group(self, count: int) -> Group:
        """The group of `count` messages of this template."""
        return Group(count, self._tuples, len(self.relation.columns))

    def fill(
        self, cut: Cut, sources: Sequence[bytes]
    ) -> tuple[list[bytes], list[bytes], list[bytes]]:
        """Keys, values and probes of the cut's messages, as bytes; no probes if the table has none.
        Raises ValueError or KeyError if a value is not of its type.
        """
        if any(cut.text[place] for place in self._unused):
            raise ValueError("a column is sent with the old key, but is not of it")
        keys = self._key_bytes(cut)
        probes = self._probes(cut)
        self._convert(cut)
        # The meaningless piece of a message's head is replaced by the transaction's source, which
        # needs a place: then a row's pieces are in the order of the text's places, without a copy.
        cut.pieces[0 :: cut.stride] = sources
        texts = self._by_pattern(cut)
        if texts is None:
            self._mark_nulls(cut)
        # The same iterator several times: `zip` takes a row's pieces one after another as a tuple,
        # which `%` needs. Slicing would make a list for each row.
        rows = zip(*[iter(cut.pieces)] * cut.stride, strict=True)
        # `template % row` writes a whole change in C. The slow way, a dictionary for each row
        # through a JSON encoder, gives the same bytes (a test compares both) in eight to eleven
        # times the time.
        values = list(map(mod, repeat(self._text(())) if texts is None else texts, rows))
        if texts is None:
            values = [value.replace(b'"%b"' % _NULL, b"null") for value in values]
        if not cut.ascii_only:
            str(b"".join(values), "utf-8")
        return keys, values, probes

    def _probes(self, cut: Cut) -> list[bytes]:
        """The probe column as sent, before it becomes JSON."""
        if self._probe is None:
            return []
        column = cut.pieces[self._probe :: cut.stride]
        return [piece or b"" for piece in column] if cut.null[self._probe - 1] else column

    def _by_pattern(self, cut: Cut) -> Iterable[bytes] | None:
        """Each row's text with its NULLs inserted; None if there are too many different
        patterns.
        """
        nullable = [place for place, null in enumerate(cut.null) if null]
        if not nullable:
            return repeat(self._text(()))
        distinct = set(cut.patterns)
        if not 0 < len(distinct) <= _FEW_PATTERNS:
            return None
        nulls = {
            pattern: [at for bit, at in enumerate(nullable) if pattern >> bit & 1]
            for pattern in distinct
        }
        texts = {pattern: self._text(tuple(places)) for pattern, places in nulls.items()}
        return map(texts.__getitem__, cut.patterns)

    def _text(self, nulls: tuple[int, ...]) -> bytes:
        """The text of a row that is NULL at these places, where it consumes None."""
        known = self._texts.get(nulls)
        if known is None:
            if len(self._texts) == _MOST_TEXTS:
                self._texts.clear()
            known = self._texts[nulls] = self._written(nulls)
        return known

    def _written(self, nulls: Sequence[int]) -> bytes:
        parts = self._parts.copy()
        places = [b"%b"] * len(self._types)
        for place in nulls:
            places[place] = b"null" + _NOTHING
            if not is_bare(self._types[place]) and place not in self._unused:
                parts[place + 1] = parts[place + 1][:-1]
                parts[place + 2] = parts[place + 2][1:]
        for place in self._unused:
            places[place] = _NOTHING
        return b"".join(chain.from_iterable(zip(parts, [b"%b", *places, b""], strict=True)))

    def _key_bytes(self, cut: Cut) -> list[bytes]:
        columns = [cut.pieces[place :: cut.stride] for place in self._keys]
        if any(cut.null[place - 1] for place in self._keys):
            columns = [[piece or b"" for piece in column] for column in columns]
        return (
            columns[0] if len(columns) == 1 else list(map(b"\0".join, zip(*columns, strict=True)))
        )

    def _convert(self, cut: Cut) -> None:
        """Turn the pieces into JSON, column by column, where necessary; raises ValueError or
        KeyError.
        """
        pieces, stride = cut.pieces, cut.stride
        integers: list[bytes] = []
        for place, (type_oid, null) in enumerate(zip(self._types, cut.null, strict=True), start=1):
            if not cut.special and not is_bare(type_oid):
                continue
            column = pieces[place::stride]
            filled = [piece for piece in column if piece is not None] if null else column
            if type_oid in INTEGERS:
                integers += filled
                continue
            made = _as_json(type_oid, filled)
            if made is filled:
                continue
            following = iter(made)
            pieces[place::stride] = [
                piece if piece is None else next(following) for piece in column
            ]
        _check_integers(integers)

    def _mark_nulls(self, cut: Cut) -> None:
        """Replace None by a piece, in all places that are written."""
        pieces, stride = cut.pieces, cut.stride
        for place, (type_oid, null) in enumerate(zip(self._types, cut.null, strict=True)):
            if null and place not in self._unused:
                nothing = b"null" if is_bare(type_oid) else _NULL
                column = pieces[place + 1 :: stride]
                pieces[place + 1 :: stride] = [
                    nothing if piece is None else piece for piece in column
                ]


def _row(relation: Relation, kind: str) -> bytes:
    fields = []
    unused = b""
    for column in relation.columns:
        if kind == "K" and not column.key:
            unused += _PLACE
            continue
        value = _PLACE if is_bare(column.type_oid) else b'"%b"' % _PLACE
        fields.append(unused + orjson.dumps(column.name) + b":" + value)
        unused = b""
    return b"{" + b",".join(fields) + unused + b"}"


def _change(relation: Relation, operation: str, rows: Mapping[str, bytes]) -> bytes:
    table = orjson.dumps({"schema": relation.schema, "table": relation.table})[1:-1]
    key = b',"key":' + rows["K"] if "K" in rows else b""
    parts = (operation.encode(), _PLACE, table, rows.get("O", b"null"), key, rows.get("N", b"null"))
    return b'{"op":"%b","source":%b,%b,"before":%b%b,"after":%b}' % parts


def is_bare(type_oid: int) -> bool:
    """Whether values of this type have no quotes in JSON."""
    return type_oid in INTEGERS or type_oid in FLOATS or type_oid == BOOLEAN


def _as_json(type_oid: int, pieces: list[bytes]) -> list[bytes]:
    """The pieces as JSON, without the quotes, which the text already has; the same list if nothing
    changes.
    """
    if type_oid in FLOATS:
        return list(map(_float, pieces))
    if type_oid == BOOLEAN:
        return list(map(_BOOLEANS.__getitem__, pieces))
    return _escaped(pieces) if is_special(b"".join(pieces)) else pieces


def _check_integers(pieces: Sequence[bytes]) -> None:
    joined = b",".join([b"", *pieces, b""])
    if joined.translate(None, _OF_INTEGERS) != b"," * (1 + len(pieces)) or _NOT_INTEGERS.search(
        joined
    ):
        raise ValueError("there is an integer that is not written as Postgres writes it")
    # A sign may only follow a comma. Counting both is cheaper than a pattern that tries each digit.
    signs = joined.count(b"-")
    if signs and signs != joined.count(b",-"):
        raise ValueError("there is a sign inside an integer")


def _float(piece: bytes) -> bytes:
    if piece in _NOT_FINITE:
        return b'"' + piece + b'"'
    return orjson.dumps(float(piece))


def _escaped(pieces: Sequence[bytes]) -> list[bytes]:
    """Texts as JSON writes them, without their quotes."""
    # JSON escapes line ends, so in the joined result only the ends of texts are line ends.
    lines = _LINES.encode_lines([str(piece, "utf-8") for piece in pieces]).splitlines()
    return list(map(_INSIDE, lines))
