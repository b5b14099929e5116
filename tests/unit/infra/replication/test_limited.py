"""A server that takes connections and answers nothing does not hold up its client."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from threading import Thread

import psycopg
import pytest

from infra.replication.limited import LimitedConnection

#: AuthenticationOk and ReadyForQuery (PostgreSQL documentation, "Message Formats").
WELCOME = b"R\0\0\0\x08\0\0\0\0" + b"Z\0\0\0\x05I"


@contextmanager
def silent_postgres() -> Iterator[str]:
    """The DSN of a server that lets every client in and then stands still."""
    clients: list[socket.socket] = []

    def serve() -> None:
        while True:
            try:
                client, _ = listening.accept()
            except OSError:  # the test is over
                return
            clients.append(client)
            client.recv(10_000)
            client.sendall(WELCOME)

    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        thread = Thread(target=serve)
        thread.start()
        try:
            yield (
                f"host=127.0.0.1 port={listening.getsockname()[1]} user=u dbname=d"
                " sslmode=disable gssencmode=disable"
            )
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()
            for client in clients:
                client.close()


def test_a_statement_without_an_answer_ends_at_the_clients_limit() -> None:
    with silent_postgres() as dsn:
        connection = LimitedConnection.connect(dsn, autocommit=True)
        connection.answer_s = 0.2
        with (
            closing(connection),
            pytest.raises(psycopg.OperationalError, match=r"has not answered for 0\.2 s"),
        ):
            connection.execute("SELECT 1")
