"""The Avro types that Debezium's Postgres connector uses for columns.

Debezium documentation, "PostgreSQL connector: Data type mappings", with the connector's defaults
(`decimal.handling.mode=precise`, `time.precision.mode=adaptive`). A type without an entry is
refused by name. Any other form would be mistaken for Debezium's. The values that the connector
itself loses (a varying bit string's leading zeros, money of another locale, arrays of intervals)
would be lost silently.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from infra.avro.kind import NO_LENGTH, SOURCE_LENGTH, SOURCE_TYPE

AvroType = Any
_NO_MODIFIER = -1
#: Debezium counts milliseconds up to this precision, and microseconds above it.
_MILLISECONDS = 3


def _connect(kind: str, name: str, **more: Any) -> AvroType:
    return {"type": kind, "connect.version": 1, **more, "connect.name": name}


def _decimal(modifier: int) -> AvroType:
    """numeric(p, s) as a scaled integer; plain numeric as a number that carries its own scale."""
    if modifier == _NO_MODIFIER:
        return VARIABLE_DECIMAL
    # numerictypmod: the precision is in the upper half, the scale in eleven bits with a sign.
    precision, scale = (modifier - 4) >> 16 & 0xFFFF, (modifier - 4) & 0x7FF
    scale = (scale ^ 1024) - 1024
    # PostgreSQL allows numeric(3, -2) since 15; Avro's decimal has no negative scale.
    if scale < 0:
        return VARIABLE_DECIMAL
    return _connect(
        "bytes",
        "org.apache.kafka.connect.data.Decimal",
        scale=scale,
        precision=precision,
        **{
            "connect.parameters": {"scale": str(scale), "connect.decimal.precision": str(precision)}
        },
        logicalType="decimal",
    )


def _by_precision(milli: str, micro: str, milli_kind: str) -> Callable[[int], AvroType]:
    def make(modifier: int) -> AvroType:
        if modifier != _NO_MODIFIER and modifier <= _MILLISECONDS:
            return _connect(milli_kind, milli)
        return _connect("long", micro)

    return make


def _always(kind: AvroType) -> Callable[[int], AvroType]:
    return lambda _: kind


VARIABLE_DECIMAL: AvroType = {
    "type": "record",
    "name": "VariableScaleDecimal",
    "namespace": "io.debezium.data",
    "fields": [{"name": "scale", "type": "int"}, {"name": "value", "type": "bytes"}],
    "connect.doc": "Variable scaled decimal",
    "connect.version": 1,
    "connect.name": "io.debezium.data.VariableScaleDecimal",
}
INTERVAL = 1186
#: The types of an interval, by Debezium's option `interval.handling.mode`.
INTERVALS: Mapping[str, AvroType] = {
    "numeric": _connect("long", "io.debezium.time.MicroDuration"),
    "string": _connect("string", "io.debezium.time.Interval"),
}


def enum_type(labels: tuple[str, ...]) -> AvroType:
    """An enum, by its label."""
    parameters = {"connect.parameters": {"allowed": ",".join(labels)}}
    return _connect("string", "io.debezium.data.Enum", **parameters)


def array_type(item: AvroType) -> AvroType:
    """An array, whose items may be NULL."""
    return {"type": "array", "items": ["null", item]}


def _bits(modifier: int) -> AvroType:
    """bit(n): its bytes, the lowest first."""
    # Debezium takes bit(1) for a boolean (its documentation, "Basic types").
    if modifier == 1:
        return "boolean"
    return _connect(
        "bytes", "io.debezium.data.Bits", **{"connect.parameters": {"length": str(modifier)}}
    )


_STRING = _always("string")
#: Ranges, and the arrays of them.
RANGES: Mapping[int, int] = {
    3904: 3905,
    3906: 3907,
    3908: 3909,
    3910: 3911,
    3912: 3913,
    3926: 3927,
}
#: By type OID, a function of the type's modifier.
TYPES: Mapping[int, Callable[[int], AvroType]] = {
    16: _always("boolean"),
    17: _always("bytes"),
    18: _STRING,
    20: _always("long"),
    21: _always({"type": "int", "connect.type": "int16"}),
    23: _always("int"),
    25: _STRING,
    26: _always("long"),
    114: _always(_connect("string", "io.debezium.data.Json")),
    142: _always(_connect("string", "io.debezium.data.Xml")),
    650: _STRING,
    700: _always("float"),
    701: _always("double"),
    774: _STRING,
    829: _STRING,
    869: _STRING,
    1042: _STRING,
    1043: _STRING,
    1082: _always(_connect("int", "io.debezium.time.Date")),
    1083: _by_precision("io.debezium.time.Time", "io.debezium.time.MicroTime", "int"),
    1114: _by_precision("io.debezium.time.Timestamp", "io.debezium.time.MicroTimestamp", "long"),
    1184: _always(_connect("string", "io.debezium.time.ZonedTimestamp")),
    1266: _always(_connect("string", "io.debezium.time.ZonedTime")),
    1560: _bits,
    1700: _decimal,
    2950: _always(_connect("string", "io.debezium.data.Uuid")),
    3614: _always(_connect("string", "io.debezium.data.Tsvector")),
    3802: _always(_connect("string", "io.debezium.data.Json")),
    **dict.fromkeys(RANGES, _STRING),
}
#: Arrays by OID: their items' types.
ITEMS: Mapping[int, int] = {
    143: 142,
    199: 114,
    651: 650,
    775: 774,
    1000: 16,
    1001: 17,
    1005: 21,
    1007: 23,
    1009: 25,
    1014: 1042,
    1015: 1043,
    1016: 20,
    1021: 700,
    1022: 701,
    1028: 26,
    1040: 829,
    1041: 869,
    1115: 1114,
    1182: 1082,
    1183: 1083,
    1185: 1184,
    1231: 1700,
    1270: 1266,
    2951: 2950,
    3807: 3802,
    **{array: item for item, array in RANGES.items()},
}
#: Built-in types that share their Avro type with others, by Debezium's name for them in a schema's
#: parameters (its option `datatype.propagate.source.type`).
_SOURCE_TYPES: Mapping[int, str] = {
    650: "CIDR",
    774: "MACADDR8",
    829: "MACADDR",
    869: "INET",
    1042: "BPCHAR",
    1560: "BIT",
    3614: "TSVECTOR",
    3802: "JSONB",
    3904: "INT4RANGE",
    3906: "NUMRANGE",
    3908: "TSRANGE",
    3912: "DATERANGE",
    3926: "INT8RANGE",
}
_CHAR, _BIT = 1042, 1560


def with_source_type(kind: AvroType, oid: int, modifier: int, column: str) -> AvroType:
    """The Avro type; with the source's own type in its parameters if the Avro type is ambiguous."""
    name = _SOURCE_TYPES.get(oid)
    if name is None:
        return kind
    length = {_CHAR: modifier - 4, _BIT: modifier}.get(oid, 0) if modifier > 0 else 0
    whole = kind if isinstance(kind, Mapping) else {"type": kind}
    parameters = {
        SOURCE_TYPE: name,
        SOURCE_LENGTH: str(length or NO_LENGTH),
        "__debezium.source.column.scale": "0",
        "__debezium.source.column.name": column,
    }
    return {**whole, "connect.parameters": {**whole.get("connect.parameters", {}), **parameters}}


#: Types of extensions that Debezium sends as text, by name.
TEXTS: Mapping[str, AvroType] = {
    "citext": "string",
    "ltree": _connect("string", "io.debezium.data.Ltree"),
}
