"""Faults of the source table under load: its shape, and statements that rewrite it."""

from __future__ import annotations

import time
from contextlib import closing
from typing import Any

import psycopg
from psycopg import Connection, sql

from infra.faults.fault import Fault, FaultGround

APPLICATION_NAME = "locust-cdc fault"
CONNECT_S = 10
#: A column that no writer knows, and the beginning of the name of one that is new each time.
ADDED, UNKNOWN = "added", "unknown_"
#: A column that every writer names.
RENAMED = "notes"
ALTERED, REWRITTEN = "somebody altered source table", "somebody emptied or rewrote source table"


def connect_source(ground: FaultGround, *, autocommit: bool = True) -> Connection[Any]:
    """A connection to the source's database, as the user of the stack."""
    return psycopg.connect(
        ground.endpoints.postgres_dsn,
        autocommit=autocommit,
        connect_timeout=CONNECT_S,
        application_name=APPLICATION_NAME,
    )


def execute(ground: FaultGround, *statements: sql.Composed) -> None:
    """Execute statements in the source's database, each in a transaction of its own."""
    with closing(connect_source(ground)) as connection:
        for statement in statements:
            connection.execute(statement)


def lock_writes(connection: Connection[Any], table: sql.Identifier) -> None:
    """Reads go on and writes wait; the lock ends with its transaction, or with this process."""
    connection.execute(sql.SQL("LOCK TABLE {} IN EXCLUSIVE MODE").format(table))


def source_table(ground: FaultGround) -> sql.Identifier:
    """The table that the load is written to."""
    return sql.Identifier(ground.objects.schema, ground.objects.tables[0])


def _add_column(ground: FaultGround, name: str = ADDED) -> None:
    execute(
        ground,
        sql.SQL("ALTER TABLE {} ADD COLUMN IF NOT EXISTS {} text").format(
            source_table(ground), sql.Identifier(name)
        ),
    )


def _drop_columns(ground: FaultGround, *names: str) -> None:
    drop = sql.SQL("ALTER TABLE IF EXISTS {} DROP COLUMN IF EXISTS {}")
    execute(ground, *(drop.format(source_table(ground), sql.Identifier(name)) for name in names))


def _drop_column(ground: FaultGround) -> None:
    _drop_columns(ground, ADDED)


def add_unknown_column(ground: FaultGround) -> None:
    """Add a column of a name that no schema has had, so that none in the registry fits."""
    _add_column(ground, f"{UNKNOWN}{time.time_ns()}")


def drop_unknown_columns(ground: FaultGround) -> None:
    """Drop every column of `add_unknown_column`, if the table is still there."""
    objects = ground.objects
    with closing(connect_source(ground)) as connection:
        found = connection.execute(
            "SELECT column_name FROM information_schema.columns WHERE table_schema = %s"
            " AND table_name = %s AND starts_with(column_name, %s)",
            (objects.schema, objects.tables[0], UNKNOWN),
        ).fetchall()
    _drop_columns(ground, *(name for (name,) in found))


def _widen_column(ground: FaultGround) -> None:
    execute(
        ground,
        sql.SQL("ALTER TABLE {} ALTER COLUMN balance TYPE numeric(14, 2)").format(
            source_table(ground)
        ),
    )


def _add_enum(ground: FaultGround) -> None:
    """Use a value as the default at once that the type did not have when it was first captured."""
    kind = sql.Identifier(ground.objects.schema, "level")
    execute(
        ground,
        sql.SQL("CREATE TYPE {} AS ENUM ('low')").format(kind),
        sql.SQL("ALTER TABLE {} ADD COLUMN level {} DEFAULT 'low'").format(
            source_table(ground), kind
        ),
        sql.SQL("ALTER TYPE {} ADD VALUE 'high'").format(kind),
        sql.SQL("ALTER TABLE {} ALTER COLUMN level SET DEFAULT 'high'").format(
            source_table(ground)
        ),
    )


def _drop_enum(ground: FaultGround) -> None:
    kind = sql.Identifier(ground.objects.schema, "level")
    execute(
        ground,
        sql.SQL("ALTER TABLE IF EXISTS {} DROP COLUMN IF EXISTS level").format(
            source_table(ground)
        ),
        sql.SQL("DROP TYPE IF EXISTS {}").format(kind),
    )


def _rename(ground: FaultGround, old: str, new: str) -> None:
    """Rename a column of the source table, if it still has that name."""
    named = "SELECT 1 FROM information_schema.columns WHERE table_schema = %s AND table_name = %s"
    schema, table = ground.objects.schema, ground.objects.tables[0]
    with closing(connect_source(ground)) as connection:
        if connection.execute(f"{named} AND column_name = %s", (schema, table, old)).fetchone():
            connection.execute(
                sql.SQL("ALTER TABLE {} RENAME COLUMN {} TO {}").format(
                    source_table(ground), sql.Identifier(old), sql.Identifier(new)
                )
            )


def _rename_column(ground: FaultGround) -> None:
    _rename(ground, RENAMED, f"{RENAMED}_renamed")


def _name_back(ground: FaultGround) -> None:
    _rename(ground, f"{RENAMED}_renamed", RENAMED)


def _vacuum(ground: FaultGround) -> None:
    execute(ground, sql.SQL("VACUUM FULL {}").format(source_table(ground)))


def _truncate(ground: FaultGround) -> None:
    execute(ground, sql.SQL("TRUNCATE {}").format(source_table(ground)))


TRUNCATE = Fault(
    "truncate-table",
    "Empties the source table (TRUNCATE) under load.",
    on="table",
    inject=_truncate,
    holds=False,
    needs=("database", "own table"),
    explains=(REWRITTEN,),
    lasting=True,
    empties=True,
    better="a capture and a sink that both take truncates (Debezium skips them unless"
    " skipped.operations is none)",
)
ADD_COLUMN = Fault(
    "add-column",
    "Adds a column to the source table under load, and drops it again.",
    on="table",
    inject=_add_column,
    heal=_drop_column,
    needs=("database", "own table"),
    explains=(ALTERED,),
    better="a compatibility mode of the registry that takes optional columns",
)
WIDEN_COLUMN = Fault(
    "widen-column",
    "Widens a numeric column of the source table under load.",
    on="table",
    inject=_widen_column,
    holds=False,
    needs=("database", "own table"),
    explains=(ALTERED, REWRITTEN),
    better="a sink whose columns have no narrower type than the source's",
)
ADD_ENUM = Fault(
    "add-enum-value",
    "Adds a column of an enumerated type, and then a value to the type, which rows use at once.",
    on="table",
    inject=_add_enum,
    heal=_drop_enum,
    needs=("database", "own table"),
    explains=(ALTERED, REWRITTEN),
    better="text columns with a check instead of enumerated types",
)
RENAME_COLUMN = Fault(
    "rename-column",
    "Renames a column of the source table, which every writer names, and names it back.",
    on="table",
    inject=_rename_column,
    heal=_name_back,
    needs=("database", "own table"),
    explains=(ALTERED,),
    stops_writers=True,
    better="expand and contract: a new column beside the old one, written by both releases of the"
    " writers, until nobody reads the old one",
)
VACUUM_FULL = Fault(
    "vacuum-full",
    "Rewrites the source table (VACUUM FULL), which writers wait for.",
    on="table",
    inject=_vacuum,
    holds=False,
    needs=("database", "own table"),
    explains=(REWRITTEN,),
    stops_writers=True,
    better="VACUUM without FULL, which locks nobody out",
)
