"""A table's catalog entry: columns with their types, keys, checks and references.

Only reads. Types of domains, enums and arrays are resolved down to built-in ones (PostgreSQL
documentation, "System Catalogs").
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

from psycopg import Connection

from infra.postgres.table import Table, TableError

ReplicaIdentity = Literal["default", "nothing", "full", "index"]
#: By pg_class.relreplident.
REPLICA_IDENTITIES: dict[str, ReplicaIdentity] = {
    "d": "default",
    "n": "nothing",
    "f": "full",
    "i": "index",
}
#: Of extensions' types also words: geometry(Point,4326).
_MODIFIER = re.compile(r"\(([^()\"]+)\)")
_INTEGER = re.compile(r"-?\d+")


@dataclass(frozen=True, slots=True)
class CatalogType:
    """A column's type: the base type's name without its modifier, and the modifier's numbers.

    An enum has `labels`, an array an `item`; `checks` and `required` come from domains on the way.
    """

    name: str
    modifiers: tuple[int, ...] = ()
    labels: tuple[str, ...] = ()
    item: CatalogType | None = None
    checks: tuple[str, ...] = ()
    required: bool = False


@dataclass(frozen=True, slots=True)
class CatalogColumn:
    """One column; `identity` is `always` or `by default` where it has one, `default` its text."""

    name: str
    type: CatalogType
    declared: str
    required: bool
    default: str = ""
    identity: str = ""
    generated: bool = False


@dataclass(frozen=True, slots=True)
class CatalogReference:
    """A foreign key: columns of this table, and the columns that they refer to."""

    name: str
    columns: tuple[str, ...]
    table: Table
    referred: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CatalogTable:
    """A table as the catalog has it.

    `uniques` are the columns of each unique index but the primary key; `checks` are definitions as
    PostgreSQL writes them, with the columns that they name; `exclusions` likewise.
    `identity_columns` is the index of REPLICA IDENTITY USING INDEX.
    """

    table: Table
    columns: tuple[CatalogColumn, ...]
    key: tuple[str, ...]
    uniques: tuple[tuple[str, ...], ...]
    checks: tuple[tuple[str, tuple[str, ...]], ...]
    exclusions: tuple[str, ...]
    references: tuple[CatalogReference, ...]
    replica_identity: ReplicaIdentity
    identity_columns: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """SCHEMA.TABLE."""
        return f"{self.table.schema}.{self.table.name}"


def read_table(connection: Connection[Any], table: Table) -> CatalogTable:
    """The catalog's description of a table; raises TableError if it does not exist."""
    found = connection.execute(_TABLE, (table.schema, table.name)).fetchone()
    if found is None:
        raise TableError(
            f"table {table.schema}.{table.name} does not exist; create it, or name another by"
            " --table"
        )
    oid, identity = found
    indexes = connection.execute(_INDEXES, (oid,)).fetchall()
    key = next((tuple(columns) for primary, _, columns in indexes if primary), ())
    return CatalogTable(
        table=table,
        columns=_columns(connection, oid),
        key=key,
        uniques=tuple(tuple(columns) for primary, _, columns in indexes if not primary),
        checks=tuple((text, tuple(names)) for text, names in _constraints(connection, oid, "c")),
        exclusions=tuple(text for text, _ in _constraints(connection, oid, "x")),
        references=_references(connection, oid),
        replica_identity=REPLICA_IDENTITIES[identity],
        identity_columns=next((tuple(names) for _, chosen, names in indexes if chosen), ()),
    )


