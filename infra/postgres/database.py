"""Databases of a run, each with the marker; a database without it is never dropped."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import psycopg
from psycopg import Connection, sql
from psycopg.conninfo import make_conninfo

from infra.postgres.table import MARKER, TableError


def of_database(dsn: str, name: str) -> str:
    """The DSN of another database on the same server, for the same role."""
    return make_conninfo(dsn, dbname=name)


@contextmanager
def connect_to(dsn: str) -> Iterator[Connection[Any]]:
    """An autocommit connection for the time of a block."""
    with closing(
        psycopg.connect(dsn, autocommit=True, connect_timeout=10, application_name="locust-cdc")
    ) as connection:
        yield connection


def create_database(connection: Connection[Any], name: str, run: str) -> None:
    """Create a database of a run, with the marker."""
    database = sql.Identifier(name)
    # Not a copy of template1, which may contain the user's tables.
    connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(database))
    connection.execute(
        sql.SQL("COMMENT ON DATABASE {} IS {}").format(database, sql.Literal(MARKER + run))
    )


def use_schema(connection: Connection[Any], schema: str) -> None:
    """Make this schema the default for names without one, for all later connections."""
    connection.execute(
        sql.SQL("ALTER DATABASE {} SET search_path = {}").format(
            sql.Identifier(connection.info.dbname), sql.Identifier(schema)
        )
    )


def drop_subscriptions(connection: Connection[Any]) -> None:
    """Drop the subscriptions of a database, and leave their slots, which stand in the journal."""
    rows = connection.execute(
        "SELECT subname FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid WHERE"
        " d.datname = current_database()"
    ).fetchall()
    for (name,) in rows:
        subscription = sql.Identifier(name)
        for part in (
            "ALTER SUBSCRIPTION {} DISABLE",
            "ALTER SUBSCRIPTION {} SET (slot_name = NONE)",
            "DROP SUBSCRIPTION {}",
        ):
            connection.execute(sql.SQL(part).format(subscription))


def is_marked(connection: Connection[Any], name: str) -> bool | None:
    """Whether a database carries the marker; None if it does not exist."""
    row = connection.execute(
        "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = %s", (name,)
    ).fetchone()
    return None if row is None else str(row[0] or "").startswith(MARKER)


def drop_database(connection: Connection[Any], name: str) -> None:
    """Drop a database that carries the marker, with whoever is connected to it; none there is
    fine, one without it raises TableError.
    """
    marked = is_marked(connection, name)
    if marked is None:
        return
    if not marked:
        raise TableError(
            f"database {name!r} does not carry the harness's marker; drop it yourself if it may go"
        )
    connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
