"""The tables of the Postgres sink: created where they are absent, looked at where they are
somebody else's.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from psycopg import AsyncConnection, sql

from infra.avro.kind import Column, ColumnKind
from infra.platform.process.error import ConfigError
from infra.platform.sinks.batch import Batch
from infra.platform.sinks.postgres.array import SQL_TYPES

#: The comment of a table that the sink has created, and may therefore alter.
MARKER = "locust-cdc: sink"
#: The version of a row that has no probe: the source's log position, or the event's offset.
VERSION = "cdc_version"
#: What the table of offsets has.
_OFFSETS = ("topic", "partition", "next_offset")

_COLUMNS = """
SELECT a.attname, format_type(a.atttypid, a.atttypmod),
       coalesce(a.attnum = ANY (i.indkey::int2[]), false), obj_description(c.oid, 'pg_class')
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN pg_index i ON i.indrelid = c.oid AND i.indisprimary
WHERE n.nspname = %s AND c.relname = %s ORDER BY a.attnum"""


@dataclass(frozen=True, slots=True)
class SinkTable:
    """A table as it is: each column's type, the primary key, and whether the sink created it."""

    types: dict[str, str]
    key: tuple[str, ...]
    own: bool


def identifier(schema: str, name: str) -> sql.Identifier:
    """A quoted, qualified name."""
    return sql.Identifier(schema, name)


async def read_table(connection: AsyncConnection, schema: str, name: str) -> SinkTable | None:
    """Look at a table; None where there is none, ConfigError where it has no primary key."""
    rows = await (await connection.execute(_COLUMNS, (schema, name))).fetchall()
    if not rows:
        return None
    key = tuple(column for column, _, in_key, _ in rows if in_key)
    if not key:
        raise ConfigError(
            f"table {schema}.{name} has no primary key, which upserts need; add one, or name"
            " another table"
        )
    return SinkTable({column: kind for column, kind, _, _ in rows}, key, rows[0][3] == MARKER)


async def create_table(
    connection: AsyncConnection, schema: str, name: str, batch: Batch, probe_column: str
) -> None:
    """Create the table that a batch needs, with the marker; raises ConfigError for events without
    keys.
    """
    if batch.key_reader is None:
        raise ConfigError(
            f"topic {batch.topic!r} has events without a key, so {schema}.{name} would have no"
            " primary key, which upserts need; give the source table a primary key"
        )
    columns = [
        sql.SQL("{} {}").format(sql.Identifier(column.name), _type(column))
        for column in batch.rows.columns
    ]
    if probe_column not in {column.name for column in batch.rows.columns}:
        columns.append(sql.SQL("{} bigint").format(sql.Identifier(VERSION)))
    key = sql.SQL(", ").join(sql.Identifier(column.name) for column in batch.key_reader.columns)
    columns.append(sql.SQL("PRIMARY KEY ({})").format(key))
    await _exclusively(
        connection,
        sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(schema)),
        sql.SQL("CREATE TABLE IF NOT EXISTS {} ({})").format(
            identifier(schema, name), sql.SQL(", ").join(columns)
        ),
        sql.SQL("COMMENT ON TABLE {} IS {}").format(identifier(schema, name), sql.Literal(MARKER)),
    )


async def add_columns(
    connection: AsyncConnection, schema: str, name: str, columns: Sequence[Column]
) -> None:
    """Follow a source table that has got more columns."""
    add = sql.SQL("ALTER TABLE {} ADD COLUMN IF NOT EXISTS {} {}")
    await _exclusively(
        connection,
        *(
            add.format(identifier(schema, name), sql.Identifier(column.name), _type(column))
            for column in columns
        ),
    )


async def create_offsets(connection: AsyncConnection, schema: str, name: str) -> None:
    """Create the table of each partition's next offset;

    ConfigError where something else has its name.
    """
    table = identifier(schema, name)
    async with _alone(connection):
        rows = await (await connection.execute(_COLUMNS, (schema, name))).fetchall()
        if rows:
            _check_offsets(schema, name, tuple(row[0] for row in rows), rows[0][3])
            return
        await connection.execute(
            sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(schema))
        )
        await connection.execute(
            sql.SQL(
                "CREATE TABLE {} (topic text, partition int, next_offset bigint NOT NULL, "
                "PRIMARY KEY (topic, partition)) WITH (fillfactor = 50)"
            ).format(table)
        )
        await connection.execute(
            sql.SQL("COMMENT ON TABLE {} IS {}").format(table, sql.Literal(MARKER))
        )


def _check_offsets(schema: str, name: str, columns: tuple[str, ...], comment: str | None) -> None:
    if columns != _OFFSETS or comment != MARKER:
        raise ConfigError(
            f"{schema}.{name}, where the sink keeps its offsets, is not a table of the sink's own;"
            " rename it, or name another table"
        )


def _type(column: Column) -> sql.SQL:
    kind = SQL_TYPES[column.kind]
    if (
        column.kind is ColumnKind.DECIMAL
        and column.precision is not None
        and column.precision <= 1000
    ):
        kind = f"numeric({column.precision}, {column.scale})"
    return sql.SQL(kind)


async def _exclusively(connection: AsyncConnection, *statements: sql.Composed) -> None:
    async with _alone(connection):
        for statement in statements:
            await connection.execute(statement)


@asynccontextmanager
async def _alone(connection: AsyncConnection) -> AsyncIterator[None]:
    """One transaction, one instance at a time:

    IF NOT EXISTS alone fails when two create at once.
    """
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock(hashtext('locust-cdc sink'))")
        yield
