"""Facts about a table that the catalogue has and the stream does not: its key, its NULLs, and types
that are not built in.

The catalogue shows the present. Tables are asked for by OID, because another table may have the
same name now.
"""

from __future__ import annotations

from collections.abc import Collection

from infra.platform.wal.replication.slot import all_rows, first_row
from infra.platform.wal.serialise.table_schema import OwnType, TableFacts
from infra.replication.limited import LimitedConnection
from infra.replication.pgoutput.event import Relation, RelationColumn


def primary_key(connection: LimitedConnection, oid: int) -> tuple[str, ...]:
    """The columns of a table's primary key in the key's order; empty if it has none."""
    rows = all_rows(
        connection,
        "SELECT a.attname FROM pg_index i, unnest(i.indkey) WITH ORDINALITY k(number, place),"
        " pg_attribute a WHERE i.indrelid = %s::int8::oid AND i.indisprimary AND"
        " a.attrelid = i.indrelid AND a.attnum = k.number ORDER BY k.place",
        (oid,),
    )
    return tuple(str(name) for (name,) in rows)


def unique_key(connection: LimitedConnection, oid: int) -> tuple[str, ...]:
    """The columns of a table's first unique index, by name, whose values are never NULL; empty if
    there is none. Debezium uses it as the key of a table without a primary key.
    """
    rows = all_rows(
        connection,
        "SELECT array_agg(a.attname::text ORDER BY k.place) FROM pg_index i JOIN pg_class c ON"
        " c.oid = i.indexrelid, unnest(i.indkey) WITH ORDINALITY k(number, place), pg_attribute a"
        " WHERE i.indrelid = %s::int8::oid AND i.indisunique AND i.indisvalid AND i.indimmediate"
        " AND i.indpred IS NULL AND i.indexprs IS NULL AND k.place <= i.indnkeyatts"
        " AND a.attrelid = i.indrelid AND a.attnum = k.number"
        " GROUP BY c.relname HAVING bool_and(a.attnotnull) ORDER BY c.relname LIMIT 1",
        (oid,),
    )
    return tuple(rows[0][0]) if rows else ()


def table_facts(connection: LimitedConnection, oid: int, key: tuple[str, ...]) -> TableFacts:
    """A table's facts for its schemas; `key` is known already."""
    return TableFacts(key, _not_null(connection, oid), _own_types(connection, oid))


def _not_null(connection: LimitedConnection, oid: int) -> frozenset[str]:
    rows = all_rows(
        connection,
        "SELECT attname FROM pg_attribute WHERE attrelid = %s::int8::oid AND attnum > 0"
        " AND attnotnull AND NOT attisdropped",
        (oid,),
    )
    return frozenset(str(name) for (name,) in rows)


#: A domain may be based on another domain. For an array its item's type is looked up.
_TYPES = """
WITH RECURSIVE base (name, oid, modifier) AS (
  SELECT attname, atttypid, atttypmod FROM pg_attribute
   WHERE attrelid = %s::int8::oid AND attnum > 0 AND NOT attisdropped
  UNION ALL
  SELECT base.name, t.typbasetype, t.typtypmod FROM base JOIN pg_type t USING (oid)
   WHERE t.typtype = 'd')
SELECT base.name, base.oid::int8, base.modifier, item.typname, item.oid <> t.oid,
       coalesce((SELECT array_agg(enumlabel::text ORDER BY enumsortorder) FROM pg_enum
                  WHERE enumtypid = item.oid), '{}')
  FROM base JOIN pg_type t USING (oid) JOIN pg_type item
       ON item.oid = CASE WHEN t.typcategory = 'A' AND t.typelem <> 0 THEN t.typelem
                          ELSE t.oid END
 WHERE t.typtype <> 'd'"""


def _own_types(connection: LimitedConnection, oid: int) -> dict[str, OwnType]:
    return {
        str(name): OwnType(number, modifier, kind, is_array, tuple(labels))
        for name, number, modifier, kind, is_array, labels in all_rows(connection, _TYPES, (oid,))
    }


def table_relation(
    connection: LimitedConnection, oid: int, published: Collection[str]
) -> Relation | None:
    """A table as the server will describe it, with the `published` columns if these are known; None
    if the table is gone.
    """
    head = first_row(
        connection,
        "SELECT nspname, relname, relreplident::text FROM pg_class c JOIN pg_namespace n"
        " ON n.oid = relnamespace WHERE c.oid = %s::int8::oid",
        (oid,),
    )
    rows = all_rows(
        connection,
        "SELECT attname, atttypid::int8, atttypmod, coalesce(attnum = ANY (i.indkey), false)"
        " FROM pg_attribute LEFT JOIN pg_class c ON c.oid = attrelid"
        " LEFT JOIN pg_index i ON i.indrelid = attrelid AND CASE c.relreplident WHEN 'i' THEN"
        " i.indisreplident WHEN 'd' THEN i.indisprimary ELSE false END"
        " WHERE attrelid = %s::int8::oid AND attnum > 0 AND NOT attisdropped"
        " AND (attgenerated = '' OR attname = ANY (%s)) ORDER BY attnum",
        (oid, list(published)),
    )
    if head is None:
        return None
    schema, table, identity = head
    columns = tuple(
        RelationColumn(name, kind, modifier, is_key or identity == "f")
        for name, kind, modifier, is_key in rows
        if not published or name in published
    )
    return Relation(oid, schema, table, identity, columns)
