"""How long the Postgres sink waits for a server that does not answer."""

from __future__ import annotations

import asyncio
import os
import signal
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest

from infra.platform.process.error import RetryableError
from infra.platform.sinks.postgres import connection as connection_module
from infra.platform.sinks.postgres.sink import PostgresSink
from infra.stack.endpoints import Endpoints
from tests.batches import Partition
from tests.change_events import Columns, Event

COLUMNS: Columns = {"id": ("long", False), "state": ("string", True)}


@contextmanager
def stopped(stack: Endpoints, name: str) -> Iterator[None]:
    """The server's processes behind this sink take no step."""
    with psycopg.connect(stack.postgres_dsn, autocommit=True) as connection:
        query = "SELECT pid FROM pg_stat_activity WHERE datname = %s AND application_name = %s"
        pids = [row[0] for row in connection.execute(query, (name, "locust-cdc sink"))]
    assert pids
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


@pytest.fixture
def database(stack: Endpoints) -> Iterator[str]:
    """A database of the test's own, so that only its connections are stopped."""
    name = f"cdc_sinks_{uuid.uuid4().hex[:8]}"
    with psycopg.connect(stack.postgres_dsn, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
        yield name
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


async def test_a_server_that_stops_in_silence_is_noticed_and_gone_on_with(
    stack: Endpoints, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection_module, "GRACE_S", 0.2)
    dsn = f"{stack.postgres_dsn} dbname={database} options='-c statement_timeout=500'"
    sink, partition = PostgresSink(dsn, "public.rows"), Partition(columns=COLUMNS)
    await sink.open()
    await sink.write(partition.batch([Event("c", 1, (1, "before"))]))
    batch = partition.batch([Event("c", 2, (2, "after"))])

    with stopped(stack, database):
        began_s = time.monotonic()
        with pytest.raises(RetryableError):
            await asyncio.wait_for(sink.write(batch), 60)
        noticed_s = time.monotonic() - began_s
    await sink.write(batch)
    await sink.close()

    assert noticed_s < 20
    with psycopg.connect(f"{stack.postgres_dsn} dbname={database}") as connection:
        assert connection.execute("SELECT id FROM rows ORDER BY 1").fetchall() == [(1,), (2,)]


@pytest.mark.parametrize(
    ("given", "expected"),
    [("", ("30s", "10s")), ("options='-c statement_timeout=7s -c lock_timeout=3s'", ("7s", "3s"))],
)
async def test_limits_of_ones_own_stay(
    stack: Endpoints, schema: str, given: str, expected: tuple[str, str]
) -> None:
    class Asking(PostgresSink):
        async def settings(self) -> tuple[Any, ...]:
            async with self._connections.connection() as connection:
                query = (
                    "SELECT current_setting('statement_timeout'), current_setting('lock_timeout'),"
                    " current_setting('TimeZone')"
                )
                return tuple(await (await connection.execute(query)).fetchone() or ())

    sink = Asking(f"{stack.postgres_dsn} {given}", f"{schema}.rows")
    await sink.open()
    found = await sink.settings()
    await sink.close()

    assert found == (*expected, "UTC")
