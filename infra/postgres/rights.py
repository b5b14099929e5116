"""What a PostgreSQL server is and what a role may do there, known before anything is created."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from psycopg import Cursor

OLDEST_MAJOR = 14
# On RDS and Aurora a role may replicate by its membership, not by its attribute.
_FACTS = """
SELECT current_setting('server_version'), current_setting('server_version_num')::int / 10000,
       current_setting('wal_level'), pg_is_in_recovery(), current_user, current_database(),
       r.rolname,
       r.rolsuper OR r.rolreplication OR exists (
           SELECT FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid
           WHERE m.member = r.oid AND g.rolname = 'rds_replication'),
       current_setting('max_replication_slots')::int, (SELECT count(*) FROM pg_replication_slots),
       has_database_privilege(current_database(), 'CREATE')
FROM pg_roles r WHERE r.rolname = coalesce(nullif(%s, ''), current_user)
"""


class RightsError(Exception):
    """A server that cannot be a source, or a role without the needed rights; with the remedy."""


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """A server as one of its roles sees it; `reader` is the role that reads its log."""

    version: str
    major: int
    wal_level: str
    replica: bool
    user: str
    database: str
    reader: str
    replicates: bool
    most_slots: int
    slots: int
    creates: bool
    encrypted: bool


def server_facts(cursor: Cursor[Any], reader: str = "") -> ServerFacts:
    """Ask the server; the reader is the asking role if none is named.

    Raises RightsError for a reader that does not exist.
    """
    row = cursor.execute(_FACTS, (reader,)).fetchone()
    if row is None:
        raise RightsError(f"there is no role {reader!r} to read the log; create it")
    # Of the connection as seen from this end, because TLS may end in front of the server.
    found: tuple[Any, ...] = (*row, cursor.connection.pgconn.ssl_in_use)
    return ServerFacts(*found)


def source_mistakes(
    facts: ServerFacts, *, own: bool = False, captured: bool = True
) -> Iterator[str]:
    """Reasons why a server cannot be a source, each with its remedy. Pure.

    The user's `own` objects (connector, slot, table) need not be created. If the run does not know
    how rows are `captured`, its role only writes them.
    """
    if facts.major < OLDEST_MAJOR:
        yield f"PostgreSQL {facts.major} is too old; version {OLDEST_MAJOR} or newer is needed"
    if facts.replica:
        yield (
            f"database {facts.database!r} is on a read-only replica, and rows are to be written;"
            " name its primary"
        )
    if not captured:
        return
    if facts.wal_level != "logical":
        yield (
            f"wal_level is {facts.wal_level!r}, so nothing can be captured; run ALTER SYSTEM SET"
            " wal_level = logical; and restart the server"
        )
    if own:
        return
    if not facts.replicates:
        yield f"role {facts.reader} may not replicate; run ALTER ROLE {facts.reader} REPLICATION"
    if facts.slots >= facts.most_slots:
        yield (
            f"all {facts.most_slots} replication slots are taken; drop one, or raise"
            " max_replication_slots"
        )
    if not facts.creates and not facts.replica:
        yield (
            f"role {facts.user} may not create schemas and publications in {facts.database}; run"
            f" GRANT CREATE ON DATABASE {facts.database} TO {facts.user}, or name a connector of"
            " your own"
        )


def refuse_source(
    cursor: Cursor[Any], reader: str = "", *, own: bool = False, captured: bool = True
) -> None:
    """Raise RightsError with every reason why this server cannot be a source."""
    facts = server_facts(cursor, reader)
    if mistakes := list(source_mistakes(facts, own=own, captured=captured)):
        raise RightsError("\n".join(mistakes))


#: The remedy for a part of libpq's message.
_REMEDIES = {
    "password authentication failed": "check PGPASSWORD, PGPASSFILE or passfile=",
    "no password supplied": "set PGPASSWORD, PGPASSFILE or passfile=",
    "SSL error": "name the authority that signed its certificate as sslrootcert=, or renew a"
    " certificate that has expired",
    "does not support SSL": "write sslmode=disable, or switch TLS on there",
    "does not exist": "name another one",
    "no pg_hba.conf entry": "let this host, user and database in, or write sslmode=",
}


def login_remedy(told: str) -> str:
    """What to do about libpq's message on a login that was refused; empty for other messages."""
    return next((remedy for part, remedy in _REMEDIES.items() if part in told), "")
