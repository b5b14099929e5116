"""The reader's requirements on server, rights, publication and slot, checked before it starts.

Each refusal names the SQL or the setting that corrects it. A condition that is allowed but keeps
changes from being published is a note: it is logged and shown, and the reader goes on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from psycopg import sql

from infra.platform.process.error import UnreachableError
from infra.platform.wal.error import HistoryError, SetupError, SlotGoneError
from infra.platform.wal.replication.position import Place, gap
from infra.platform.wal.replication.slot import (
    PLUGIN,
    Slot,
    all_rows,
    find_slot,
    first_row,
)
from infra.replication.connection import ReplicationConnection, ServerIdentity
from infra.replication.error import StreamError
from infra.replication.limited import LimitedConnection

logger = structlog.get_logger()

REMEDY = (
    "take over the tables' contents again and start without the old --state file, or skip what is"
    " missing with --on-gap skip"
)
#: From this version on a standby can decode.
STANDBY_DECODES = 160_000
#: In this encoding texts are bytes of an unknown encoding, which the server sends unchanged.
_NO_TEXT = ("SQL_ASCII",)


def has_any_bytes(connection: LimitedConnection) -> bool:
    """Whether the database's texts may be in any encoding, because it declares none."""
    row = first_row(connection, "SHOW server_encoding")
    return row is not None and row[0] in _NO_TEXT


def check_server(connection: LimitedConnection) -> None:
    """Raise SetupError if this server cannot decode its WAL."""
    _check_level(connection)
    row = first_row(
        connection,
        "SELECT pg_is_in_recovery(), current_setting('server_version_num')::int",
    )
    assert row is not None
    standby, version = row
    if standby and version < STANDBY_DECODES:
        raise SetupError(
            f"the server is a standby of version {version // 10_000}, and only standbys of 16 or"
            " newer can decode; name the primary with --dsn"
        )
    senders = first_row(
        connection,
        "SELECT current_setting('max_wal_senders')::int, count(*) FROM pg_stat_replication",
    )
    assert senders is not None
    if senders[1] >= senders[0]:
        raise _no_sender(int(senders[0]))


def _check_level(connection: LimitedConnection) -> None:
    level = first_row(connection, "SHOW wal_level")
    assert level is not None
    if level[0] != "logical":
        raise SetupError(
            f"wal_level is {level[0]!r}; run ALTER SYSTEM SET wal_level = 'logical'; and restart"
            " the server"
        )


def _no_sender(most: int) -> SlotGoneError:
    return SlotGoneError(
        f"all {most} WAL senders are in use; run ALTER SYSTEM SET max_wal_senders ="
        f" {most * 2 + 1}; and restart the server, or end another replication"
    )


def check_rights(
    connection: LimitedConnection, dsn: str, silence_s: float, place: Place | None
) -> ServerIdentity:
    """The server's identity, asked for as a replication client; raises SetupError if the server
    refuses.

    The catalogue does not suffice: on Amazon RDS a member of rds_replication may replicate, and
    pg_hba.conf may forbid what a role is allowed.
    rds_replication may replicate, and pg_hba.conf may forbid what a role is allowed.
    """
    try:
        replication = ReplicationConnection(dsn, silence_s)
        try:
            return replication.identify(place.timeline if place is not None else 0)
        finally:
            replication.pg.finish()
    except StreamError as error:
        user = first_row(connection, "SELECT current_user")
        assert user is not None
        role = sql.Identifier(str(user[0])).as_string(connection)
        if _may_replicate(connection):
            raise UnreachableError(str(error)) from error
        raise SetupError(
            f"user {user[0]!r} may not replicate ({error}); run ALTER ROLE {role} REPLICATION; (on"
            f" Amazon RDS: GRANT rds_replication TO {role};)"
        ) from error


def _may_replicate(connection: LimitedConnection) -> bool:
    """Whether the catalogue allows this user to replicate, so that the refusal has another
    cause.
    """
    row = first_row(
        connection,
        "SELECT rolreplication OR rolsuper OR EXISTS (SELECT FROM pg_roles r WHERE r.rolname ="
        " 'rds_replication' AND pg_has_role(current_user, r.oid, 'member'))"
        " FROM pg_roles WHERE rolname = current_user",
    )
    return row is not None and bool(row[0])


@dataclass(frozen=True, slots=True)
class PublishedTable:
    """A table of a publication, as the catalogue has it now."""

    oid: int
    schema: str
    name: str
    identity: str
    #: Columns of the replica identity that are not published.
    left_out: tuple[str, ...]
    identified: bool
    #: The columns that are published, and the row filter; empty for all.
    columns: tuple[str, ...]
    filter: str
    #: Whether it is a partition of another table; partitions are dropped when their data is old.
    partition: bool = False
    #: The table's columns that are not published.
    unpublished: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Published:
    """A publication: its OID, the operations that it leaves out, and its tables by OID."""

    oid: int
    left_out: tuple[str, ...]
    tables: dict[int, PublishedTable]

    @property
    def changes_rows(self) -> bool:
        """Whether updates or deletes are published."""
        return not {"update", "delete"} <= set(self.left_out)


