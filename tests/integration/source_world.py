"""Servers of a test's own as sources, of each kind, behind what the contract suite asks of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC
from pathlib import Path
from typing import Any, Protocol

import psycopg
from psycopg2.extensions import set_wait_callback
from typing_extensions import override

from cdc_users.users.source.connection import application_name
from cdc_users.users.target import DatabaseTarget
from infra.mariadb.address import at_database, connect_to
from infra.mariadb.database import create_run_database
from infra.postgres.table import create_customers, create_schema, table_names
from tests.private_mariadb import PrivateMariadb, private_mariadb
from tests.private_postgres import PrivatePostgres, private_postgres

TABLES = table_names(2)
SCHEMA = "cdc_contract"


class SourceWorld(Protocol):
    """A server of this test's own, with two empty tables of customers; it can be killed, and
    started again on its data.
    """

    server: PrivatePostgres | PrivateMariadb
    target: DatabaseTarget
    #: The ways in which rows can be inserted.
    methods: Sequence[str]
    #: A statement that takes twenty seconds.
    slow: str

    def rows(self) -> dict[int, tuple[Any, ...]]:
        """The tables' rows by key."""

    def clear(self) -> None:
        """Empty the tables."""

    def cut(self, run: str) -> bool:
        """Cut the connections of the run's lanes that are at work; whether there was one."""


class PostgresWorld(SourceWorld):
    """PostgreSQL."""

    methods = ("single", "values", "copy")
    slow = "SELECT pg_sleep(20)"

    def __init__(self, server: PrivatePostgres) -> None:
        self.target = DatabaseTarget(server.dsn, SCHEMA, TABLES)
        self.server = server
        with self._connected() as connection:
            create_schema(connection, SCHEMA, "contract")
            for table in TABLES:
                create_customers(connection, SCHEMA, table)

    def _connected(self) -> Any:
        return closing(psycopg.connect(self.server.dsn, autocommit=True))

    @override
    def rows(self) -> dict[int, tuple[Any, ...]]:
        found: dict[int, tuple[Any, ...]] = {}
        with self._connected() as connection:
            for table in TABLES:
                query = f"SELECT * FROM {SCHEMA}.{table}"
                found |= {row[0]: row for row in connection.execute(query).fetchall()}
        return found

    @override
    def clear(self) -> None:
        set_wait_callback(None)
        with self._connected() as connection:
            connection.execute(f"TRUNCATE {', '.join(f'{SCHEMA}.{table}' for table in TABLES)}")

    @override
    def cut(self, run: str) -> bool:
        with self._connected() as connection:
            found = connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s"
                " AND state = 'active'",
                (application_name(run),),
            )
            return bool(found.fetchall())


@contextmanager
def postgres_world(place: Path) -> Iterator[SourceWorld]:
    """A PostgreSQL."""
    with private_postgres(place, {"wal_level": "logical"}) as server:
        yield PostgresWorld(server)
        set_wait_callback(None)


class MariadbWorld(SourceWorld):
    """MariaDB; a session of ours writes names and times as PostgreSQL would."""

    methods = ("single", "values")
    slow = "SELECT sleep(20)"

    def __init__(self, server: PrivateMariadb) -> None:
        self.server = server
        self.target = DatabaseTarget(
            at_database(server.url, SCHEMA), SCHEMA, TABLES, kind="mariadb"
        )
        with closing(connect_to(server.url)) as connection:
            create_run_database(connection, SCHEMA, "contract", TABLES)

    def _fetched(self, query: str) -> list[tuple[Any, ...]]:
        with closing(connect_to(self.target.dsn)) as connection, connection.cursor() as cursor:
            cursor.execute(query)
            return list(cursor.fetchall())

    @override
    def rows(self) -> dict[int, tuple[Any, ...]]:
        found = {}
        for table in TABLES:
            for row in self._fetched(f"SELECT * FROM {table}"):
                created_at = row[6].replace(tzinfo=UTC)
                found[row[0]] = (*row[:6], created_at, *row[7:])
        return found

    @override
    def clear(self) -> None:
        for table in TABLES:
            self._fetched(f"DELETE FROM {table}")

    @override
    def cut(self, run: str) -> bool:
        busy = self._fetched(
            "SELECT id FROM information_schema.processlist"
            f" WHERE db = '{SCHEMA}' AND command <> 'Sleep' AND id <> connection_id()"
        )
        for (number,) in busy:
            self._fetched(f"KILL {number}")
        return bool(busy)


@contextmanager
def mariadb_world(place: Path) -> Iterator[SourceWorld]:
    """A MariaDB."""
    with private_mariadb(place) as server:
        yield MariadbWorld(server)


WORLDS = {"postgres": postgres_world, "mariadb": mariadb_world}
