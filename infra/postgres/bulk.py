"""Many customers at once, without a probe: filling for a source table."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from psycopg2 import sql
from psycopg2.extensions import connection as Connection
from psycopg2.extras import execute_values

from infra.postgres.table import CUSTOMERS_COLUMNS, Table, truncate

PAGE_ROWS = 1000
EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


def generate_bulk_customers(connection: Connection, count: int, table: Table) -> int:
    """Fill the table with customers 1..count, after emptying it, so that a repeat never violates
    the key.

    Only a table that carries the harness's marker is emptied; any other raises TableError and is
    left as it is. Returns how many rows there are then. All or nothing where the connection is not
    in autocommit.
    """
    truncate(connection, table)
    columns = sql.SQL(", ").join(map(sql.Identifier, CUSTOMERS_COLUMNS[:-1]))
    insert = sql.SQL("INSERT INTO {} ({}) VALUES %s").format(table.identifier, columns)
    with connection.cursor() as cursor:
        execute_values(
            cursor,
            insert,
            (_customer(number) for number in range(1, count + 1)),
            page_size=PAGE_ROWS,
        )
    return count


def _customer(number: int) -> tuple[int, str, str, str, str | None, Decimal, datetime, str | None]:
    return (
        number,
        f"First{number}",
        f"Last{number}",
        f"customer{number}@example.test",
        None if number % 4 == 0 else f"+1 555 {number % 10**7:07d}",
        Decimal(number * 31 % 10**6).scaleb(-2),
        EPOCH + timedelta(seconds=number),
        None if number % 2 else "bulk",
    )
