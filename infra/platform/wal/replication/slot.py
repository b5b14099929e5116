"""What the reader needs on the server: checked before it starts, and made and removed where it is
its own.

Each refusal names the SQL or the setting that mends it.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import psycopg2
from psycopg2 import sql
from psycopg2.extensions import connection as Connection

from infra.platform.process.error import UnreachableError
from infra.platform.wal.error import SetupError, SlotGoneError
from infra.replication.stream import lsn_number, lsn_text

CONNECT_S = 10
PLUGIN = "pgoutput"


@dataclass(frozen=True, slots=True)
class Slot:
    """A replication slot as the server has it."""

    name: str
    plugin: str
    database: str
    active_pid: int | None
    confirmed_lsn: int
    wal_status: str
    reason: str


def connect(dsn: str) -> Connection:
    """An autocommit connection; raises UnreachableError.

    The password, if any, comes from PGPASSWORD or PGPASSFILE.
    """
    try:
        connection = psycopg2.connect(
            dsn, connect_timeout=CONNECT_S, application_name="locust-cdc wal"
        )
    except psycopg2.Error as error:
        raise UnreachableError(
            f"Postgres does not answer: {str(error).strip()}; see --dsn"
        ) from error
    connection.autocommit = True
    return connection


def _row(
    connection: Connection, query: str, arguments: Sequence[Any] = ()
) -> tuple[Any, ...] | None:
    with connection.cursor() as cursor:
        cursor.execute(query, arguments)
        return cursor.fetchone()


def find_slot(connection: Connection, name: str) -> Slot | None:
    """The slot, or None where there is none of that name."""
    # Through JSON, because the reason column came with version 17.
    row = _row(
        connection,
        "SELECT plugin, database, active_pid, confirmed_flush_lsn, wal_status, "
        "to_jsonb(s) ->> 'invalidation_reason' FROM pg_replication_slots s WHERE slot_name = %s",
        (name,),
    )
    if row is None:
        return None
    plugin, database, pid, confirmed, status, reason = row
    return Slot(
        name,
        plugin or "",
        database or "",
        pid,
        lsn_number(confirmed or "0/0"),
        status or "",
        reason or "",
    )


def lag_bytes(connection: Connection, name: str) -> int | None:
    """WAL between the server's position and the slot's; None where there is no such slot."""
    row = _row(
        connection,
        "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), confirmed_flush_lsn) FROM"
        " pg_replication_slots WHERE slot_name = %s",
        (name,),
    )
    return None if row is None or row[0] is None else int(row[0])


def system_id(connection: Connection) -> str:
    """What tells this cluster from every other."""
    row = _row(connection, "SELECT system_identifier FROM pg_control_system()")
    assert row is not None
    return str(row[0])


def check_server(connection: Connection) -> None:
    """Raise SetupError where this server or this user cannot replicate."""
    level = _row(connection, "SHOW wal_level")
    assert level is not None
    if level[0] != "logical":
        raise SetupError(
            f"wal_level is {level[0]!r}; run ALTER SYSTEM SET wal_level = 'logical'; and restart"
            " the server"
        )
    user = _row(
        connection,
        "SELECT rolname, rolreplication OR rolsuper FROM pg_roles WHERE rolname = current_user",
    )
    assert user is not None
    if not user[1]:
        role = sql.Identifier(user[0]).as_string(connection)
        raise SetupError(f"user {user[0]!r} may not replicate; run ALTER ROLE {role} REPLICATION;")
    senders = _row(
        connection,
        "SELECT current_setting('max_wal_senders')::int, count(*) FROM pg_stat_replication",
    )
    assert senders is not None
    if senders[1] >= senders[0]:
        raise SlotGoneError(
            f"all {senders[0]} WAL senders are in use; run ALTER SYSTEM SET max_wal_senders ="
            f" {senders[0] * 2 + 1}; and restart the server, or end another replication"
        )


def check_publication(connection: Connection, name: str) -> None:
    """Raise SetupError where the publication is missing, or publishes a table whose rows cannot be
    told apart.
    """
    row = _row(
        connection, "SELECT pubupdate OR pubdelete FROM pg_publication WHERE pubname = %s", (name,)
    )
    quoted = sql.Identifier(name).as_string(connection)
    if row is None:
        raise SetupError(
            f"there is no publication {name!r}; run CREATE PUBLICATION {quoted} FOR TABLE ...;"
        )
    if not row[0]:
        return
    with connection.cursor() as cursor:
        cursor.execute(_UNIDENTIFIED, (name,))
        tables = [sql.Identifier(*names).as_string(connection) for names in cursor.fetchall()]
    if tables:
        cures = " ".join(f"ALTER TABLE {table} REPLICA IDENTITY FULL;" for table in tables)
        raise SetupError(
            f"publication {name!r} publishes updates of {', '.join(tables)}, which has no replica"
            f" identity, so that Postgres refuses them; run {cures}"
        )


_UNIDENTIFIED = """
SELECT n.nspname, c.relname
  FROM pg_publication_tables p
  JOIN pg_namespace n ON n.nspname = p.schemaname
  JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = p.tablename
 WHERE p.pubname = %s
   AND (c.relreplident = 'n' OR c.relreplident = 'd'
        AND NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary))
 ORDER BY 1, 2"""


def published_tables(connection: Connection, publication: str) -> list[tuple[str, str]]:
    """Schema and name of every table of the publication."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT schemaname, tablename FROM pg_publication_tables WHERE pubname = %s ORDER BY"
            " 1, 2",
            (publication,),
        )
        return [(str(schema), str(table)) for schema, table in cursor.fetchall()]


