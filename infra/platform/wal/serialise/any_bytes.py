"""A change whose texts are not all UTF-8, as JSON: the slow way, for databases in SQL_ASCII.

Such a server sends texts as they were stored, in whatever encoding a client once used. JSON is
UTF-8, and a guess would change values. So a text that is not UTF-8 is written as its bytes, in the
form of PostgreSQL's own bytea (`\\x4dfc6c6c6572`), and the object's field `bytes` lists such
columns.
"""

from __future__ import annotations

from typing import Any

from infra.platform.wal.serialise.json_template import BOOLEAN, FLOATS, INTEGERS, OPERATIONS
from infra.replication.pgoutput.event import UNCHANGED, Relation
from infra.replication.pgoutput.form import Layout, LazyChange, ValueForm
from infra.replication.pgoutput.tuple_reader import SHAPES


def read_rows(relation: Relation, message: bytes) -> tuple[dict[str, list[Any]], list[str]]:
    """The values of each tuple (K, O, N) for JSON, and the names of columns that are bytes."""
    layout = Layout(relation, message[:1] + message[5:6], ValueForm())
    rows: dict[str, list[Any]] = {kind: [] for kind in SHAPES[message[:1] + message[5:6]]}
    raw: set[str] = set()
    for kind, how, first, last in LazyChange(layout, message).spans():
        column = relation.columns[len(rows[kind])]
        value, is_raw = _value(column.type_oid, how, message[first:last])
        rows[kind].append(value)
        if is_raw:
            raw.add(column.name)
    return rows, sorted(raw)


def body(relation: Relation, message: bytes, source: Any) -> tuple[dict[str, object], list[Any]]:
    """The fields of a change's object, and the values of its last tuple."""
    rows, raw = read_rows(relation, message)
    names = relation.names
    fields: dict[str, object] = {
        "op": OPERATIONS[chr(message[0])],
        "source": source,
        "schema": relation.schema,
        "table": relation.table,
        "before": _named(names, rows["O"]) if "O" in rows else None,
    }
    if "K" in rows:
        # A key's tuple has NULL in all other columns, which does not mean that these are NULL.
        fields["key"] = {
            names[place]: _number(rows["K"][place]) for place in relation.key_positions
        }
    fields["after"] = _named(names, rows["N"]) if "N" in rows else None
    if raw:
        fields["bytes"] = raw
    return fields, list(rows.values())[-1]


def _named(names: tuple[str, ...], row: list[Any]) -> dict[str, object]:
    # A value that was not sent is left out of the object, because null would mean NULL.
    pairs = zip(names, row, strict=True)
    return {name: _number(value) for name, value in pairs if value is not UNCHANGED}


class FloatText(str):
    """A float as text for keys; rows have it as a number."""

    __slots__ = ()


def _number(value: Any) -> Any:
    if not isinstance(value, FloatText):
        return value
    number = float(value)
    return number if abs(number) < float("inf") else str(value)


def _value(type_oid: int, how: str, data: bytes) -> tuple[Any, bool]:
    """A value for JSON, and whether it is bytes that are not UTF-8."""
    if how in "nu":
        return (None if how == "n" else UNCHANGED), False
    if type_oid in INTEGERS:
        return int(data), False
    if type_oid in FLOATS:
        return FloatText(data.decode()), False
    if type_oid == BOOLEAN:
        return data == b"t", False
    # Decoding is the test for UTF-8; a test before it would read each text twice.
    try:
        return str(data, "utf-8"), False
    except UnicodeDecodeError:
        return "\\x" + data.hex(), True
