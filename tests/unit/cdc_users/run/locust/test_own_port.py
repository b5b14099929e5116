"""A master that forks its workers has a port of its own, unless the user names one."""

from __future__ import annotations

import socket
from argparse import Namespace

import pytest

from cdc_users.run.locust.own_port import LOCUSTS_PORT, give_forked_workers_a_port


def ports(processes: int | None, worker: bool, port: int, bind: int) -> tuple[int, int]:
    parsed = Namespace(processes=processes, worker=worker, master_port=port, master_bind_port=bind)
    give_forked_workers_a_port(parsed)
    return parsed.master_port, parsed.master_bind_port


@pytest.mark.parametrize("processes", [-1, 1, 8])
def test_workers_that_are_forked_meet_their_master_at_one_free_port(processes: int) -> None:
    port, bind = ports(processes, False, LOCUSTS_PORT, LOCUSTS_PORT)

    assert port == bind != LOCUSTS_PORT
    with socket.create_server(("127.0.0.1", port)):
        pass


@pytest.mark.parametrize(
    ("processes", "worker", "port", "bind"),
    [
        (None, False, LOCUSTS_PORT, LOCUSTS_PORT),
        (0, False, LOCUSTS_PORT, LOCUSTS_PORT),
        (2, True, LOCUSTS_PORT, LOCUSTS_PORT),
        (2, False, 6000, LOCUSTS_PORT),
        (2, False, LOCUSTS_PORT, 6000),
        (2, False, 6000, 6000),
    ],
)
def test_a_port_that_is_named_or_is_for_others_is_left_alone(
    processes: int | None, worker: bool, port: int, bind: int
) -> None:
    assert ports(processes, worker, port, bind) == (port, bind)
