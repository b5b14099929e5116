"""The databases of a run, with its tables.

Each carries a marker; one without it is never dropped.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from infra.client.sql import quoted, quoted_name
from infra.postgres.table import MARKER, TableError

#: As `customers` is in PostgreSQL (infra.postgres.table). Texts are compared by their octets. An
#: explicit default keeps older releases from changing the column with every update.
_CUSTOMERS = """
CREATE TABLE {table} (
    id          bigint PRIMARY KEY,
    first_name  text NOT NULL,
    last_name   text NOT NULL,
    email       text NOT NULL,
    phone       text,
    balance     decimal(12, 2),
    created_at  timestamp(6) NOT NULL DEFAULT current_timestamp(6),
    notes       longtext,
    probe       text
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin COMMENT = 'locust-cdc: customers'"""
_COMMENT = "SELECT schema_comment FROM information_schema.schemata WHERE schema_name = %s"

_TABLES = (
    "SELECT table_name FROM information_schema.tables WHERE table_schema = %s ORDER BY table_name"
)


def create_run_database(connection: Any, name: str, run: str, tables: Sequence[str]) -> None:
    """Create a run's database with the marker, and its source tables."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"CREATE DATABASE {quoted(name)} CHARACTER SET utf8mb4 COMMENT %s", (MARKER + run,)
        )
        for table in tables:
            cursor.execute(_CUSTOMERS.format(table=quoted_name(name, table)))


def drop_run_database(connection: Any, name: str) -> None:
    """Drop a database that carries the marker; none there is fine, one without it raises
    TableError.
    """
    with connection.cursor() as cursor:
        cursor.execute(_COMMENT, (name,))
        row = cursor.fetchone()
        if row is None:
            return
        if not str(row[0]).startswith(MARKER):
            raise TableError(
                f"database {name!r} does not carry the harness's marker; drop it yourself if it"
                " may go"
            )
        cursor.execute(f"DROP DATABASE {quoted(name)}")


def table_names(connection: Any, database: str) -> list[str]:
    """The names of a database's tables, in their order."""
    with connection.cursor() as cursor:
        cursor.execute(_TABLES, (database,))
        return [str(name) for (name,) in cursor.fetchall()]
