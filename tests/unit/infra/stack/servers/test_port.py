"""Ports are free when they are chosen, and one that is taken is told with what has it."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import psutil
import pytest

from infra.stack.error import StackConfigError
from infra.stack.servers import port as ports
from infra.stack.servers.port import HOST, WELL_KNOWN, check_free, choose_ports, free_ports


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.create_server((HOST, 0)) as server:
        yield int(server.getsockname()[1])


@pytest.mark.parametrize("count", [0, 1, 50])
def test_so_many_different_ports_are_free(count: int) -> None:
    found = free_ports(count)

    assert len(set(found)) == count
    check_free({str(port): port for port in found})


def test_ports_of_a_stack_differ_and_none_is_well_known() -> None:
    chosen = choose_ports("free")

    numbers = [getattr(chosen, name) for name in chosen.__slots__]
    assert len(set(numbers)) == len(numbers)
    assert not set(numbers) & set(WELL_KNOWN.values())


def test_well_known_ports_are_those_that_clients_know(monkeypatch: pytest.MonkeyPatch) -> None:
    free = dict(zip(WELL_KNOWN, free_ports(len(WELL_KNOWN)), strict=True))
    monkeypatch.setattr(ports, "WELL_KNOWN", free)

    chosen = choose_ports("well-known")

    assert (chosen.postgres, chosen.kafka) == (free["postgres"], free["kafka"])
    assert (chosen.registry, chosen.connect) == (free["schema-registry"], free["connect"])
    assert len({getattr(chosen, name) for name in chosen.__slots__}) == len(chosen.__slots__)


def test_a_port_that_is_taken_is_told_with_the_process_that_has_it(taken: int) -> None:
    (free,) = free_ports(1)

    with pytest.raises(StackConfigError) as told:
        check_free({"postgres": free, "kafka": taken, "connect": taken})

    name = psutil.Process().name()
    holder = f"port {taken} by {name} (pid {os.getpid()})"
    assert str(told.value) == (
        f"ports are taken: kafka: {holder}; connect: {holder}. Stop what holds them, or use"
        " --ports free"
    )
    assert told.value.exit_code == 2


@pytest.mark.parametrize("error", [psutil.AccessDenied(), psutil.NoSuchProcess(1)])
def test_a_port_whose_holder_cannot_be_seen_is_another_users(
    taken: int, monkeypatch: pytest.MonkeyPatch, error: psutil.Error
) -> None:
    def hidden(_: str) -> None:
        raise error

    monkeypatch.setattr(psutil, "net_connections", hidden)

    with pytest.raises(StackConfigError, match=f"port {taken} by a process of another user"):
        check_free({"kafka": taken})


def test_a_port_whose_last_connection_is_still_closing_is_free(taken: int) -> None:
    with socket.create_server((HOST, 0)) as server:
        port = int(server.getsockname()[1])
        client = socket.create_connection((HOST, port))
        accepted, _ = server.accept()
        accepted.close()  # this side closes first, so the port waits here (TIME_WAIT)
        client.close()

    check_free({"postgres": port})