_TABLES = """
SELECT c.oid::int8, n.nspname, c.relname, c.relreplident::text,
       coalesce((SELECT array_agg(a.attname::text ORDER BY a.attname) FROM pg_attribute a
                  WHERE a.attrelid = c.oid AND a.attnum = ANY (i.indkey)
                    AND (NOT coalesce(t.names ? a.attname, true)
                         OR a.attgenerated <> '' AND NOT t.generated)), '{}'),
       c.relreplident = 'f' OR i.indexrelid IS NOT NULL,
       coalesce((SELECT array_agg(name ORDER BY name) FROM jsonb_array_elements_text(t.names) name),
                '{}'),
       coalesce(t.filter, ''), c.relispartition,
       coalesce((SELECT array_agg(a.attname::text ORDER BY a.attnum) FROM pg_attribute a
                  WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
                    AND NOT coalesce(t.names ? a.attname, true)), '{}')
  FROM (SELECT p.pubname, p.schemaname, p.tablename, to_jsonb(p) -> 'attnames' AS names,
               to_jsonb(p) ->> 'rowfilter' AS filter,
               coalesce(to_jsonb(b) ->> 'pubgencols' = 's', false) AS generated
          FROM pg_publication_tables p JOIN pg_publication b USING (pubname)) t
  JOIN pg_namespace n ON n.nspname = t.schemaname
  JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = t.tablename
  LEFT JOIN pg_index i ON i.indrelid = c.oid AND c.relreplident <> 'n' AND c.relreplident <> 'f'
       AND CASE c.relreplident WHEN 'i' THEN i.indisreplident ELSE i.indisprimary END
 WHERE t.pubname = %s
 ORDER BY 2, 3"""


def published(connection: LimitedConnection, name: str) -> Published | None:
    """The publication as it is now; None where there is none of that name."""
    row = first_row(
        connection,
        "SELECT oid::int8, pubinsert, pubupdate, pubdelete, pubtruncate FROM pg_publication"
        " WHERE pubname = %s",
        (name,),
    )
    if row is None:
        return None
    oid, *flags = row
    operations = ("insert", "update", "delete", "truncate")
    left_out = tuple(
        operation for operation, flag in zip(operations, flags, strict=True) if not flag
    )
    rows = [PublishedTable(*map(_fixed, row)) for row in all_rows(connection, _TABLES, (name,))]
    return Published(int(oid), left_out, {table.oid: table for table in rows})


def _fixed(value: Any) -> Any:
    """A value of a row as a frozen record has it."""
    return tuple(value) if isinstance(value, list) else value


def check_publication(connection: LimitedConnection, name: str) -> Published:
    """The publication; raises SetupError if it is missing, or if it publishes changes of rows that
    cannot be told apart.
    """
    found = published(connection, name)
    quoted = sql.Identifier(name).as_string(connection)
    if found is None:
        raise SetupError(
            f"there is no publication {name!r}; run CREATE PUBLICATION {quoted} FOR TABLE ...;"
        )
    if found.changes_rows:
        _check_identity(connection, name, list(found.tables.values()))
    for note in notes(name, found):
        logger.warning("platform.reader.publication", note=note)
    return found


def _check_identity(
    connection: LimitedConnection, name: str, tables: Sequence[PublishedTable]
) -> None:
    def listed(chosen: Sequence[PublishedTable]) -> list[str]:
        return [sql.Identifier(table.schema, table.name).as_string(connection) for table in chosen]

    if none := listed([table for table in tables if not table.identified]):
        cures = " ".join(f"ALTER TABLE {table} REPLICA IDENTITY FULL;" for table in none)
        raise SetupError(
            f"publication {name!r} publishes updates of {', '.join(none)}, which has no replica"
            f" identity, so that Postgres refuses them; run {cures}"
        )
    cut = [table for table in tables if table.left_out]
    if cut:
        columns = ", ".join(f"{table.name}.{column}" for table in cut for column in table.left_out)
        cures = " ".join(f"ALTER TABLE {table} REPLICA IDENTITY FULL;" for table in listed(cut))
        raise SetupError(
            f"publication {name!r} publishes updates, but leaves out {columns} of the replica"
            " identity (by its column list, or because it is generated), so that rows cannot be"
            f" told apart; publish all columns of the key, or run {cures}"
        )


