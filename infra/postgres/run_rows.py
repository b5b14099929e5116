"""What a run leaves in a table of the user's own, and how exactly that is removed."""

from __future__ import annotations

from typing import Any

import msgspec
from psycopg import Connection, sql

from infra.postgres.table import Table

#: Rows that are deleted by one statement.
BATCH_ROWS = 5000
#: A session that waits longer for a lock would make others wait behind it.
LOCK = "SET LOCAL lock_timeout = '5s'"


class RunRows(msgspec.Struct, frozen=True, kw_only=True):
    """The rows of one run in one table: their probe begins with `head`; if the key has a numeric
    column or a UUID of the run's own, `column` lies between `low` and `high`.
    """

    schema: str
    table: str
    key: tuple[str, ...]
    probe: str
    head: str
    column: str = ""
    low: str = ""
    high: str = ""

    def encode(self) -> str:
        """The text for a journal."""
        return msgspec.json.encode(self).decode()


class ProbeColumn(msgspec.Struct, frozen=True, kw_only=True):
    """A column that was added for the probe."""

    schema: str
    table: str
    column: str

    def encode(self) -> str:
        """The text for a journal."""
        return msgspec.json.encode(self).decode()


def add_probe_column(connection: Connection[Any], column: ProbeColumn) -> None:
    """Run one ALTER TABLE, which changes only the catalog, whatever the table's size."""
    _alter(connection, column, sql.SQL("ADD COLUMN {} text"))


def drop_probe_column(connection: Connection[Any], encoded: str) -> None:
    """Remove a column that was added; it may be gone already."""
    column = msgspec.json.decode(encoded, type=ProbeColumn)
    _alter(connection, column, sql.SQL("DROP COLUMN IF EXISTS {}"))


def _alter(connection: Connection[Any], column: ProbeColumn, action: sql.SQL) -> None:
    statement = sql.SQL("ALTER TABLE IF EXISTS {} ").format(
        sql.Identifier(column.schema, column.table)
    ) + action.format(sql.Identifier(column.column))
    with connection.transaction():
        connection.execute(LOCK)
        connection.execute(statement)


def delete_run_rows(connection: Connection[Any], encoded: str) -> int:
    """Delete a run's rows, by key and in batches, and no others; returns how many there were.

    A row needs both marks of the run: its probe, and a key of the run's. A table that is gone is
    fine.
    """
    rows = msgspec.json.decode(encoded, type=RunRows)
    if not _there(connection, Table(rows.schema, rows.table)):
        return 0
    table = sql.Identifier(rows.schema, rows.table)
    columns = sql.SQL(", ").join(map(sql.Identifier, rows.key))
    mine = _mine(rows)
    deleted = 0
    # The keys come from a cursor that outlives the batches' transactions.
    with connection.cursor("run_rows", withhold=True) as keys:
        keys.execute(
            sql.SQL("SELECT {}::text FROM {} WHERE {}").format(
                sql.SQL("::text, ").join(map(sql.Identifier, rows.key)), table, mine
            )
        )
        while batch := keys.fetchmany(BATCH_ROWS):
            chosen = sql.SQL(", ").join(
                sql.SQL("({})").format(sql.SQL(", ").join(map(sql.Literal, key))) for key in batch
            )
            statement = sql.SQL("DELETE FROM {} WHERE ({}) IN ({}) AND {}").format(
                table, columns, chosen, mine
            )
            deleted += connection.execute(statement.as_string().encode()).rowcount
    return deleted


def _mine(rows: RunRows) -> sql.Composable:
    mine: sql.Composable = sql.SQL("starts_with({}, {})").format(
        sql.Identifier(rows.probe), sql.Literal(rows.head)
    )
    if not rows.column:
        return mine
    return sql.SQL("{} AND {} BETWEEN {} AND {}").format(
        mine, sql.Identifier(rows.column), sql.Literal(rows.low), sql.Literal(rows.high)
    )


def _there(connection: Connection[Any], table: Table) -> bool:
    found = connection.execute(
        "SELECT 1 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE n.nspname = %s AND c.relname = %s",
        (table.schema, table.name),
    ).fetchone()
    return found is not None
