"""Faults of the replication slot: its reader, the slot itself, and the WAL that it needs."""

from __future__ import annotations

import time
from contextlib import closing
from typing import Any

import psycopg
from psycopg import Connection, sql

from infra.faults.catalogue.beside import drop_beside, idle_in_transaction, write_beside
from infra.faults.catalogue.database import connect_source, execute
from infra.faults.catalogue.process import CAPTURE, REPEATS_S
from infra.faults.fault import Fault, FaultGround
from infra.stack.error import StackError

DROP_S, POLL_S = 10.0, 0.01
INVALID_S = 30.0

_READER = sql.SQL("SELECT active_pid FROM pg_replication_slots WHERE slot_name = {}")


def _end_walsender(ground: FaultGround) -> None:
    slot = sql.Literal(ground.objects.slot)
    execute(
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


def _keep_wal(ground: FaultGround) -> None:
    with closing(connect_source(ground)) as connection:
        connection.execute("ALTER SYSTEM RESET max_slot_wal_keep_size")
        connection.execute("SELECT pg_reload_conf()")
    drop_beside(ground)


def _invalidate_slot(ground: FaultGround) -> None:
    """An open transaction keeps the slot from advancing; WAL is then written until a checkpoint
    removes what the slot needs.
    """
    idle_in_transaction(ground)
    beside = write_beside(5_000, 1_000, ground)
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
