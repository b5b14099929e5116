"""A pipeline file from a connector that runs is one that `check` reads."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from cdc_users.pipeline.__main__ import main
from infra.client.http import ask_connect
from infra.postgres.publication import create_publication
from infra.postgres.slot import drop_slot
from infra.postgres.table import create_customers
from infra.stack.debezium.connector import (
    DebeziumConnector,
    create_connector,
    wait_until_streaming,
)
from infra.stack.endpoints import Endpoints

STREAMING_S = 60.0


@pytest.fixture
def connector(stack: Endpoints, schema: str) -> Iterator[DebeziumConnector]:
    """A connector of Debezium's on a table, as a user has one."""
    name = f"init_{uuid.uuid4().hex[:8]}"
    made = DebeziumConnector(
        slot=name,
        name=name.replace("_", "-"),
        publication=name,
        topic_prefix=name,
        tables=(f"{schema}.customers",),
        tuning="latency",
    )
    with psycopg.connect(stack.postgres_dsn, autocommit=True) as connection:
        create_publication(connection, name, [create_customers(connection, schema, "customers")])
        create_connector(stack, made)
        try:
            wait_until_streaming(stack, made, STREAMING_S)
            yield made
        finally:
            url = f"{stack.connect_url}/connectors/{made.name}"
            ask_connect("DELETE", url, timeout=30)
            await_free(connection, name)
            drop_slot(connection, name)
            connection.execute(f"DROP PUBLICATION {name}")


def await_free(connection: psycopg.Connection[tuple[object, ...]], slot: str) -> None:
    active = "SELECT active FROM pg_replication_slots WHERE slot_name = %s"
    deadline_s = time.monotonic() + 30
    while connection.execute(active, (slot,)).fetchone() == (True,):
        assert time.monotonic() < deadline_s
        time.sleep(0.05)


def test_a_file_from_a_connector_is_read_and_says_what_is_there(
    connector: DebeziumConnector, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "shop.toml"

    assert main(["init", str(file), "--from-connector", connector.name]) == 0
    assert "fill in" not in capsys.readouterr().out
    # No row was ever written, so there is no topic yet: that alone is to be mended.
    assert main(["check", str(file)]) == 2

    told = capsys.readouterr().out
    assert f"connector {connector.name}: connector RUNNING, task 0 RUNNING" in told
    assert f"slot {connector.slot}: active for pid" in told
    assert f"publication {connector.publication}" in told
    assert "1 problem(s)" in told
    assert f"there is no topic '{connector.topic_prefix}." in told
