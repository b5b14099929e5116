"""The Avro schemas that Debezium's Postgres connector would register for a table.

A column is refused by name if Debezium has no Avro form for its type, or if its name is impossible
in Avro.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from infra.platform.wal.error import SetupError
from infra.platform.wal.serialise.avro_type import (
    INTERVAL,
    INTERVALS,
    ITEMS,
    TEXTS,
    TYPES,
    VARIABLE_DECIMAL,
    AvroType,
    array_type,
    enum_type,
    with_source_type,
)
from infra.replication.pgoutput.event import Relation, RelationColumn
from infra.schemas.debezium import (
    AvroDefinition,
    TopicSchemas,
    customers_schemas,
    namespace,
    row_schema,
)

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
#: Types that are not built in have OIDs from here on (PostgreSQL's source, transam.h).
_FIRST_OWN = 16_384
_REMEDY = "leave it out by a column list, or use --format json"


@dataclass(frozen=True, slots=True)
class OwnType:
    """A column's type from the catalogue: a domain's base type with its limit; the name of the
    type, or of an array's items; and an enum's labels.
    """

    oid: int
    modifier: int
    name: str
    is_array: bool = False
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TableFacts:
    """Facts about a table that the stream lacks: the key (empty if there is none), the columns that
    may not be NULL, and the types that are not built in, by column.
    """

    key: Sequence[str]
    not_null: frozenset[str]
    types: Mapping[str, OwnType]


def topic_name(prefix: str, schema: str, table: str) -> str:
    """A table's topic as Debezium names it: characters that Kafka forbids become underscores."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", f"{prefix}.{schema}.{table}")


def table_schemas(
    relation: Relation, facts: TableFacts, topic: str, intervals: str = "numeric"
) -> TopicSchemas:
    """Key and value schema of a table; without a key the key schema has no fields. `intervals` is a
    name of INTERVALS. Raises SetupError that says for every refused column why.
    """
    name = f"{relation.schema}.{relation.table}"
    reasons = _about_key(relation, facts, name)
    fields = []
    for column in relation.columns:
        own = facts.types.get(column.name)
        kind = _kind(column, own, intervals)
        if kind is None:
            reasons.append(
                f"column {column.name} of {name} is {_type_name(column, own)}; {_REMEDY}"
            )
        elif _NAME.fullmatch(column.name) is None:
            reasons.append(f"column {column.name!r} of {name} is no name in Avro; {_REMEDY}")
        else:
            fields.append(_field(column.name, kind, facts))
    if reasons:
        raise SetupError(f"--format avro cannot write {'. '.join(reasons)}")
    return _of_fields(fields, facts.key, topic)


def _about_key(relation: Relation, facts: TableFacts, name: str) -> list[str]:
    """Reasons why the key cannot be sent."""
    # A column list may leave out the key. Records would then have no key, so changes of one row
    # would be in several partitions, in no order.
    if missing := set(facts.key) - set(relation.names):
        return [
            f"{name} without {', '.join(sorted(missing))} of its key, which is not published;"
            " publish it, or use --format json"
        ]
    identity = {relation.names[place] for place in relation.key_positions}
    if identity and not identity.issuperset(facts.key):
        return [
            f"{name}, which has another REPLICA IDENTITY than its primary key, so that deletes come"
            f" without it; run ALTER TABLE {name} REPLICA IDENTITY FULL; or use --format json"
        ]
    return []


def _of_fields(
    fields: Sequence[AvroDefinition], key_names: Sequence[str], topic: str
) -> TopicSchemas:
    # The envelope of the harness's own table with other rows in it, so that one place defines the
    # parts around a row. A deep copy, because rows are inserted.
    value: AvroDefinition = copy.deepcopy(dict(customers_schemas(topic).value))
    known: set[str] = set()
    row_schema(value)["fields"][:] = [_each_record_once(field, known) for field in fields]
    types = {field["name"]: field["type"] for field in fields}
    place = namespace(topic)
    known = set()
    key = {
        "type": "record",
        "name": "Key",
        "namespace": place,
        "fields": [
            _each_record_once({"name": column, "type": types[column]}, known)
            for column in key_names
        ],
        "connect.name": f"{place}.Key",
    }
    return TopicSchemas(topic, key, value)


def _kind(column: RelationColumn, own: OwnType | None, intervals: str) -> AvroType | None:
    """The column's Avro type without NULL; None if Debezium has no exact one."""
    oid, modifier = column.type_oid, column.modifier
    if oid >= _FIRST_OWN:
        if own is None:
            return None
        # A domain counts as its base type, with the domain's own limit. A type that is still not
        # built in is an enum or an extension's type.
        if own.oid >= _FIRST_OWN:
            return _own_kind(own)
        oid, modifier = own.oid, own.modifier
    if oid == INTERVAL:
        return INTERVALS[intervals]
    if oid in ITEMS:
        return array_type(TYPES[ITEMS[oid]](modifier))
    make = TYPES.get(oid)
    if make is None:
        return None
    return with_source_type(make(modifier), oid, modifier, column.name)


def _own_kind(own: OwnType) -> AvroType | None:
    kind = enum_type(own.labels) if own.labels else TEXTS.get(own.name)
    return array_type(kind) if kind is not None and own.is_array else kind


def _type_name(column: RelationColumn, own: OwnType | None) -> str:
    if own is None:
        return f"of a type (OID {column.type_oid}) that the catalogue does not know now"
    return f"{own.name}{'[]' if own.is_array else ''}, which has no form there"


def _field(name: str, kind: AvroType, facts: TableFacts) -> AvroDefinition:
    if name in facts.not_null or name in facts.key:
        return {"name": name, "type": kind}
    return {"name": name, "type": ["null", kind], "default": None}


def _each_record_once(field: AvroDefinition, known: set[str]) -> AvroDefinition:
    """A record is defined where it occurs first, and named afterwards (Avro, "Names")."""
    return {**field, "type": _once(field["type"], known)}


def _once(kind: Any, known: set[str]) -> Any:
    if isinstance(kind, list):
        return [_once(branch, known) for branch in kind]
    if isinstance(kind, Mapping) and kind["type"] == "array":
        return {**kind, "items": _once(kind["items"], known)}
    # By identity: it is the one named record that several columns of a table may share.
    if kind is not VARIABLE_DECIMAL:
        return kind
    name = f"{kind['namespace']}.{kind['name']}"
    if name in known:
        return name
    known.add(name)
    return kind