def primary_key(connection: Connection, schema: str, table: str) -> tuple[str, ...]:
    """The columns of a table's primary key in the key's order; none where it has no such key."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT a.attname FROM pg_namespace n JOIN pg_class c ON c.relnamespace = n.oid JOIN"
            " pg_index i ON i.indrelid = c.oid AND i.indisprimary, unnest(i.indkey) WITH ORDINALITY"
            " k(number, place), pg_attribute a WHERE n.nspname = %s AND c.relname = %s AND"
            " a.attrelid = c.oid AND a.attnum = k.number ORDER BY k.place",
            (schema, table),
        )
        return tuple(str(name) for (name,) in cursor.fetchall())


def check_slot(connection: Connection, name: str, confirmed_lsn: int | None) -> Slot:
    """The slot, fit to be read from where we were; raises SlotError.

    `confirmed_lsn` is the last position that this reader told the server, None where it does not
    know. A slot that stands beyond it was made anew, or moved by somebody else: what lies between
    is lost to us.
    """
    slot = find_slot(connection, name)
    literal = sql.Literal(name).as_string(connection)
    if slot is None:
        raise SlotGoneError(
            f"there is no slot {name!r}; run SELECT pg_create_logical_replication_slot({literal},"
            f" '{PLUGIN}');"
            + (
                " and take over the tables' contents anew: changes were lost"
                if confirmed_lsn
                else ""
            )
        )
    if slot.plugin != PLUGIN:
        raise SlotGoneError(
            f"slot {name!r} has the plugin {slot.plugin!r}; name a slot made with '{PLUGIN}'"
        )
    row = _row(connection, "SELECT current_database()")
    if row is not None and slot.database != row[0]:
        raise SlotGoneError(
            f"slot {name!r} belongs to database {slot.database!r}; connect to that one with --dsn"
        )
    if slot.wal_status == "lost":
        raise SlotGoneError(
            f"slot {name!r} has lost its WAL ({slot.reason or 'wal_status is lost'}), so changes"
            f" are missing; run SELECT pg_drop_replication_slot({literal}); raise"
            " max_slot_wal_keep_size, create the slot again and take over the tables' contents"
            " anew"
        )
    if confirmed_lsn is not None and slot.confirmed_lsn > confirmed_lsn:
        raise SlotGoneError(
            f"slot {name!r} stands at {lsn_text(slot.confirmed_lsn)}, beyond"
            f" {lsn_text(confirmed_lsn)} which this reader confirmed: it was created anew or"
            " advanced by another reader, and what lies between is lost; take over the tables'"
            " contents anew and start without the old --state file"
        )
    return slot


def check_free(connection: Connection, slot: str, publication: str) -> None:
    """Raise SetupError where a name is taken: what is not ours must never be dropped as if it
    were.
    """
    if find_slot(connection, slot) is not None:
        raise SetupError(
            f"slot {slot!r} exists already; leave out --create to read it, or choose another name"
        )
    if (
        _row(connection, "SELECT 1 FROM pg_publication WHERE pubname = %s", (publication,))
        is not None
    ):
        raise SetupError(
            f"publication {publication!r} exists already; leave out --create to use it, or choose"
            " another name"
        )


def create_publication(connection: Connection, name: str, tables: Sequence[str]) -> None:
    """Publish these tables, given as SCHEMA.TABLE; must come before the slot."""
    listed = sql.SQL(", ").join(sql.Identifier(*table.split(".", 1)) for table in tables)
    try:
        with connection.cursor() as cursor:
            cursor.execute(
                sql.SQL("CREATE PUBLICATION {} FOR TABLE {}").format(sql.Identifier(name), listed)
            )
    except psycopg2.Error as error:
        raise SetupError(f"publication {name!r} cannot be created: {_first(error)}") from error


def create_slot(connection: Connection, name: str) -> None:
    """Create the slot; raises SlotError with the setting to raise where all are taken."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_create_logical_replication_slot(%s, %s)", (name, PLUGIN))
    except psycopg2.errors.ConfigurationLimitExceeded as error:
        row = _row(connection, "SELECT current_setting('max_replication_slots')::int")
        most = row[0] if row else 0
        raise SlotGoneError(
            f"all {most} replication slots are in use; run ALTER SYSTEM SET max_replication_slots ="
            f" {most * 2 + 1}; and restart the server, or drop a slot that nobody reads"
            " (pg_replication_slots shows them)"
        ) from error
    except psycopg2.Error as error:
        raise SlotGoneError(f"slot {name!r} cannot be created: {_first(error)}") from error


def _first(error: psycopg2.Error) -> str:
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
