"""The values that Debezium writes in place of columns that it was not sent: in a row of which it
knows only the key.

PostgreSQL sends the old row of a delete only as far as REPLICA IDENTITY demands, by default the
key. If the schema forbids NULL, Debezium fills the other columns with the column's default,
otherwise with the zero of its type (its class JdbcValueConverters, 3.6). A column that allows NULL
and has a default comes as that default as well: Kafka Connect replaces NULL by the default (its
class Struct; KIP-581), and for a default that is a function, such as now(), Debezium writes the
zero of its type. So a row of this kind is recognised by its other columns: all of them are NULL or
filled.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from typing import Any

import fastavro

from infra.avro.kind import Column, ColumnKind
from infra.avro.walk import AvroSchema
from infra.schemas.debezium import AvroDefinition

_EPOCHS = ("1970-01-01T00:00:00Z", "1970-01-01T00:00:00.000000Z")
_MIDNIGHTS = ("00:00:00Z", "00:00:00.000000Z")
#: The fillers of texts that stand for other types: a decimal (`decimal.handling.mode=string`), a
#: date or a time (`time.precision.mode=isostring`).
_OF_OTHERS = (
    "0",
    *(f"0.{'0' * digits}" for digits in range(1, 39)),
    "1970-01-01Z",
    *_EPOCHS,
    *_MIDNIGHTS,
)
_TEXTS: Mapping[ColumnKind, tuple[str, ...]] = {
    ColumnKind.TEXT: ("", *_OF_OTHERS),
    ColumnKind.INTERVAL: ("", "P0Y0M0DT0H0M0S"),
    ColumnKind.ZONED_TIMESTAMP: _EPOCHS,
    ColumnKind.ZONED_TIME: _MIDNIGHTS,
    ColumnKind.JSON: ("", "{}"),
}


def fillers(schema: AvroSchema, field: AvroDefinition, column: Column) -> tuple[bytes, ...]:
    """The bytes, behind the union's branch, that a non-NULL value of this field has if none was
    sent.
    """
    declared = schema.expand(field["type"])
    if isinstance(declared, list):
        real = [branch for branch in declared if branch != "null"]
        if len(real) != 1 or field.get("default") is None:
            return ()
        declared = real[0]
    if field.get("default") is not None:
        values: Iterable[Any] = (_default(declared, field["default"]),)
    else:
        values = _TEXTS.get(column.kind) or _zeros(declared)
    # Encoded once for each schema: rows are then compared as bytes, without decoding a value.
    parsed = fastavro.parse_schema(declared)
    return tuple(_encoded(parsed, value) for value in values)


def _encoded(schema: Any, value: Any) -> bytes:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, schema, value)
    return out.getvalue()


def _default(declared: Any, value: Any) -> Any:
    """A default as a value; Avro writes a default of bytes as text with one character for each byte
    (its specification, "Records").
    """
    kind = declared["type"] if isinstance(declared, Mapping) else declared
    if kind == "record" and isinstance(value, Mapping):
        types = {item["name"]: item["type"] for item in declared["fields"]}
        return {name: _default(types.get(name), part) for name, part in value.items()}
    return value.encode("latin-1") if kind == "bytes" and isinstance(value, str) else value


def _zeros(declared: Any) -> list[Any]:
    kind = declared["type"] if isinstance(declared, Mapping) else declared
    if kind == "bytes":
        return [b"", b"\x00"]
    if kind == "record":
        return [{item["name"]: _zero_item(item) for item in declared["fields"]}]
    return [_ZEROS[kind]] if kind in _ZEROS else []


def _zero_item(item: AvroDefinition) -> Any:
    """The zero of a record's field: a decimal of scale 0 is one zero byte, a point has its WKB."""
    if isinstance(item["type"], list):
        return _POINT if item["name"] == "wkb" else None
    kind = item["type"]["type"] if isinstance(item["type"], Mapping) else item["type"]
    return b"\x00" if kind == "bytes" else _ZEROS.get(kind)


#: The point (0, 0) in well-known binary.
_POINT = b"\x01\x01" + bytes(19)
_ZEROS: Mapping[str, object] = {
    "boolean": False,
    "int": 0,
    "long": 0,
    "float": 0.0,
    "double": 0.0,
    "string": "",
    "array": [],
    "map": {},
}
