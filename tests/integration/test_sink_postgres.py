"""The Postgres sink on tables of somebody else's making, on a real server."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from infra.avro.kind import PLACEHOLDER
from infra.platform.process.error import RefusedError
from infra.platform.sinks.postgres.sink import PostgresSink
from infra.stack.endpoints import Endpoints
from tests.batches import Partition
from tests.change_events import Encoder, Event

COLUMNS: dict[str, tuple[Any, bool]] = {
    "id": ("long", False),
    "state": ("string", False),
    "body": ("string", False),
    "notes": ("string", True),
}


@pytest.fixture
def table(stack: Endpoints) -> Iterator[str]:
    """A table whose large columns may not be NULL, with the version that the sink keeps in its
    own.
    """
    name = f"cdc_sinks_{uuid.uuid4().hex[:8]}"
    with psycopg.connect(stack.postgres_dsn, autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {name}")
        connection.execute(
            f"CREATE TABLE {name}.rows (id bigint PRIMARY KEY, state text NOT NULL, body text NOT"
            " NULL, notes text, cdc_version bigint)"
        )
        yield f"{name}.rows"
        connection.execute(f"DROP SCHEMA {name} CASCADE")


def rows_of(stack: Endpoints, table: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(stack.postgres_dsn) as connection:
        return connection.execute(
            f"SELECT id, state, body, notes FROM {table} ORDER BY id"
        ).fetchall()


def offset_of(stack: Endpoints, table: str) -> int:
    with psycopg.connect(stack.postgres_dsn) as connection:
        (offset,) = connection.execute(f"SELECT next_offset FROM {table}_offsets").fetchone() or (
            0,
        )
        return int(offset)


async def test_a_column_that_may_not_be_null_stays_when_it_was_not_sent(
    stack: Endpoints, table: str
) -> None:
    sink, partition = PostgresSink(stack.postgres_dsn, table), Partition(columns=COLUMNS)
    await sink.open()
    await sink.write(
        partition.batch([Event("c", key, (key, "new", "large", "kept")) for key in (1, 2, 3)])
    )
    changed = partition.batch(
        [
            Event("u", 1, (1, "changed", PLACEHOLDER, "other")),
            Event("u", 2, (2, "changed", PLACEHOLDER, PLACEHOLDER)),
            Event("u", 3, (3, "changed", "larger", "other")),
        ]
    )

    await sink.write(changed)
    again = PostgresSink(stack.postgres_dsn, table)
    await again.open()
    await again.write(changed)
    await sink.close()
    await again.close()

    assert rows_of(stack, table) == [
        (1, "changed", "large", "other"),
        (2, "changed", "large", "kept"),
        (3, "changed", "larger", "other"),
    ]
    assert offset_of(stack, table) == 6


async def test_a_newer_row_is_not_changed_by_an_older_event_that_lacks_columns(
    stack: Endpoints, table: str
) -> None:
    """A key has moved to another partition, which is ahead of the one that it was in before."""
    sink = PostgresSink(stack.postgres_dsn, table)
    old, new = (
        Partition(columns=COLUMNS),
        Partition(number=1, columns=COLUMNS, lsn=1_000_000),
    )
    await sink.open()
    await sink.write(new.batch([Event("u", 1, (1, "newer", "large", "kept"))]))

    await sink.write(old.batch([Event("u", 1, (1, "older", PLACEHOLDER, PLACEHOLDER))]))
    await sink.write(old.batch([Event("u", 1, (1, "older", "small", "other"))]))
    await sink.close()

    assert rows_of(stack, table) == [(1, "newer", "large", "kept")]


async def test_a_row_that_is_not_there_is_inserted_without_what_was_not_sent(
    stack: Endpoints, table: str
) -> None:
    sink, partition = PostgresSink(stack.postgres_dsn, table), Partition(columns=COLUMNS)
    await sink.open()
    await sink.write(partition.batch([Event("c", 1, (1, "new", "large", "kept"))]))

    await sink.write(
        partition.batch(
            [
                Event("u", 1, (1, "changed", "larger", PLACEHOLDER)),
                Event("u", 2, (2, "changed", "large", PLACEHOLDER)),
            ]
        )
    )
    with pytest.raises(RefusedError, match="body"):
        await sink.write(partition.batch([Event("u", 3, (3, "changed", PLACEHOLDER, "other"))]))
    await sink.close()

    assert rows_of(stack, table) == [
        (1, "changed", "larger", "kept"),
        (2, "changed", "large", None),
    ]
    assert offset_of(stack, table) == 3
    assert sink.incomplete_rows == 1


async def test_a_truncate_is_refused_even_where_no_table_is_yet(
    stack: Endpoints, table: str
) -> None:
    encoder, partition = Encoder(COLUMNS), Partition(columns=COLUMNS)
    (truncate,) = partition.items([(None, encoder.value(Event("t", 0)))])
    sink = PostgresSink(stack.postgres_dsn, f"{table}_to_be")
    await sink.open()

    with pytest.raises(RefusedError, match="truncate"):
        await sink.write(truncate)
    await sink.close()
