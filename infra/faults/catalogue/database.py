"""Faults of the source database under load."""

from __future__ import annotations

import time
from contextlib import closing
from typing import Any

import psycopg
from psycopg import Connection, sql

from infra.faults.catalogue.process import CAPTURE, REPEATS_S
from infra.faults.fault import Fault, FaultGround
from infra.stack.error import StackError

APPLICATION_NAME = "locust-cdc fault"
CONNECT_S = 10
DROP_S, POLL_S = 10.0, 0.01
INVALID_S = 30.0
#: The rows of the transaction beside the load.
BIG_ROWS = 1_000_000
SIDE_TABLE = "beside"
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


def _execute(ground: FaultGround, *statements: sql.Composed) -> None:
    with closing(connect_source(ground)) as connection:
        for statement in statements:
            connection.execute(statement)


def _table(ground: FaultGround) -> sql.Identifier:
    return sql.Identifier(ground.objects.schema, ground.objects.tables[0])


def _side_table(ground: FaultGround) -> sql.Identifier:
    """A table of the run's schema that nobody captures."""
    return sql.Identifier(ground.objects.schema, SIDE_TABLE)


_READER = sql.SQL("SELECT active_pid FROM pg_replication_slots WHERE slot_name = {}")


def _end_walsender(ground: FaultGround) -> None:
    slot = sql.Literal(ground.objects.slot)
    _execute(
        ground,
        sql.SQL("SELECT pg_terminate_backend(pid) FROM ({}) AS reader(pid)").format(
            _READER.format(slot)
        ),
    )


def _drop_slot(ground: FaultGround) -> None:
    """Its reader returns within milliseconds, so repeat until the slot is free for a moment."""
    slot, deadline_s = sql.Literal(ground.objects.slot), time.monotonic() + DROP_S
    with closing(connect_source(ground)) as connection:
        while True:
            reader = connection.execute(_READER.format(slot)).fetchone()
            if reader is None:
                return
            if reader[0]:
                connection.execute("SELECT pg_terminate_backend(%s)", (reader[0],))
            try:
                connection.execute(sql.SQL("SELECT pg_drop_replication_slot({})").format(slot))
            except psycopg.errors.ObjectInUse:
                if time.monotonic() > deadline_s:
                    raise
                time.sleep(POLL_S)


def _add_column(ground: FaultGround, name: str = ADDED) -> None:
    _execute(
        ground,
        sql.SQL("ALTER TABLE {} ADD COLUMN IF NOT EXISTS {} text").format(
            _table(ground), sql.Identifier(name)
        ),
    )


def _drop_columns(ground: FaultGround, *names: str) -> None:
    drop = sql.SQL("ALTER TABLE IF EXISTS {} DROP COLUMN IF EXISTS {}")
    _execute(ground, *(drop.format(_table(ground), sql.Identifier(name)) for name in names))


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
    _execute(
        ground,
        sql.SQL("ALTER TABLE {} ALTER COLUMN balance TYPE numeric(14, 2)").format(_table(ground)),
    )


def _add_enum(ground: FaultGround) -> None:
    """Use a value as the default at once that the type did not have when it was first captured."""
    kind = sql.Identifier(ground.objects.schema, "level")
    _execute(
        ground,
        sql.SQL("CREATE TYPE {} AS ENUM ('low')").format(kind),
        sql.SQL("ALTER TABLE {} ADD COLUMN level {} DEFAULT 'low'").format(_table(ground), kind),
        sql.SQL("ALTER TYPE {} ADD VALUE 'high'").format(kind),
        sql.SQL("ALTER TABLE {} ALTER COLUMN level SET DEFAULT 'high'").format(_table(ground)),
    )


def _drop_enum(ground: FaultGround) -> None:
    kind = sql.Identifier(ground.objects.schema, "level")
    _execute(
        ground,
        sql.SQL("ALTER TABLE IF EXISTS {} DROP COLUMN IF EXISTS level").format(_table(ground)),
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
                    _table(ground), sql.Identifier(old), sql.Identifier(new)
                )
            )


def _rename_column(ground: FaultGround) -> None:
    _rename(ground, RENAMED, f"{RENAMED}_renamed")


def _name_back(ground: FaultGround) -> None:
    _rename(ground, f"{RENAMED}_renamed", RENAMED)


def _vacuum(ground: FaultGround) -> None:
    _execute(ground, sql.SQL("VACUUM FULL {}").format(_table(ground)))


def _write_beside(ground: FaultGround) -> None:
    _execute(
        ground,
        sql.SQL("CREATE TABLE IF NOT EXISTS {} (id bigint, note text)").format(_side_table(ground)),
        sql.SQL(
            "INSERT INTO {} SELECT number, repeat('x', 100) FROM generate_series(1, {}) AS number"
        ).format(_side_table(ground), sql.Literal(BIG_ROWS)),
    )


def _drop_beside(ground: FaultGround) -> None:
    _execute(ground, sql.SQL("DROP TABLE IF EXISTS {}").format(_side_table(ground)))


