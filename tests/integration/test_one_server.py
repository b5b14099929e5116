"""One server of a real stack is killed, started again, stopped and let go on; the others live."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import closing

import psycopg
import pytest

from infra.stack.endpoints import Endpoints
from tests.real_stack import server, stack_command

ALIVE = ("kafka", "connect", "schema-registry")
#: A server that stands still accepts connections, and says nothing on them.
SILENT_S = 2


@pytest.fixture
def kept(stack: Endpoints) -> Iterator[str]:
    """A table with a row; PostgreSQL is at work again after the test, whatever has happened."""
    name = f"cdc_kept_{uuid.uuid4().hex[:8]}"
    execute(stack, f"CREATE TABLE {name} AS SELECT 1 AS id")
    yield name
    if not answers(stack):
        stack_command("resume", "postgres")
    if not answers(stack):
        stack_command("restart", "postgres")
    execute(stack, f"DROP TABLE {name}")


def answers(stack: Endpoints) -> bool:
    try:
        with closing(psycopg.connect(stack.postgres_dsn, connect_timeout=SILENT_S)):
            return True
    except psycopg.OperationalError:
        return False


def execute(stack: Endpoints, statement: str) -> None:
    with closing(psycopg.connect(stack.postgres_dsn, autocommit=True)) as connection:
        connection.execute(statement.encode())


def pids() -> dict[str, int | None]:
    found = {name: server(name) for name in ("postgres", *ALIVE)}
    return {name: None if process is None else process.pid for name, process in found.items()}


def rows(stack: Endpoints, table: str) -> int:
    with closing(
        psycopg.connect(stack.postgres_dsn, autocommit=True, connect_timeout=SILENT_S)
    ) as connection:
        row = connection.execute(f"SELECT count(*) FROM {table}".encode()).fetchone()
        assert row is not None
        return int(row[0])


def test_a_killed_server_cannot_be_stopped_and_is_another_process_after_its_restart(
    stack: Endpoints, kept: str
) -> None:
    before = pids()

    assert stack_command("kill", "postgres").returncode == 0
    with pytest.raises(psycopg.OperationalError):
        rows(stack, kept)
    refused = stack_command("pause", "postgres")
    assert refused.returncode == 2
    assert "infra.stack restart postgres" in refused.stdout + refused.stderr
    again = stack_command("restart", "postgres")
    assert again.returncode == 0, again.stdout + again.stderr

    after = pids()
    assert rows(stack, kept) == 1
    assert after["postgres"] not in (None, before["postgres"])
    assert {name: after[name] for name in ALIVE} == {name: before[name] for name in ALIVE}


def test_a_stopped_server_says_nothing_until_it_goes_on(stack: Endpoints, kept: str) -> None:
    before = pids()

    assert stack_command("pause", "postgres").returncode == 0
    with pytest.raises(psycopg.OperationalError):
        rows(stack, kept)
    assert stack_command("resume", "postgres").returncode == 0

    assert rows(stack, kept) == 1
    assert pids() == before