_TABLE = """
SELECT c.oid, c.relreplident::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = %s AND c.relname = %s AND c.relkind IN ('r', 'p')"""
# An index over expressions depends on their columns, which indkey does not list; it does list
# columns that are only INCLUDEd.
_INDEXES = """
SELECT i.indisprimary, i.indisreplident, ARRAY(
    SELECT a.attname::text FROM pg_attribute a
    LEFT JOIN unnest(i.indkey::int2[]) WITH ORDINALITY AS k(number, place) ON k.number = a.attnum
    WHERE a.attrelid = i.indrelid AND (k.place <= i.indnkeyatts OR k.place IS NULL AND EXISTS (
        SELECT 1 FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = i.indexrelid
        AND d.refobjid = i.indrelid AND d.refobjsubid = a.attnum))
    ORDER BY k.place NULLS LAST)
FROM pg_index i WHERE i.indrelid = %s AND i.indisunique ORDER BY i.indexrelid"""
_COLUMNS = """
SELECT a.attname::text, a.atttypid, a.atttypmod, format_type(a.atttypid, a.atttypmod),
    a.attnotnull, coalesce(pg_get_expr(d.adbin, d.adrelid), ''), a.attidentity::text,
    a.attgenerated::text <> ''
FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE a.attrelid = %s AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum"""
_TYPE = """
SELECT t.typtype::text, t.typbasetype, t.typtypmod, t.typnotnull,
    CASE WHEN t.typcategory = 'A' THEN t.typelem ELSE 0 END, format_type(t.oid, %s),
    ARRAY(SELECT e.enumlabel::text FROM pg_enum e WHERE e.enumtypid = t.oid
        ORDER BY e.enumsortorder),
    ARRAY(SELECT pg_get_constraintdef(c.oid) FROM pg_constraint c WHERE c.contypid = t.oid
        AND c.contype = 'c')
FROM pg_type t WHERE t.oid = %s"""
_CONSTRAINTS = """
SELECT pg_get_constraintdef(c.oid), ARRAY(SELECT a.attname::text FROM pg_attribute a
    WHERE a.attrelid = c.conrelid AND a.attnum = ANY(c.conkey))
FROM pg_constraint c WHERE c.conrelid = %s AND c.contype = %s ORDER BY c.conname"""
_REFERENCES = """
SELECT c.conname::text, n.nspname::text, r.relname::text,
    ARRAY(SELECT a.attname::text FROM unnest(c.conkey) WITH ORDINALITY AS k(number, place)
        JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.number ORDER BY k.place),
    ARRAY(SELECT a.attname::text FROM unnest(c.confkey) WITH ORDINALITY AS k(number, place)
        JOIN pg_attribute a ON a.attrelid = c.confrelid AND a.attnum = k.number ORDER BY k.place)
FROM pg_constraint c JOIN pg_class r ON r.oid = c.confrelid
JOIN pg_namespace n ON n.oid = r.relnamespace
WHERE c.conrelid = %s AND c.contype = 'f' AND c.conparentid = 0 ORDER BY c.conname"""
_WORDS = {"a": "always", "d": "by default"}


def _columns(connection: Connection[Any], oid: int) -> tuple[CatalogColumn, ...]:
    found = []
    for row in connection.execute(_COLUMNS, (oid,)).fetchall():
        name, type_oid, modifier, declared, required, default, identity, generated = row
        kind = _type(connection, type_oid, modifier)
        found.append(
            CatalogColumn(
                name=name,
                type=kind,
                declared=declared,
                required=required or kind.required,
                default="" if generated else default,
                identity=_WORDS.get(identity, ""),
                generated=generated,
            )
        )
    return tuple(found)


def _type(connection: Connection[Any], oid: int, modifier: int) -> CatalogType:
    row = connection.execute(_TYPE, (modifier, oid)).fetchone()
    assert row is not None
    letter, base, base_modifier, required, item, text, labels, checks = row
    if letter == "d":
        below = _type(connection, base, base_modifier)
        return CatalogType(
            below.name,
            below.modifiers,
            below.labels,
            below.item,
            (*below.checks, *checks),
            required or below.required,
        )
    name, modifiers = named(text)
    if item:
        return CatalogType(name, item=_type(connection, item, modifier))
    return CatalogType(name, modifiers, tuple(labels))


def named(text: str) -> tuple[str, tuple[int, ...]]:
    """A type's name and its modifier's numbers: `timestamp(3) with time zone` is `timestamp with
    time zone` and 3.
    """
    found = _MODIFIER.search(text)
    if found is None or text.count('"', 0, found.start()) % 2:  # a name may have brackets
        return text, ()
    parts = [part.strip() for part in found[1].split(",")]
    numbers = tuple(int(part) for part in parts if _INTEGER.fullmatch(part))
    return text[: found.start()] + text[found.end() :], numbers


def _constraints(
    connection: Connection[Any], oid: int, kind: str
) -> list[tuple[str, tuple[str, ...]]]:
    return connection.execute(_CONSTRAINTS, (oid, kind)).fetchall()


def _references(connection: Connection[Any], oid: int) -> tuple[CatalogReference, ...]:
    return tuple(
        CatalogReference(name, tuple(columns), Table(schema, table), tuple(referred))
        for name, schema, table, columns, referred in connection.execute(
            _REFERENCES, (oid,)
        ).fetchall()
    )
