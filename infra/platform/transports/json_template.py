"""Many changes as JSON at once: the text of those that are alike, with places for what bulk.py cut out of messages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from operator import mod

import orjson

from infra.platform.wal.bulk import NULL, Cut, is_special
from infra.platform.wal.event import Relation
from infra.platform.wal.tuple_reader import SHAPES

INTEGERS = frozenset({20, 21, 23, 26})
FLOATS = frozenset({700, 701})
BOOLEAN = 16
#: Debezium's letters for pgoutput's.
OPERATIONS = {"I": "c", "U": "u", "D": "d"}
_BOOLEANS = {b"t": b"true", b"f": b"false"}
_QUOTED_NULL = b'"%b"' % NULL
#: With more kinds of rows in a block, putting nulls in afterwards is faster.
_FEW_PATTERNS = 8
_NOT_FINITE = frozenset({b"NaN", b"Infinity", b"-Infinity"})


class JsonTemplate:
    """The JSON of changes that are alike but for their values."""

    def __init__(self, relation: Relation, shape: bytes, keys: Sequence[int]) -> None:
        kinds = SHAPES[shape]
        width = len(relation.columns)
        self._types = [column.type_oid for column in relation.columns] * len(kinds)
        #: Places of values that are not of the row, because a key has other columns only.
        self._unused = [place for place in range(width) if "K" in kinds and not relation.columns[place].key]
        self._keys = [1 + (len(kinds) - 1) * width + position for position in keys]
        rows = {kind: _row(relation, kind) for kind in kinds}
        self._text = _change(relation, OPERATIONS[shape.decode()[0]], rows)

    def fill(self, cut: Cut, sources: Sequence[bytes]) -> tuple[list[bytes], list[bytes]]:
        """Keys and values of the cut's messages; raises ValueError or KeyError where a value is not of its type."""
        if any(cut.text[place] for place in self._unused):
            raise ValueError("a column is sent with the old key, but is not of it")
        pieces, stride = cut.pieces, cut.stride
        keys = self._key_bytes(cut)
        self._convert(cut)
        pieces[0::stride] = sources
        rows = zip(*[iter(pieces)] * stride, strict=True)
        if not cut.with_null:
            values = list(map(self._text.__mod__, rows))
        elif (patterns := self._by_pattern(cut)) is not None:
            values = list(map(mod, patterns, rows))
        else:
            values = [
                value.replace(_QUOTED_NULL, b"null") if null else value
                for value, null in zip(map(self._text.__mod__, rows), cut.with_null, strict=True)
            ]
        if not cut.ascii_only:
            str(b"".join(values), "utf-8")
        return keys, values

    def _by_pattern(self, cut: Cut) -> list[bytes] | None:
        """Each row's text with its NULLs written in; None where these are too many different ones."""
        nullable = [place for place, null in enumerate(cut.null, start=1) if null]
        known = {pattern: self._with_nulls(nullable, pattern) for pattern in _few(cut.patterns)}
        if not known or None in known.values():
            return None
        return [text for text in map(known.__getitem__, cut.patterns) if text is not None]

    def _with_nulls(self, nullable: Sequence[int], pattern: int) -> bytes | None:
        """The text where the columns of a pattern's bits are null and take their piece without writing it."""
        parts = self._text.split(b"%b")
        if len(parts) != 2 + len(self._types):
            # A name with a percent sign.
            return None
        nulls = [place for bit, place in enumerate(nullable) if pattern >> bit & 1]
        for place in nulls:
            if not is_bare(self._types[place - 1]):
                parts[place] = parts[place][:-1]
                parts[place + 1] = parts[place + 1][1:]
        joints = [b"null%.0b" if place in nulls else b"%b" for place in range(len(parts) - 1)]
        return b"".join(chain.from_iterable(zip(parts, [*joints, b""], strict=True)))

    def _key_bytes(self, cut: Cut) -> list[bytes]:
        columns = [cut.pieces[place :: cut.stride] for place in self._keys]
        if any(cut.null[place - 1] for place in self._keys):
            columns = [[b"" if piece == NULL else piece for piece in column] for column in columns]
        return columns[0] if len(columns) == 1 else list(map(b"\0".join, zip(*columns, strict=True)))

    def _convert(self, cut: Cut) -> None:
        """Make the pieces JSON, column by column, where they are not yet; raises ValueError or KeyError."""
        pieces, stride = cut.pieces, cut.stride
        for place, (type_oid, null) in enumerate(zip(self._types, cut.null, strict=True), start=1):
            bare = is_bare(type_oid)
            if not bare and not cut.special:
                continue
            column = pieces[place::stride]
            filled = [piece for piece in column if piece != NULL] if null else column
            made = _bare(type_oid, filled) if bare else _escaped(filled) if is_special(b"".join(filled)) else filled
            if null:
                following = iter(made)
                nothing = b"null" if bare else NULL
                made = [nothing if piece == NULL else next(following) for piece in column]
            pieces[place::stride] = made


def _few(patterns: Sequence[int]) -> set[int]:
    distinct = set(patterns)
    return distinct if len(distinct) <= _FEW_PATTERNS else set()


def _row(relation: Relation, kind: str) -> bytes:
    fields = []
    unused = b""
    for column in relation.columns:
        if kind == "K" and not column.key:
            unused += b"%.0b"
            continue
        value = b"%b" if is_bare(column.type_oid) else b'"%b"'
        fields.append(unused + orjson.dumps(column.name).replace(b"%", b"%%") + b":" + value)
        unused = b""
    return b"{" + b",".join(fields) + unused + b"}"


def _change(relation: Relation, operation: str, rows: Mapping[str, bytes]) -> bytes:
    table = orjson.dumps({"schema": relation.schema, "table": relation.table})[1:-1].replace(b"%", b"%%")
    key = b',"key":' + rows["K"] if "K" in rows else b""
    parts = (operation.encode(), table, rows.get("O", b"null"), key, rows.get("N", b"null"))
    return b'{"op":"%b","source":%%b,%b,"before":%b%b,"after":%b}' % parts


def is_bare(type_oid: int) -> bool:
    """Whether values of this type have no quotes in JSON."""
    return type_oid in INTEGERS or type_oid in FLOATS or type_oid == BOOLEAN


def _bare(type_oid: int, pieces: list[bytes]) -> list[bytes]:
    if type_oid in FLOATS:
        return list(map(_float, pieces))
    if type_oid == BOOLEAN:
        return list(map(_BOOLEANS.__getitem__, pieces))
    _check_integers(pieces)
    return pieces


def _check_integers(pieces: Sequence[bytes]) -> None:
    # Among digits only, what is empty or starts with a zero sorts before b"1".
    if not b"".join(pieces).isdigit() or min(pieces) < b"1":
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