def notes(name: str, found: Published) -> Iterator[str]:
    """What a publication leaves out: its owner chose that, but it may surprise."""
    if found.left_out:
        yield f"publication {name!r} does not publish {', '.join(found.left_out)}"
    if not found.tables:
        yield f"publication {name!r} has no table now"
    for table in found.tables.values():
        if table.filter:
            yield f"{table.schema}.{table.name} publishes only rows where {table.filter}"


def existing(connection: LimitedConnection, before: Published) -> set[int]:
    """The OIDs of those tables that still exist."""
    rows = all_rows(
        connection,
        "SELECT t.oid FROM unnest(%s::int8[]) t(oid) JOIN pg_class c ON c.oid::int8 = t.oid",
        (list(before.tables),),
    )
    return {int(oid) for (oid,) in rows}


def missing_since(before: Published, now: Published | None, name: str, exists: set[int]) -> str:
    """Why changes are no longer published that were before; empty if all still are.

    `exists` has the OIDs of tables that still exist. No event says that the rows of a dropped table
    are gone, and a table of the same name is another one. A dropped partition is no reason to end,
    because old rows are removed in that way.
    """
    if now is None or now.oid != before.oid:
        return (
            f"publication {name!r} was dropped{'' if now is None else ' and created again'}: what"
            " was committed without it is not published"
        )
    if extra := set(now.left_out) - set(before.left_out):
        return f"publication {name!r} no longer publishes {', '.join(sorted(extra))}"
    names = {(table.schema, table.name) for table in now.tables.values()}
    gone = []
    for oid, table in before.tables.items():
        full = f"{table.schema}.{table.name}"
        if oid not in exists:
            if table.partition:
                continue
            again = " and created again" if (table.schema, table.name) in names else ""
            return f"table {full} was dropped{again}: no change says that its rows are gone"
        if oid not in now.tables:
            gone.append(full)
    gone += [
        part
        for oid, table in now.tables.items()
        if oid in before.tables
        for part in _less(before.tables[oid], table)
    ]
    return f"publication {name!r} no longer publishes {', '.join(gone)}" if gone else ""


def _less(before: PublishedTable, now: PublishedTable) -> Iterator[str]:
    """What of a table was published, is there, and is published no more."""
    full = f"{now.schema}.{now.name}"
    yield from (f"{full}.{name}" for name in before.columns if name in now.unpublished)
    if now.filter and now.filter != before.filter:
        yield f"rows of {full} but where {now.filter}"


def check_slot(connection: LimitedConnection, name: str, known: bool = False) -> Slot:
    """The slot, checked; raises SlotGoneError or SetupError.

    `known` says that this reader has read it before, so a missing slot means lost changes.
    """
    slot = find_slot(connection, name)
    literal = sql.Literal(name).as_string(connection)
    if slot is None:
        raise SlotGoneError(
            f"there is no slot {name!r}; run SELECT pg_create_logical_replication_slot({literal},"
            f" '{PLUGIN}');"
            + (" and take over the tables' contents again: changes were lost" if known else "")
        )
    if slot.plugin != PLUGIN:
        raise SlotGoneError(
            f"slot {name!r} has the plugin {slot.plugin!r}; name a slot made with '{PLUGIN}'"
        )
    row = first_row(connection, "SELECT current_database()")
    if row is not None and slot.database != row[0]:
        raise SlotGoneError(
            f"slot {name!r} belongs to database {slot.database!r}; connect to that one with --dsn"
        )
    _check_kind(slot)
    if slot.wal_status == "lost":
        raise SlotGoneError(
            f"slot {name!r} has lost its WAL ({slot.reason or 'wal_status is lost'}), so changes"
            f" are missing; run SELECT pg_drop_replication_slot({literal}); raise"
            " max_slot_wal_keep_size, create the slot again and take over the tables' contents"
            " again"
        )
    if slot.wal_status == "unreserved":
        logger.warning(
            "platform.reader.slot_unreserved",
            note=f"slot {name!r} loses its WAL at the next checkpoint; raise"
            " max_slot_wal_keep_size",
        )
    return slot


def check_place(place: Place | None, server: ServerIdentity, slot: Slot) -> None:
    """Raise HistoryError if changes may be missing between a place and the slot."""
    why = None if place is None else gap(place, server, slot.confirmed_lsn, slot.name)
    if why is not None:
        raise with_remedy(HistoryError(why))


def with_remedy(error: HistoryError) -> HistoryError:
    """The same error with its remedy."""
    said = str(error)
    return error if said.endswith(REMEDY) else HistoryError(f"{said}; {REMEDY}")


def _check_kind(slot: Slot) -> None:
    if slot.temporary:
        raise SetupError(
            f"slot {slot.name!r} is temporary: it ends with the session that made it; name a"
            " permanent one"
        )
    if slot.synced:
        raise SetupError(
            f"slot {slot.name!r} is kept in step with the primary's (a failover slot), and can be"
            " read only after this standby is promoted; name the primary with --dsn"
        )
