"""Schemas and tables of a run.

Each carries a marker; objects without it are never dropped or truncated.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from psycopg import Connection, sql

MARKER = "locust-cdc:"
#: The columns of `customers` in table order; `probe` is the harness's own.
CUSTOMERS_COLUMNS = (
    "id",
    "first_name",
    "last_name",
    "email",
    "phone",
    "balance",
    "created_at",
    "notes",
    "probe",
)
_CUSTOMERS = """
CREATE TABLE {table} (
    id          bigint PRIMARY KEY,
    first_name  text NOT NULL,
    last_name   text NOT NULL,
    email       text NOT NULL,
    phone       text,
    balance     numeric(12, 2),
    created_at  timestamptz NOT NULL,
    notes       text,
    probe       text
)"""


class TableError(Exception):
    """An object in the way that is not the harness's; the message names it."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table's schema and name."""

    schema: str
    name: str

    @property
    def identifier(self) -> sql.Identifier:
        """The quoted, qualified name."""
        return sql.Identifier(self.schema, self.name)


def table_names(count: int, base: str = "customers") -> tuple[str, ...]:
    """The names of a run's source tables, in the order in which writers count them: customers,
    customers_2, ...
    """
    return (base, *(f"{base}_{number}" for number in range(2, count + 1)))


def create_schema(connection: Connection[Any], schema: str, run: str) -> None:
    """Create a run's schema, with the marker."""
    with connection.cursor() as cursor:
        cursor.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(schema)))
        cursor.execute(
            sql.SQL("COMMENT ON SCHEMA {} IS {}").format(
                sql.Identifier(schema), sql.Literal(MARKER + run)
            )
        )


def create_customers(connection: Connection[Any], schema: str, name: str = "customers") -> Table:
    """Create a source table with the marker and full replica identity, so that deletes carry their
    probe.
    """
    table = Table(schema, name)
    with connection.cursor() as cursor:
        cursor.execute(sql.SQL(_CUSTOMERS).format(table=table.identifier))
        cursor.execute(sql.SQL("ALTER TABLE {} REPLICA IDENTITY FULL").format(table.identifier))
        cursor.execute(
            sql.SQL("COMMENT ON TABLE {} IS {}").format(
                table.identifier, sql.Literal(MARKER + "customers")
            )
        )
    return table


def drop_schema(connection: Connection[Any], schema: str) -> None:
    """Drop a schema that carries the marker; none there is fine, one without it raises
    TableError.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT obj_description(oid, 'pg_namespace') FROM pg_namespace WHERE nspname = %s",
            (schema,),
        )
        row = cursor.fetchone()
        if row is None:
            return
        if not str(row[0] or "").startswith(MARKER):
            raise TableError(
                f"schema {schema!r} does not carry the harness's marker; drop it yourself if it"
                " may go"
            )
        cursor.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(schema)))


def truncate(connection: Connection[Any], table: Table) -> None:
    """Empty a table that carries the marker; any other raises TableError."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT obj_description(c.oid, 'pg_class') FROM pg_class c JOIN pg_namespace n ON n.oid"
            " = c.relnamespace WHERE n.nspname = %s AND c.relname = %s",
            (table.schema, table.name),
        )
        row = cursor.fetchone()
        if row is None or not str(row[0] or "").startswith(MARKER):
            raise TableError(
                f"table {table.schema}.{table.name} does not carry the harness's marker and is left"
                " as it is; use a table that the harness created"
            )
        cursor.execute(sql.SQL("TRUNCATE {}").format(table.identifier))
