"""Many customers at once, without probes, to fill a source table."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from psycopg import Connection, sql

from infra.postgres.table import CUSTOMERS_COLUMNS, Table, truncate

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


def generate_bulk_customers(connection: Connection[Any], count: int, table: Table) -> int:
    """Fill the table with customers 1..count, after emptying it, so that a repeat never violates
    the key.

    Only a table that carries the harness's marker is emptied; any other raises TableError and is
    left as it is. Returns how many rows there are then. All or nothing where the connection is not
    in autocommit.
    """
    truncate(connection, table)
    columns = sql.SQL(", ").join(map(sql.Identifier, CUSTOMERS_COLUMNS[:-1]))
    copy = sql.SQL("COPY {} ({}) FROM STDIN").format(table.identifier, columns)
    with connection.cursor() as cursor, cursor.copy(copy) as rows:
        for number in range(1, count + 1):
            rows.write_row(_customer(number))
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
