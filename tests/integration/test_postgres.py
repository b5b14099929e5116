"""Source tables, slots and publications on a real server: only what carries the marker is ever
emptied or dropped.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import closing

import psycopg
import pytest
from psycopg import Connection

from infra.postgres.bulk import generate_bulk_customers
from infra.postgres.publication import create_publication, drop_publication
from infra.postgres.slot import drop_slot
from infra.postgres.table import Table, TableError, create_customers, create_schema, drop_schema
from infra.stack.endpoints import Endpoints


@pytest.fixture
def connection(stack: Endpoints) -> Iterator[Connection]:
    with closing(psycopg.connect(stack.postgres_dsn, autocommit=True)) as opened:
        yield opened


@pytest.fixture
def schema(connection: Connection) -> Iterator[str]:
    name = f"cdc_test_{uuid.uuid4().hex[:8]}"
    create_schema(connection, name, "test")
    yield name
    with connection.cursor() as cursor:
        cursor.execute(f"DROP SCHEMA IF EXISTS {name} CASCADE")


def count(connection: Connection, table: Table) -> int:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM {table.schema}.{table.name}")
        (found,) = cursor.fetchone() or (0,)
        return int(found)


def test_bulk_customers_can_be_generated_again_without_violating_the_key(
    connection: Connection, schema: str
) -> None:
    table = create_customers(connection, schema)

    assert generate_bulk_customers(connection, 2500, table) == 2500
    assert generate_bulk_customers(connection, 1200, table) == 1200
    assert count(connection, table) == 1200


def test_a_table_without_the_marker_is_left_as_it_is(connection: Connection, schema: str) -> None:
    table = create_customers(connection, schema)
    generate_bulk_customers(connection, 10, table)
    with connection.cursor() as cursor:
        cursor.execute(f"COMMENT ON TABLE {schema}.customers IS 'somebody else''s'")

    with pytest.raises(TableError, match="marker"):
        generate_bulk_customers(connection, 5, table)
    assert count(connection, table) == 10


def test_a_schema_without_the_marker_is_not_dropped(connection: Connection, schema: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"COMMENT ON SCHEMA {schema} IS NULL")

    with pytest.raises(TableError, match="marker"):
        drop_schema(connection, schema)


def test_dropping_what_is_not_there_is_fine(connection: Connection) -> None:
    drop_schema(connection, "cdc_nothing")
    drop_publication(connection, "cdc_nothing")
    drop_slot(connection, "cdc_nothing")


def test_a_slot_and_a_publication_are_dropped(connection: Connection, schema: str) -> None:
    create_publication(connection, schema, [create_customers(connection, schema)])
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", (schema,))

    drop_slot(connection, schema)
    drop_publication(connection, schema)

    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM pg_replication_slots WHERE slot_name = %s", (schema,))
        assert cursor.fetchone() is None
