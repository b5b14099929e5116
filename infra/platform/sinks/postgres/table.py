"""The sink's own tables: created if they are absent, and altered as their source is.

The sink never alters any other table.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import psycopg
import structlog
from psycopg import AsyncConnection, sql

from infra.avro.kind import Column
from infra.platform.process.error import TableRefusedError
from infra.platform.sinks.postgres.catalogue import LEFT_BEHIND, MARKER, SinkTable
from infra.platform.sinks.postgres.own_type import dropped, followed_type, own_type
from infra.platform.sinks.postgres.plan import VERSION

logger = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class TableNeed:
    """The table that the events need: its columns, its key, and the column of the probe."""

    columns: Sequence[Column]
    key: Sequence[str]
    probe_column: str


def identifier(schema: str, name: str) -> sql.Identifier:
    """A quoted, qualified name."""
    return sql.Identifier(schema, name)


async def create_table(
    connection: AsyncConnection, schema: str, name: str, need: TableNeed
) -> None:
    """Create the table that the events need, with the marker."""
    declared = [
        sql.SQL("{} {}").format(sql.Identifier(column.name), sql.SQL(own_type(column)))
        for column in need.columns
    ]
    if not {need.probe_column, VERSION} & {column.name for column in need.columns}:
        declared.append(sql.SQL("{} bigint").format(sql.Identifier(VERSION)))
    declared.append(sql.SQL("PRIMARY KEY ({})").format(_names(need.key)))
    table = identifier(schema, name)
    async with alone(connection):
        await connection.execute(
            sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(schema))
        )
        await connection.execute(
            sql.SQL("CREATE TABLE IF NOT EXISTS {} ({})").format(
                table, sql.SQL(", ").join(declared)
            )
        )
        await connection.execute(
            sql.SQL("COMMENT ON TABLE {} IS {}").format(table, sql.Literal(MARKER))
        )


async def note_dropped(
    connection: AsyncConnection, schema: str, name: str, target: SinkTable, need: TableNeed
) -> None:
    """Note at the columns themselves which of them the source no longer has, and which it has
    again. They keep their rows' values.
    """
    gone, back = dropped(need.columns, target.columns)
    for column, comment in [*((one, LEFT_BEHIND) for one in gone), *((one, None) for one in back)]:
        await connection.execute(
            sql.SQL("COMMENT ON COLUMN {} IS {}").format(
                sql.Identifier(schema, name, column), sql.Literal(comment)
            )
        )


async def follow(
    connection: AsyncConnection, schema: str, name: str, target: SinkTable, need: TableNeed
) -> None:
    """Alter a table of the sink's own as its source was altered: more columns, wider ones, another
    key. Raises TableRefusedError if the existing rows do not allow that.
    """
    changes = list(_changes(target, need))
    if not changes:
        return
    try:
        async with alone(connection):
            if set(need.key) != set(target.key):
                await _drop_key(connection, identifier(schema, name))
            statement = sql.SQL("ALTER TABLE {} {}").format(
                identifier(schema, name), sql.SQL(", ").join(changes)
            )
            await connection.execute(statement)
    except (psycopg.DataError, psycopg.IntegrityError) as error:
        raise TableRefusedError(
            f"table {schema}.{name} cannot follow its source: its rows do not allow"
            f" {', '.join(change.as_string(None) for change in changes)}: {str(error).strip()};"
            " alter it, or name another table"
        ) from error
    logger.info(
        "platform.table.followed",
        table=f"{schema}.{name}",
        changes=[change.as_string(None) for change in changes],
    )


def _changes(target: SinkTable, need: TableNeed) -> Iterator[sql.Composed]:
    for column in need.columns:
        place = sql.Identifier(column.name)
        there = target.columns.get(column.name)
        if there is None:
            made = own_type(column)
            yield sql.SQL("ADD COLUMN IF NOT EXISTS {} {}{}").format(
                place, sql.SQL(made), _default(column, made)
            )
        elif kind := followed_type(column, there):
            yield sql.SQL("ALTER COLUMN {0} TYPE {1} USING {0}::{1}").format(place, sql.SQL(kind))
    if set(need.key) != set(target.key):
        yield sql.SQL("ADD PRIMARY KEY ({})").format(_names(need.key))


def _default(column: Column, kind: str) -> sql.Composable:
    """The value of a new column in older rows: no event reports it."""
    value = column.default
    if value is None:
        return sql.SQL("")
    if kind.startswith("bit("):
        octets = bytes([value]) if isinstance(value, bool) else value
        value = f"{int.from_bytes(octets, 'little'):0{column.bits or 1}b}"
    return sql.SQL(" DEFAULT {}::{}").format(sql.Literal(value), sql.SQL(kind))


async def _drop_key(connection: AsyncConnection, table: sql.Identifier) -> None:
    """Drop the key in the transaction that adds another one; a row that violates the new key undoes
    both.
    """
    query = "SELECT conname FROM pg_constraint WHERE conrelid = %s::regclass AND contype = 'p'"
    found = await (await connection.execute(query, (table.as_string(None),))).fetchone()
    if found is not None:
        await connection.execute(
            sql.SQL("ALTER TABLE {} DROP CONSTRAINT {}").format(table, sql.Identifier(found[0]))
        )


def _names(names: Sequence[str]) -> sql.Composed:
    return sql.SQL(", ").join(map(sql.Identifier, names))


@asynccontextmanager
async def alone(connection: AsyncConnection) -> AsyncIterator[None]:
    """One transaction, which only one instance runs at a time.

    IF NOT EXISTS alone fails if two instances create the table at once.
    """
    async with connection.transaction():
        await connection.execute("SET LOCAL statement_timeout = 0")
        await connection.execute("SELECT pg_advisory_xact_lock(hashtext('locust-cdc sink'))")
        yield
