"""What a MariaDB is and what a user may do there, known before anything is created."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from infra.postgres.rights import RightsError

#: Comments of databases, and the right to look at the binary log alone, came with this release.
OLDEST = (10, 5)
_FACTS = """
SELECT version(), current_user(), @@log_bin, @@binlog_format, @@binlog_row_image,
       @@read_only <> 'OFF' AND @@read_only <> '0', @@server_id
"""
_GRANTEE = "grantee = concat('''', replace(current_user(), '@', '''@'''), '''')"
_GLOBAL = (
    "SELECT privilege_type FROM information_schema.user_privileges"  # noqa: S608
    f" WHERE {_GRANTEE}"
)
_OF_DATABASES = (
    "SELECT privilege_type FROM information_schema.schema_privileges"  # noqa: S608
    # In our sessions a backslash is a character like any other, unless it is named.
    f" WHERE {_GRANTEE} AND %s LIKE table_schema ESCAPE '\\'"
)
#: What a run does in databases of its own, whose names begin in this way.
OF_A_RUN = ("SELECT", "INSERT", "UPDATE", "DELETE", "CREATE", "DROP")
RUN_DATABASES = r"cdc\_%"
#: What reads the log, by the right's names in releases.
READING = {"REPLICATION SLAVE": (), "BINLOG MONITOR": ("REPLICATION CLIENT",)}
_NUMBER = re.compile(r"(\d+)\.(\d+)")


@dataclass(frozen=True, slots=True)
class MariadbFacts:
    """A server as one of its users sees it; `rights` are those on every database, `of_runs` those
    on a run's own.
    """

    version: str
    user: str
    log_bin: bool
    binlog_format: str
    row_image: str
    read_only: bool
    server_id: int
    rights: frozenset[str] = field(default_factory=frozenset)
    of_runs: frozenset[str] = field(default_factory=frozenset)

    @property
    def release(self) -> tuple[int, int]:
        """The version's first two numbers."""
        found = _NUMBER.search(self.version)
        return (int(found[1]), int(found[2])) if found else (0, 0)


def mariadb_facts(connection: Any) -> MariadbFacts:
    """Ask the server; raises RightsError for one that is no MariaDB."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT version()")
        (version,) = cursor.fetchone()
        if "mariadb" not in str(version).lower():
            raise RightsError(f"the server is no MariaDB but {version}; name a MariaDB")
        cursor.execute(_FACTS)
        row = cursor.fetchone()
        cursor.execute(_GLOBAL)
        rights = frozenset(str(name) for (name,) in cursor.fetchall())
        cursor.execute(_OF_DATABASES, ("cdc_00000000",))
        of_runs = frozenset(str(name) for (name,) in cursor.fetchall())
    version, user, log_bin, form, image, read_only, server_id = row
    return MariadbFacts(
        version=str(version).partition("-")[0],
        user=str(user),
        log_bin=bool(log_bin),
        binlog_format=str(form),
        row_image=str(image),
        read_only=bool(read_only),
        server_id=int(server_id),
        rights=rights,
        of_runs=rights | of_runs,
    )


def mariadb_mistakes(facts: MariadbFacts) -> Iterator[str]:
    """Why a server cannot be a source, or what its user lacks, each with the remedy."""
    if facts.release < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        yield f"MariaDB {facts.version} is too old; {oldest} or newer is needed"
    if not facts.log_bin:
        yield "log_bin is OFF: there is no log to read; set log_bin in my.cnf and restart"
    settings: Mapping[str, tuple[str, str]] = {
        "binlog_format": (facts.binlog_format, "ROW"),
        "binlog_row_image": (facts.row_image, "FULL"),
    }
    for name, (found, wanted) in settings.items():
        if found.upper() != wanted:
            yield f"{name} is {found}, {wanted} is needed; run SET GLOBAL {name} = '{wanted}'"
    if facts.read_only:
        yield "the server is read_only, so it takes no rows; name the primary"
    if not facts.server_id:
        yield "server_id is 0, so nothing may read its log; set server_id in my.cnf and restart"
    lacking = [right for right, older in READING.items() if not {right, *older} & facts.rights]
    if lacking:
        yield (
            f"user {facts.user} may not read the log; run GRANT {', '.join(lacking)} ON *.* TO"
            f" {_account(facts.user)}"
        )
    if missing := [right for right in OF_A_RUN if right not in facts.of_runs]:
        yield (
            f"user {facts.user} may not make a database of a run's own; run GRANT"
            f" {', '.join(missing)} ON `{RUN_DATABASES}`.* TO {_account(facts.user)}"
        )


def _account(user: str) -> str:
    name, _, host = user.rpartition("@")
    return f"'{name}'@'{host}'"


def refuse_mariadb(connection: Any) -> None:
    """Raise RightsError with every reason against this server."""
    if mistakes := list(mariadb_mistakes(mariadb_facts(connection))):
        raise RightsError("; ".join(mistakes))
