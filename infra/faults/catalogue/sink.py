"""Faults of the table that the platform writes to, by other sessions."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from contextlib import closing
from itertools import cycle
from threading import Event
from typing import Any

import psycopg
from psycopg import Connection, sql

from infra.faults.catalogue.database import APPLICATION_NAME, CONNECT_S, lock_writes
from infra.faults.catalogue.process import REPEATS_S
from infra.faults.fault import Fault, FaultGround

POLL_S, PATIENCE_S = 0.01, 1.0
#: The server ends the session that has waited this long and finds a deadlock; that must be the
#: platform's.
LAST_TO_ASK = "SET deadlock_timeout = '10min'"
_WAITS_FOR_US = "SELECT 1 FROM pg_locks WHERE pg_backend_pid() = ANY (pg_blocking_pids(pid))"


def _connect(ground: FaultGround) -> Connection[Any]:
    return psycopg.connect(
        ground.endpoints.sink or ground.endpoints.postgres_dsn,
        connect_timeout=CONNECT_S,
        application_name=APPLICATION_NAME,
    )


def _lock_table(ground: FaultGround) -> None:
    connection = ground.held.enter_context(closing(_connect(ground)))
    lock_writes(connection, sql.Identifier(*ground.objects.sink_table.split(".")))


def _deadlock(ground: FaultGround) -> None:
    """Until it is undone, lock what the platform's next statement waits for, and then what that
    statement has.

    One statement writes the sink's table and the table of its offsets; both orders are tried to
    find out which it locks first.
    """
    schema, table = ground.objects.sink_table.split(".")
    pair = sql.Identifier(schema, table), sql.Identifier(schema, f"{table}_offsets")
    orders = cycle((pair, pair[::-1]))
    connection = ground.held.enter_context(closing(_connect(ground)))
    with contextlib.suppress(psycopg.errors.InsufficientPrivilege):  # then we may be ended, too
        connection.execute(LAST_TO_ASK)
    connection.commit()

    def cross(over: Event) -> None:
        try:
            _cross(connection, next(orders), over)
        except psycopg.errors.DeadlockDetected:
            pass
        finally:
            connection.rollback()

    ground.keep_on(cross, POLL_S)


def _cross(connection: Connection[Any], pair: Sequence[sql.Identifier], over: Event) -> None:
    """Lock the first of two tables, and the second as soon as a session waits for the first."""
    first, second = pair
    lock_writes(connection, first)
    deadline_s = time.monotonic() + PATIENCE_S
    while not connection.execute(_WAITS_FOR_US).fetchone():
        if over.is_set() or time.monotonic() > deadline_s:
            return
        time.sleep(POLL_S)
    lock_writes(connection, second)


LOCK_SINK = Fault(
    "lock-sink-table",
    "Locks the sink's table against writes (LOCK TABLE ... IN EXCLUSIVE MODE).",
    on="sink",
    inject=_lock_table,
    needs=("postgres sink",),
    repeats_s=REPEATS_S,
    better="lock_timeout of the other session; batches that are tried again",
)
DEADLOCK_SINK = Fault(
    "deadlock-sink",
    "Locks the sink's two tables in the order in which the platform does not, again and again, so"
    " that the server ends its transactions (40P01, deadlock detected).",
    on="sink",
    inject=_deadlock,
    needs=("reference postgres sink",),
    repeats_s=REPEATS_S,
    better="one order of locks for all; batches that are tried again as a whole; deadlock_timeout"
    " decides when it is noticed",
)
