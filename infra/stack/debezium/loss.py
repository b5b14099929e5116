"""The values that Debezium's connector for PostgreSQL does not send, or changes, by the column's
type. Pure.

This table holds observations (docs/fidelity.md, whose test compares the table with what it
observes): with the connector's defaults, release 3.6.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from infra.postgres.catalog import CatalogColumn, CatalogType

#: Types of which every value is sent exactly.
_SENT = frozenset(
    {"boolean", "smallint", "integer", "bigint", "oid", "real", "double precision", "money"}
    | {"text", "character varying", "character", "bpchar", '"char"', "bytea", "uuid", "json"}
    | {"jsonb", "xml", "date", "timestamp without time zone", "timestamp with time zone"}
    | {"time without time zone", "bit", "inet", "cidr", "macaddr", "macaddr8", "point"}
    | {"tsvector", "int4range", "int8range", "numrange", "tsrange", "tstzrange", "daterange"}
    | {"citext", "hstore", "ltree", "geometry", "geography"}
)
_NOT_A_NUMBER = "NaN and the infinities come as NULL"
#: Types of which some values are changed, and how.
_CHANGED: Mapping[str, str] = {
    "numeric": _NOT_A_NUMBER,
    "time with time zone": "comes in UTC, without its offset, 24:00 as 00:00",
    "interval": "a month comes as 30.44 days",
    "bit varying": "comes without its leading zeros",
}
#: Item types that are sent in arrays of one dimension.
_ITEMS = _SENT - {"money", "xml", "bit", "point", "tsvector", "hstore", "geometry", "geography"} | {
    "numeric",
    "time with time zone",
}
_NESTED = "an array of arrays comes as NULLs"
_CHANGED_ITEMS: Mapping[str, str] = {
    "numeric": "one with NaN or an infinity comes as NULL",
    "time with time zone": "times come in UTC",
    "time without time zone": "24:00 comes as 00:00",
    "date": "dates before Christ come as if they were after",
    "timestamp without time zone": "timestamps before Christ come two days off",
}


def is_never_sent(kind: CatalogType) -> bool:
    """Whether every value of this type arrives as NULL, or the column does not arrive at all."""
    if kind.item is not None:
        return not kind.item.labels and _name(kind.item) not in _ITEMS
    return not kind.labels and _name(kind) not in _SENT and _name(kind) not in _CHANGED


def changed_values(kind: CatalogType) -> str:
    """The values of this type that arrive changed, and how; empty if there are none."""
    if kind.item is None:
        return _CHANGED.get(_name(kind), "")
    if kind.item.labels:
        return f"one with NULL comes as NULL, {_NESTED}"
    more = _CHANGED_ITEMS.get(_name(kind.item), "")
    return f"{more}, {_NESTED}" if more else _NESTED


def hides_null(column: CatalogColumn) -> bool:
    """Whether NULL arrives as another value: as the column's default. Kafka Connect sends the
    default in place of NULL (KIP-581), and Apicurio's Avro converter has no setting against that.
    If the default is a function such as now(), Debezium uses the zero of the type.
    """
    return not column.required and bool(column.default) and column.type.item is None


def _changes(column: CatalogColumn) -> str:
    changed = changed_values(column.type)
    if not hides_null(column):
        return changed
    null = (
        f"NULL, which a run does not write there, comes as its default, {column.default}, or as the"
        " zero of its type"
    )
    return f"{changed}, {null}" if changed else null


def loss_notes(table: str, columns: Sequence[CatalogColumn]) -> Iterator[str]:
    """Notes of a run on this table: columns that no event has, and values that arrive changed."""
    lost = [c for c in columns if not c.generated and is_never_sent(c.type)]
    if lost:
        named = ", ".join(f"{column.name} ({column.declared})" for column in lost)
        yield (
            f"{table}: Debezium never sends {named}, so no sink behind it can have them"
            " (docs/fidelity.md)"
        )
    changed = [
        f"{column.name} ({column.declared}: {how})"
        for column in columns
        if not column.generated and not is_never_sent(column.type) and (how := _changes(column))
    ]
    if changed:
        yield f"{table}: Debezium changes some values of {'; '.join(changed)} (docs/fidelity.md)"


def _name(kind: CatalogType) -> str:
    """The type's name without the schema, which the name of an extension's type may have."""
    return kind.name.rpartition(".")[2]
