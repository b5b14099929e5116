"""Replication slots of a run; a forgotten slot would hold WAL until the disk is full."""

from __future__ import annotations

import time
from typing import Any

from psycopg import Connection

RELEASE_S = 10.0
POLL_S = 0.05


class SlotError(Exception):
    """A slot that cannot be dropped; the message names the process that holds it."""


def create_slot(connection: Connection[Any], name: str, *, failover: bool = False) -> None:
    """Create a logical slot for pgoutput; its publication must exist before it. With `failover`
    (PostgreSQL 17) standbys have it too.
    """
    wanted = ", failover => true" if failover else ""
    query = f"SELECT pg_create_logical_replication_slot(%s, 'pgoutput'{wanted})"
    with connection.cursor() as cursor:
        cursor.execute(query.encode(), (name,))


def drop_slot(connection: Connection[Any], name: str) -> None:
    """Drop a slot once its reader has let go; a reader that does not is terminated.

    None there is fine.
    """
    deadline_s = time.monotonic() + RELEASE_S
    while (holder := _holder(connection, name)) is not None:
        if holder == 0:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_drop_replication_slot(%s)", (name,))
            return
        if time.monotonic() > deadline_s:
            raise SlotError(
                f"slot {name!r} is active for pid {holder}; stop that process and drop the slot"
            )
        if time.monotonic() > deadline_s - RELEASE_S / 2:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_terminate_backend(%s)", (holder,))
        time.sleep(POLL_S)


def is_read(connection: Connection[Any], name: str) -> bool:
    """Whether a process reads the slot; False if there is no slot."""
    return bool(_holder(connection, name))


def _holder(connection: Connection[Any], name: str) -> int | None:
    """The pid that reads the slot, 0 if none does, None if there is no such slot."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT coalesce(active_pid, 0) FROM pg_replication_slots WHERE slot_name = %s", (name,)
        )
        row = cursor.fetchone()
        return None if row is None else int(row[0])
