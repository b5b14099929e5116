"""What a steward has done before it was killed, the next one's start undoes, fault by fault."""

from __future__ import annotations

import os
import secrets
import socket
import string
from collections.abc import Iterator

import psycopg
import pytest

from cdc_users.pipeline.declaration import captures
from cdc_users.pipeline.provision.client import StewardClient
from cdc_users.pipeline.provision.message import Names, PreparePipeline
from cdc_users.scenario import Pipeline
from infra.faults.fault import FaultObjects
from infra.stack.endpoints import Endpoints
from infra.stack.find.locate import locate
from infra.stack.servers.port import BESIDE
from infra.stack.supervise.state import CHECKOUT
from tests.scenarios.locust_process import NOTHING, leftovers

#: One of each kind: a row's shape, a session of somebody else's, a topic, a connector, a table of
#: the sink's, three relays, and a server that stands still.
DONE = (
    "rename-column",
    "idle-transaction",
    "message-too-large",
    "pause-connector",
    "lock-sink-table",
    "silent-network",
    "silent-sink-network",
    "silent-registry-network",
    "pause-registry",
)
PIPELINE = Pipeline(sink="postgres", watched=True, relayed=("source", "sink", "registry"))


def run_name() -> str:
    return "".join(secrets.choice(string.ascii_lowercase) for _ in range(8))


def objects_of(names: Names) -> FaultObjects:
    return FaultObjects(
        schema=names.schema,
        tables=names.tables,
        topics=names.topics,
        slot=names.slot,
        publication=names.publication,
        connector=captures().by_name["debezium"].connector(names.schema),
        sink_table=names.sink_table,
        group=names.group,
    )


@pytest.fixture
def steward() -> Iterator[StewardClient]:
    made = StewardClient()
    yield made
    made.close()


def test_a_killed_stewards_faults_are_undone_by_the_next(
    stack: Endpoints, steward: StewardClient, capfd: pytest.CaptureFixture[str]
) -> None:
    run = run_name()
    steward.open(run, "test", ())
    names = steward.prepare(
        PreparePipeline(
            name=f"cdc_{run}", tables=("customers",), tuning="latency", pipeline=PIPELINE
        )
    )
    with psycopg.connect(stack.postgres_dsn, autocommit=True) as connection:
        port = connection.info.port
        connection.execute(f"CREATE TABLE {names.sink_table} (id bigint)")
    for fault in DONE:
        steward.inject(fault, objects_of(names), ())
    assert names.sink_hostaddr == BESIDE
    socket.create_connection((BESIDE, port), timeout=5).close()

    steward._process.kill()
    steward._process.wait()
    after = StewardClient()
    try:
        endpoints, owned = after.open(run_name(), "test", ())
    finally:
        problems = after.close()

    assert (endpoints.kafka_bootstrap, owned, problems) == (stack.kafka_bootstrap, False, [])
    said = capfd.readouterr().err
    assert f"cleared away what run {run} had left behind" in said
    assert "not undone" not in said
    assert locate(CHECKOUT, os.environ) is not None
    assert leftovers(stack) == NOTHING
    with pytest.raises(OSError, match="refused"):
        socket.create_connection((BESIDE, port), timeout=5)
