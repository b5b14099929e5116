"""Whoever is to go through a relay is told of it, and each place has one."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import closing

import pytest

from cdc_users.pipeline.provision.relays import RunRelays
from infra.faults.fault import RELAYED
from infra.stack.endpoints import Endpoints
from infra.stack.servers.port import BESIDE

HOST = "127.0.0.1"


@pytest.fixture
def port() -> Iterator[int]:
    """The port of a server that says nothing."""
    with closing(socket.create_server((HOST, 0))) as server:
        yield server.getsockname()[1]


def stack(port: int) -> Endpoints:
    dsn = f"host={HOST} port={port} dbname=shop"
    return Endpoints(
        "process",
        dsn,
        f"{HOST}:{port}",
        f"http://{HOST}:{port}/apis/ccompat/v7",
        kafka_beside=f"{BESIDE}:{port}",
    )


def test_connect_is_told_of_the_relay_and_nobody_else_is(port: int) -> None:
    relays = RunRelays()
    through = relays.before_source(stack(port))

    assert through.postgres_dsn == stack(port).postgres_dsn
    assert through.postgres_from_connect == f"{HOST}:{relays.by_place['source'].port}"
    assert relays.before_source(stack(port)) == through


def test_a_sinks_relay_has_the_servers_port_at_another_address(port: int) -> None:
    relays = RunRelays()

    assert relays.before_sink(stack(port)) == BESIDE
    assert relays.before_sink(stack(port)) == BESIDE
    socket.create_connection((BESIDE, port), timeout=10).close()


def test_a_client_of_kafka_goes_where_the_broker_says_that_it_is(port: int) -> None:
    relays = RunRelays()

    assert relays.before_kafka(stack(port)) == f"{BESIDE}:{port}"
    socket.create_connection((BESIDE, port), timeout=10).close()


def test_a_connector_and_the_platform_ask_the_registry_through_one_relay(port: int) -> None:
    relays = RunRelays()
    through, url = relays.before_registry(stack(port))

    assert through.schema_registry_url == stack(port).schema_registry_url
    root = f"http://{HOST}:{relays.by_place['registry'].port}"
    assert (through.registry_from_connect, url) == (root, f"{root}/apis/ccompat/v7")
    assert relays.before_registry(stack(port)) == (through, url)


def test_every_place_that_a_fault_names_can_have_its_relay(port: int) -> None:
    relays = RunRelays()
    with closing(socket.create_server((HOST, 0))) as other:
        relays.before_source(stack(port))
        relays.before_sink(stack(port))
        relays.before_registry(stack(port))
        relays.before_kafka(stack(other.getsockname()[1]))

    assert set(relays.by_place) == set(RELAYED.values())
