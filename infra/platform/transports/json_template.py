"""Many changes as JSON at once: the text of those that are alike, with places for what bulk.py cut out of messages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import orjson

from infra.platform.wal.bulk import Cut, is_special
from infra.platform.wal.event import Relation
from infra.platform.wal.tuple_reader import SHAPES

INTEGERS = frozenset({20, 21, 23, 26})
FLOATS = frozenset({700, 701})
BOOLEAN = 16
#: Debezium's letters for pgoutput's.
OPERATIONS = {"I": "c", "U": "u", "D": "d"}
_BOOLEANS = {b"t": b"true", b"f": b"false"}
_NOT_FINITE = frozenset({b"NaN", b"Infinity", b"-Infinity"})


class JsonTemplate:
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
        self._text = _change(relation, OPERATIONS[shape.decode()[0]], rows)

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

    def fill(self, piece: Cut, sources: Sequence[bytes]) -> tuple[list[bytes], list[bytes]]:
        """Keys and values of the cut's messages; raises ValueError or KeyError where a value is not of its type."""
        pieces, stride = piece.pieces, piece.stride
        keys = self._key_bytes(pieces, stride, len(sources))
        self._convert(piece)
        pieces[0::stride] = sources
        values = list(map(self._text.__mod__, zip(*[iter(pieces)] * stride, strict=True)))
        if not all(map(bytes.isascii, values)):
            str(b"".join(values), "utf-8")
        return keys, values

    def _key_bytes(self, pieces: list[bytes], stride: int, count: int) -> list[bytes]:
        columns = [pieces[place::stride] if place is not None else [b""] * count for place in self._keys]
        return columns[0] if len(columns) == 1 else list(map(b"\0".join, zip(*columns, strict=True)))

    def _convert(self, piece: Cut) -> None:
        """Make the pieces JSON, column by column, where they are not yet; raises ValueError or KeyError."""
        pieces, stride = piece.pieces, piece.stride
        for place, type_oid in enumerate(self._types, start=1):
            if type_oid in INTEGERS:
                _check_integers(pieces[place::stride])
            elif type_oid in FLOATS:
                pieces[place::stride] = map(_float, pieces[place::stride])
            elif type_oid == BOOLEAN:
                pieces[place::stride] = map(_BOOLEANS.__getitem__, pieces[place::stride])
            elif piece.special and is_special(b"".join(column := pieces[place::stride])):
                pieces[place::stride] = _escaped(column)


def _change(relation: Relation, operation: str, rows: Mapping[str, bytes]) -> bytes:
    table = orjson.dumps({"schema": relation.schema, "table": relation.table})[1:-1].replace(b"%", b"%%")
    key = b',"key":' + rows["K"] if "K" in rows else b""
    parts = (operation.encode(), table, rows.get("O", b"null"), key, rows.get("N", b"null"))
    return b'{"op":"%b","source":%%b,%b,"before":%b%b,"after":%b}' % parts


def _is_bare(type_oid: int) -> bool:
    return type_oid in INTEGERS or type_oid in FLOATS or type_oid == BOOLEAN


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
