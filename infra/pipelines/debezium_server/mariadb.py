"""Debezium Server's source is MariaDB: its properties, and how it is seen to read the log."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from contextlib import closing

from infra.mariadb.address import MariadbAddress, connect_to
from infra.mariadb.database import table_names

_READERS = "SELECT id FROM information_schema.processlist WHERE command LIKE 'Binlog Dump%'"


def is_mariadb(dsn: str) -> bool:
    """Whether a source's address is a MariaDB's."""
    return dsn.startswith("mysql://")


def source_tables(url: str) -> tuple[str, ...]:
    """The tables of the run's own database, DATABASE.TABLE; raises pymysql.Error."""
    database = MariadbAddress.of(url).database
    with closing(connect_to(url)) as connection:
        return tuple(f"{database}.{table}" for table in table_names(connection, database))


def readers(url: str) -> frozenset[int]:
    """The connections of this user that read the binary log now; raises pymysql.Error."""
    with closing(connect_to(url)) as connection, connection.cursor() as cursor:
        cursor.execute(_READERS)
        return frozenset(int(number) for (number,) in cursor.fetchall())


def source_properties(url: str, history: str) -> Mapping[str, str]:
    """The connector's own properties; `history` is the file for the tables' definitions.

    The tables are the run's own and nobody alters them, so no lock is needed to read them.
    """
    place = MariadbAddress.of(url)
    return {
        "connector.class": "io.debezium.connector.mariadb.MariaDbConnector",
        "database.hostname": place.host,
        "database.port": str(place.port),
        "database.user": place.user,
        # The server knows each reader of its log by a number that no other has.
        "database.server.id": str(secrets.randbelow(2**30) + 2**30),
        "database.include.list": place.database,
        "snapshot.locking.mode": "none",
        "include.schema.changes": "false",
        "schema.history.internal": "io.debezium.storage.file.history.FileSchemaHistory",
        "schema.history.internal.file.filename": history,
    }