def _truncate(ground: FaultGround) -> None:
    _execute(ground, sql.SQL("TRUNCATE {}").format(_table(ground)))


def _keep_wal(ground: FaultGround) -> None:
    with closing(connect_source(ground)) as connection:
        connection.execute("ALTER SYSTEM RESET max_slot_wal_keep_size")
        connection.execute("SELECT pg_reload_conf()")
    _drop_beside(ground)


def _invalidate_slot(ground: FaultGround) -> None:
    """An open transaction keeps the slot from advancing; WAL is then written until a checkpoint
    removes what the slot needs.
    """
    _idle_in_transaction(ground)
    beside = sql.SQL(
        "INSERT INTO {} SELECT number, repeat('x', 1000) FROM generate_series(1, 5000) AS number"
    ).format(_side_table(ground))
    deadline_s = time.monotonic() + INVALID_S
    with closing(connect_source(ground)) as connection:
        _keep_little_wal(connection, deadline_s)
        while _wal_status(connection, ground.objects.slot) != "lost":
            if time.monotonic() > deadline_s:
                raise StackError(f"slot {ground.objects.slot!r} is not invalid after {INVALID_S} s")
            connection.execute(beside)
            connection.execute("SELECT pg_switch_wal()")
            connection.execute("CHECKPOINT")


def _keep_little_wal(connection: Connection[Any], deadline_s: float) -> None:
    """Set the limit and return when it holds; raises StackError if it cannot be changed."""
    connection.execute("ALTER SYSTEM SET max_slot_wal_keep_size = '1MB'")
    connection.execute("SELECT pg_reload_conf()")
    asked = "SELECT setting, source FROM pg_settings WHERE name = 'max_slot_wal_keep_size'"
    while (found := connection.execute(asked).fetchone()) is None or found[0] != "1":
        source = "" if found is None else found[1]
        if source == "command line" or time.monotonic() > deadline_s:
            raise StackError(
                f"max_slot_wal_keep_size cannot be changed by ALTER SYSTEM (its source is"
                f" {source!r}); set it in the server's configuration file"
            )


def _wal_status(connection: Connection[Any], slot: str) -> str:
    found = connection.execute(
        "SELECT wal_status FROM pg_replication_slots WHERE slot_name = %s", (slot,)
    ).fetchone()
    return "lost" if found is None else str(found[0])


def _idle_in_transaction(ground: FaultGround) -> None:
    """Open a transaction that has written and does not end; it ends with this process."""
    _execute(
        ground,
        sql.SQL("CREATE TABLE IF NOT EXISTS {} (id bigint, note text)").format(_side_table(ground)),
    )
    connection = ground.held.enter_context(closing(connect_source(ground, autocommit=False)))
    connection.execute(sql.SQL("INSERT INTO {} VALUES (1, 'idle')").format(_side_table(ground)))


END_WALSENDER = Fault(
    "end-walsender",
    "Ends the connection that reads the replication slot (pg_terminate_backend).",
    on="slot",
    inject=_end_walsender,
    holds=False,
    needs=("database",),
    repeats_s=REPEATS_S,
    explains=(CAPTURE,),
    better="a short wait before the reader connects again (retriable.restart.connector.wait.ms)",
)
DROP_SLOT = Fault(
    "drop-slot",
    "Drops the replication slot under its reader; what was not read is gone.",
    on="slot",
    inject=_drop_slot,
    holds=False,
    needs=("database",),
    repeats_s=REPEATS_S,
    explains=(CAPTURE,),
    lasting=True,
    better="nothing: take a new snapshot; watch pg_replication_slots and keep rights to drop small",
)
INVALIDATE_SLOT = Fault(
    "invalidate-slot",
    "Has the server remove WAL that the slot still needs (max_slot_wal_keep_size).",
    on="slot",
    inject=_invalidate_slot,
    heal=_keep_wal,
    holds=False,
    needs=("stack", "database", "own table"),
    repeats_s=REPEATS_S,
    explains=(CAPTURE,),
    lasting=True,
    better="max_slot_wal_keep_size above what is written in the longest outage; an alarm on"
    " pg_replication_slots.wal_status and safe_wal_size",
)
TRUNCATE = Fault(
    "truncate-table",
    "Empties the source table (TRUNCATE) under load.",
    on="table",
    inject=_truncate,
    holds=False,
    needs=("database", "own table"),
    explains=(REWRITTEN,),
    lasting=True,
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
BIG_TRANSACTION = Fault(
    "big-transaction",
    f"Writes {BIG_ROWS:,} rows to a table that nobody captures, in one transaction.",
    on="wal",
    inject=_write_beside,
    heal=_drop_beside,
    holds=False,
    needs=("database", "own table"),
    better="logical_decoding_work_mem, or several smaller transactions: the slot's reader waits"
    " while the server decodes what it does not want",
)
IDLE_TRANSACTION = Fault(
    "idle-transaction",
    "Leaves a transaction open that has written a row.",
    on="wal",
    inject=_idle_in_transaction,
    heal=_drop_beside,
    needs=("database", "own table"),
    better="idle_in_transaction_session_timeout: WAL is retained from its beginning on",
)
