"""The Avro schemas that Debezium's Postgres connector would register for a table.

Debezium documentation, "PostgreSQL connector: Data type mappings", with the connector's defaults
(`decimal.handling.mode=precise`, `time.precision.mode=adaptive`). A type that is not written here
is refused by name: another form would be taken for Debezium's.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from infra.platform.wal.error import SetupError
from infra.replication.pgoutput.event import Relation, RelationColumn
from infra.schemas.debezium import (
    AvroDefinition,
    TopicSchemas,
    customers_schemas,
    namespace,
    row_schema,
)

AvroType = Any
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_NO_MODIFIER = -1
#: Up to this precision Debezium counts milliseconds, above it microseconds.
_MILLISECONDS = 3


def _connect(kind: str, name: str, **more: Any) -> AvroType:
    return {"type": kind, "connect.version": 1, **more, "connect.name": name}


def _decimal(modifier: int) -> AvroType:
    """numeric(p, s) as a scaled integer; numeric as one that carries its scale with it."""
    if modifier == _NO_MODIFIER:
        return VARIABLE_DECIMAL
    # numerictypmodin: precision in the upper half, the scale in eleven bits with a sign.
    precision, scale = (modifier - 4) >> 16 & 0xFFFF, (modifier - 4) & 0x7FF
    scale = (scale ^ 1024) - 1024
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
_STRING = _always("string")
#: By type OID: a function of the type's modifier.
TYPES: Mapping[int, Callable[[int], AvroType]] = {
    16: _always("boolean"),
    17: _always("bytes"),
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
    829: _STRING,
    869: _STRING,
    1042: _STRING,
    1043: _STRING,
    1082: _always(_connect("int", "io.debezium.time.Date")),
    1083: _by_precision("io.debezium.time.Time", "io.debezium.time.MicroTime", "int"),
    1114: _by_precision("io.debezium.time.Timestamp", "io.debezium.time.MicroTimestamp", "long"),
    1184: _always(_connect("string", "io.debezium.time.ZonedTimestamp")),
    1266: _always(_connect("string", "io.debezium.time.ZonedTime")),
    1700: _decimal,
    2950: _always(_connect("string", "io.debezium.data.Uuid")),
    3802: _always(_connect("string", "io.debezium.data.Json")),
}


@dataclass(frozen=True, slots=True)
class TableFacts:
    """What the stream does not say of a table: its primary key, the columns that may not be NULL,
    and the labels of its enums by column.
    """

    key: Sequence[str]
    not_null: frozenset[str]
    labels: Mapping[str, Sequence[str]]


def topic_name(prefix: str, schema: str, table: str) -> str:
    """A table's topic as Debezium calls it: what Kafka does not allow becomes an underscore."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", f"{prefix}.{schema}.{table}")


def table_schemas(relation: Relation, facts: TableFacts, topic: str) -> TopicSchemas:
    """Key and value of a table; raises SetupError for what cannot be written so."""
    name = f"{relation.schema}.{relation.table}"
    missing = set(facts.key) - set(relation.names)
    if not facts.key or missing:
        raise SetupError(
            f"{name} has no primary key that is published, and Debezium's records are keyed by it;"
            " add one, publish its columns, or use --format json"
        )
    identity = {relation.names[place] for place in relation.key_positions}
    if identity and not identity.issuperset(facts.key):
        raise SetupError(
            f"{name} has another REPLICA IDENTITY than its primary key, so that deletes come"
            f" without it; run ALTER TABLE {name} REPLICA IDENTITY FULL; or use --format json"
        )
    fields = [_field(column, facts, name) for column in relation.columns]
    value: AvroDefinition = copy.deepcopy(dict(customers_schemas(topic).value))
    row_schema(value)["fields"][:] = _each_record_once(fields)
    types = {field["name"]: field["type"] for field in fields}
    place = namespace(topic)
    key = {
        "type": "record",
        "name": "Key",
        "namespace": place,
        "fields": [{"name": column, "type": types[column]} for column in facts.key],
        "connect.name": f"{place}.Key",
    }
    return TopicSchemas(topic, key, value)


def _field(column: RelationColumn, facts: TableFacts, table: str) -> AvroDefinition:
    if _NAME.fullmatch(column.name) is None:
        raise SetupError(
            f"column {column.name!r} of {table} is no name in Avro; leave it out by a column list,"
            " or use --format json"
        )
    labels = facts.labels.get(column.name)
    make = TYPES.get(column.type_oid)
    if labels is not None:
        parameters = {"connect.parameters": {"allowed": ",".join(labels)}}
        kind = _connect("string", "io.debezium.data.Enum", **parameters)
    elif make is not None:
        kind = make(column.modifier)
    else:
        raise SetupError(
            f"column {column.name!r} of {table} has a type (OID {column.type_oid}) that --format"
            " avro does not write; leave it out by a column list, or use --format json"
        )
    if column.name in facts.not_null or column.name in facts.key:
        return {"name": column.name, "type": kind}
    return {"name": column.name, "type": ["null", kind], "default": None}


def _each_record_once(fields: Sequence[AvroDefinition]) -> list[AvroDefinition]:
    """A record is defined where it stands first, and named after that (Avro, "Names")."""
    known = False
    listed = []
    for field in fields:
        union = isinstance(field["type"], list)
        kind = field["type"][1] if union else field["type"]
        if kind is VARIABLE_DECIMAL:
            if known:
                named = "io.debezium.data.VariableScaleDecimal"
                field = {**field, "type": ["null", named] if union else named}
            known = True
        listed.append(field)
    return listed
