"""Loopback ports: free ones, or the well-known ones; an error names the process that has a port."""

from __future__ import annotations

import socket
from contextlib import closing
from dataclasses import dataclass, fields, replace
from typing import Any

import psutil

from infra.stack.error import StackConfigError

HOST = "127.0.0.1"
#: Loopback too (RFC 1122, section 3.2.1.3): here a relay has the same port as a server at HOST.
BESIDE = "127.0.0.2"
WELL_KNOWN = {
    "postgres": 5432,
    "kafka": 9092,
    "schema-registry": 8081,
    "connect": 8083,
    "webhook": 8080,
}


@dataclass(frozen=True, slots=True)
class Ports:
    """The ports of one stack."""

    postgres: int
    kafka: int
    controller: int
    registry: int
    registry_management: int
    connect: int
    #: In a secured stack the broker's internal listener, else the listener for a relay's clients.
    kafka_internal: int
    #: In a secured stack: the ports of the servers behind their doors.
    registry_inner: int
    postgres_inner: int
    #: Where Connect shows its metrics, if it shows any.
    metrics: int


def choose_ports(kind: str) -> Ports:
    """Free ports, or the well-known ones; raises StackConfigError naming the process on a port."""
    free = Ports(*free_ports(len(fields(Ports))))
    if kind == "free":
        return free
    check_free(WELL_KNOWN)
    return replace(
        free,
        postgres=WELL_KNOWN["postgres"],
        kafka=WELL_KNOWN["kafka"],
        registry=WELL_KNOWN["schema-registry"],
        connect=WELL_KNOWN["connect"],
    )


def free_ports(count: int) -> list[int]:
    """This many different free ports; all are held until the last is found, so none comes twice."""
    held = [socket.socket() for _ in range(count)]
    try:
        for sock in held:
            sock.bind((HOST, 0))
        return [int(sock.getsockname()[1]) for sock in held]
    finally:
        for sock in held:
            sock.close()


def check_free(wanted: dict[str, int]) -> None:
    """Raise StackConfigError that names every wanted port that is taken, and its process."""
    taken = [f"{name}: {_holder(port)}" for name, port in wanted.items() if not _is_free(port)]
    if taken:
        raise StackConfigError(
            "ports are taken: " + "; ".join(taken) + ". Stop what holds them, or use --ports free"
        )


def _is_free(port: int) -> bool:
    with closing(socket.socket()) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((HOST, port))
        except OSError:
            return False
        return True


def _holder(port: int) -> str:
    try:
        for connection in psutil.net_connections("inet"):
            address: Any = connection.laddr
            if connection.status == psutil.CONN_LISTEN and address.port == port and connection.pid:
                return (
                    f"port {port} by {psutil.Process(connection.pid).name()} (pid {connection.pid})"
                )
    except psutil.Error:
        pass
    return f"port {port} by a process of another user"
