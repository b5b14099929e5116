"""Slots and publications on the server: looked up, created, and removed if they are the reader's
own.

Each refusal names the SQL or the setting that corrects it. `requirement` checks whether a reader
can use them.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any, TypeAlias

import psycopg
from psycopg import sql

from infra.platform.process.error import UnreachableError
from infra.platform.wal.error import SetupError, SlotGoneError
from infra.replication.connection import limited_conninfo
from infra.replication.limited import LimitedConnection
from infra.replication.stream import lsn_number

PLUGIN = "pgoutput"
Row: TypeAlias = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Slot:
    """A replication slot as the server shows it."""

    name: str
    plugin: str
    database: str
    active_pid: int | None
    confirmed_lsn: int
    wal_status: str
    reason: str
    two_phase: bool = False
    temporary: bool = False
    synced: bool = False


def connect(dsn: str) -> LimitedConnection:
    """An autocommit connection; raises UnreachableError.

    The password, if any, comes from PGPASSWORD or PGPASSFILE.
    """
    try:
        # The catalogue's texts arrive as UTF-8, whatever the database's own encoding is.
        return LimitedConnection.connect(
            limited_conninfo(dsn, client_encoding="UTF8"), autocommit=True
        )
    except psycopg.Error as error:
        raise UnreachableError(
            f"Postgres does not answer: {str(error).strip()}; see --dsn"
        ) from error


def first_row(
    connection: LimitedConnection, query: str, arguments: Sequence[Any] | None = None
) -> Row | None:
    """The first row of a query's answer."""
    with connection.cursor() as cursor:
        cursor.execute(query.encode(), arguments)
        return cursor.fetchone()


def all_rows(
    connection: LimitedConnection, query: str, arguments: Sequence[Any] | None = None
) -> list[Row]:
    """All rows of a query's answer."""
    with connection.cursor() as cursor:
        cursor.execute(query.encode(), arguments)
        return cursor.fetchall()


def find_slot(connection: LimitedConnection, name: str) -> Slot | None:
    """The slot; None if there is none of that name."""
    # Through JSON, because these columns came with later versions: two_phase with 14, synced and
    # invalidation_reason with 17.
    row = first_row(
        connection,
        "SELECT plugin, database, active_pid, confirmed_flush_lsn::text, wal_status, "
        "coalesce(to_jsonb(s) ->> 'invalidation_reason', ''), "
        "coalesce((to_jsonb(s) ->> 'two_phase')::bool, false), temporary, "
        # It stays true on a standby that was promoted, where it says nothing.
        "coalesce((to_jsonb(s) ->> 'synced')::bool, false) AND pg_is_in_recovery() "
        "FROM pg_replication_slots s WHERE slot_name = %s",
        (name,),
    )
    if row is None:
        return None
    plugin, database, pid, confirmed, status, reason, *flags = row
    return Slot(
        name,
        plugin or "",
        database or "",
        pid,
        lsn_number(confirmed or "0/0"),
        status or "",
        reason,
        *flags,
    )


#: A standby writes no WAL; its slots can reach as far as it has replayed.
_LAG = """
SELECT pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()
                            ELSE pg_current_wal_lsn() END, confirmed_flush_lsn)::int8
  FROM pg_replication_slots WHERE slot_name = %s"""


def lag_bytes(connection: LimitedConnection, name: str) -> int | None:
    """Bytes of WAL between the server's position and the slot's; None if there is no such slot."""
    row = first_row(connection, _LAG, (name,))
    return None if row is None or row[0] is None else int(row[0])


def published_tables(connection: LimitedConnection, publication: str) -> list[tuple[str, str]]:
    """Schema and name of every table of the publication."""
    rows = all_rows(
        connection,
        "SELECT schemaname, tablename FROM pg_publication_tables WHERE pubname = %s ORDER BY 1, 2",
        (publication,),
    )
    return [(str(schema), str(table)) for schema, table in rows]


def check_free(connection: LimitedConnection, slot: str, publication: str) -> None:
    """Raise SetupError if a name is taken, so that objects of others are never dropped as ours."""
    if find_slot(connection, slot) is not None:
        raise SetupError(
            f"slot {slot!r} exists already; leave out --create to read it, or choose another name"
        )
    if (
        first_row(connection, "SELECT 1 FROM pg_publication WHERE pubname = %s", (publication,))
        is not None
    ):
        raise SetupError(
            f"publication {publication!r} exists already; leave out --create to use it, or choose"
            " another name"
        )


def create_publication(connection: LimitedConnection, name: str, tables: Sequence[str]) -> None:
    """Publish these tables (SCHEMA.TABLE); must be called before the slot is created."""
    listed = sql.SQL(", ").join(sql.Identifier(*table.split(".", 1)) for table in tables)
    try:
        with connection.cursor() as cursor:
            cursor.execute(
                sql.SQL("CREATE PUBLICATION {} FOR TABLE {}").format(sql.Identifier(name), listed)
            )
    except psycopg.Error as error:
        raise SetupError(f"publication {name!r} cannot be created: {_first(error)}") from error


def create_slot(connection: LimitedConnection, name: str) -> None:
    """Create the slot; raises SlotGoneError with the setting to raise if all are taken."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_create_logical_replication_slot(%s, %s)", (name, PLUGIN))
    except psycopg.errors.ConfigurationLimitExceeded as error:
        row = first_row(connection, "SELECT current_setting('max_replication_slots')::int")
        most = row[0] if row else 0
        raise SlotGoneError(
            f"all {most} replication slots are in use; run ALTER SYSTEM SET max_replication_slots ="
            f" {most * 2 + 1}; and restart the server, or drop a slot that nobody reads"
            " (pg_replication_slots shows them)"
        ) from error
    except psycopg.Error as error:
        raise SlotGoneError(f"slot {name!r} cannot be created: {_first(error)}") from error


def _first(error: psycopg.Error) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def drop(dsn: str, kind: str, name: str) -> None:
    """Drop a publication or a slot of our own; one that is gone is fine, a slot in use is taken
    from its reader.
    """
    with closing(connect(dsn)) as connection, connection.cursor() as cursor:
        if kind == "publication":
            cursor.execute(sql.SQL("DROP PUBLICATION IF EXISTS {}").format(sql.Identifier(name)))
            return
        cursor.execute(
            "SELECT pg_terminate_backend(active_pid, 5000) FROM pg_replication_slots "
            "WHERE slot_name = %s AND active_pid IS NOT NULL",
            (name,),
        )
        cursor.execute(
            "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name"
            " = %s",
            (name,),
        )
