"""Whether a sink's table can be watched by the log of its own database."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from psycopg import Connection
from psycopg.rows import class_row

from infra.postgres.table import Table, TableError

_SERVER = (
    "SELECT current_setting('wal_level') AS wal_level, pg_is_in_recovery() AS standby,"
    " rolsuper OR rolreplication AS reads_log, rolsuper AS superuser, rolname AS role,"
    " current_database() AS database FROM pg_roles WHERE rolname = current_user"
)
_TABLE = (
    "SELECT pg_has_role(c.relowner, 'USAGE') AND has_database_privilege(current_database(),"
    " 'CREATE') AS may_be_published, c.relreplident::text AS identity, EXISTS (SELECT FROM pg_index"
    " i WHERE i.indrelid = c.oid AND i.indisprimary) AS has_key, EXISTS (SELECT FROM pg_attribute a"
    " WHERE a.attrelid = c.oid AND a.attname = %s AND NOT a.attisdropped) AS has_probe FROM"
    " pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = %s AND c.relname ="
    " %s AND c.relkind IN ('r', 'p')"
)


@dataclass(frozen=True, slots=True)
class WatchedServer:
    """The sink's server as its role sees it."""

    wal_level: str
    standby: bool
    reads_log: bool
    superuser: bool
    role: str
    database: str


@dataclass(frozen=True, slots=True)
class WatchedTable:
    """The sink's table; `identity` is its replica identity: d, n, f or i."""

    may_be_published: bool
    identity: str
    has_key: bool
    has_probe: bool

    @property
    def identified(self) -> bool:
        """Whether a publication can include its updates and deletes."""
        return self.identity in "fi" or (self.identity == "d" and self.has_key)


def check_sink(connection: Connection[Any], place: str, probe: str = "probe") -> Table:
    """The table SCHEMA.TABLE, if its log can be read and it has the column `probe`; raises
    TableError with everything that is missing.

    Changes nothing. A published table without a replica identity refuses its own updates, so such a
    table is never published.
    """
    schema, _, name = place.rpartition(".")
    with connection.cursor(row_factory=class_row(WatchedServer)) as cursor:
        server = cursor.execute(_SERVER).fetchone()
    with connection.cursor(row_factory=class_row(WatchedTable)) as rows:
        table = rows.execute(_TABLE, (probe, schema, name)).fetchone()
    assert server is not None
    if mistakes := list(sink_mistakes(place, server, table, probe)):
        raise TableError(
            f"--sink-tap postgres-log:{place} is not possible: {'; '.join(mistakes)}; or watch the"
            f" table itself with --sink-tap postgres:{place}"
        )
    return Table(schema, name)


def sink_mistakes(
    place: str, server: WatchedServer, table: WatchedTable | None, probe: str = "probe"
) -> Iterator[str]:
    """Reasons why the table's log cannot be read, each with its remedy."""
    if server.standby:
        yield "the sink's server is a read-only replica; name its primary in CDC_SINK_DSN"
    if server.wal_level != "logical":
        yield f"wal_level of the sink's server is {server.wal_level}; make it logical and restart"
    if not server.reads_log:
        yield f"role {server.role!r} may not read the log; ALTER ROLE ... REPLICATION"
    if table is None:
        yield (
            f"there is no table {place} in database {server.database!r}; create it before the run,"
            " or mend the name"
        )
        return
    if not (server.superuser or table.may_be_published):
        yield (
            f"role {server.role!r} may not publish {place}; it must own it and have CREATE on the"
            " database"
        )
    if not table.identified:
        yield (
            f"{place} has neither a primary key nor a replica identity, and would refuse its"
            " updates once it is published; ALTER TABLE ... REPLICA IDENTITY FULL"
        )
    if not table.has_probe:
        yield f"{place} has no column {probe!r}; the pipeline must write it"
