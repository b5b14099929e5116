"""Fences are written from the process that puts the load on, so they must not hold it up."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import gevent
import pytest
from gevent import socket

from cdc_users.error import FenceRefusedError, TargetError
from cdc_users.users.producer.fence import CustomerFences
from cdc_users.users.target import DatabaseTarget

pytestmark = pytest.mark.gevent

#: What a server says until a client may ask (PostgreSQL documentation, "Message Formats"):
#: AuthenticationOk, ParameterStatus, ReadyForQuery.
WELCOME = (
    b"R\0\0\0\x08\0\0\0\0"
    b"S\0\0\0\x19client_encoding\0UTF8\0"
    b"Z\0\0\0\x05I"
)  # fmt: skip
PLAIN = "sslmode=disable gssencmode=disable user=nobody"


@contextmanager
def writing_a_fence() -> Iterator[tuple[gevent.Greenlet, socket.socket]]:
    """A greenlet that writes one, and its connection at a source that has let it in."""
    with socket.socket() as server, gevent.Timeout(60):
        server.bind(("127.0.0.1", 0))
        server.listen()
        dsn = f"host=127.0.0.1 port={server.getsockname()[1]} {PLAIN}"
        writing = gevent.spawn(
            CustomerFences("run", DatabaseTarget(dsn, "public", ("t",)), lambda: 0), 1
        )
        connection, _ = server.accept()
        connection.recv(4096)
        connection.sendall(WELCOME)
        yield writing, connection


def test_lanes_go_on_while_the_source_does_not_answer() -> None:
    """GIVEN a source that takes a statement and says nothing THEN other greenlets run meanwhile.

    If the driver waited in C, this would stand still for as long as the server is silent.
    """
    with writing_a_fence() as (writing, connection):
        with connection:
            statement = connection.recv(4096)
            under_way = not writing.ready()

        assert b'INSERT INTO "public"."t"' in statement
        assert under_way
        with pytest.raises(TargetError, match="the source does not answer: "):
            writing.get()


@pytest.mark.parametrize(
    ("sqlstate", "error"),
    [
        ("42P01", FenceRefusedError),
        ("42703", FenceRefusedError),
        ("42501", FenceRefusedError),
        ("23514", FenceRefusedError),
        ("P0001", FenceRefusedError),
        ("57P01", TargetError),
        ("53100", TargetError),
    ],
)
def test_a_source_that_refuses_a_row_is_told_from_one_that_cannot_take_it(
    sqlstate: str, error: type[TargetError]
) -> None:
    """GIVEN a table that somebody else has dropped, altered or guarded since THEN it is that."""
    fields = f"SERROR\0C{sqlstate}\0Mno, not this one\nLINE 1: INSERT\0\0".encode()
    refusal = b"E" + (len(fields) + 4).to_bytes(4, "big") + fields + b"Z\0\0\0\x05I"
    with writing_a_fence() as (writing, connection), connection:
        connection.recv(4096)
        connection.sendall(refusal)
        with pytest.raises(TargetError, match="no, not this one") as raised:
            writing.get()
    assert type(raised.value) is error
