"""The sink's connections, and how long it waits for them.

| wait for | at most |
|---|---|
| a connection | 10 s |
| a lock, a statement, by the server | 10 s, 30 s, unless another limit is set |
| an answer of the server | 10 s more than the statement may take |
| a peer that acknowledges nothing (TCP) | 20 s |
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import psycopg
from psycopg import AsyncConnection
from psycopg.conninfo import conninfo_to_dict

from infra.platform.sinks.postgres.array import (
    ByteaArray,
    ByteaArrayDumper,
    TextArray,
    TextArrayDumper,
)
from infra.platform.sinks.postgres.failure import translated

CONNECTIONS = 8
CONNECT_S = 10
#: How much later than the server itself the sink gives up a statement.
GRACE_S = 10.0
_TCP: dict[str, Any] = {
    "keepalives": 1,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 2,
    "tcp_user_timeout": 20_000,
    "connect_timeout": CONNECT_S,
}
#: Text settings are the same for every server; the limits of the server, the user or the DSN take
#: precedence.
_SESSION = """
SELECT set_config('TimeZone', 'UTC', false), set_config('DateStyle', 'ISO, YMD', false),
       set_config('IntervalStyle', 'postgres', false),
       set_config('extra_float_digits', '3', false), set_config('bytea_output', 'hex', false),
       (SELECT count(set_config(name, CASE name WHEN 'lock_timeout' THEN '10s' ELSE '30s' END,
                                false))
        FROM pg_settings WHERE name IN ('lock_timeout', 'statement_timeout')
        AND source = 'default')"""
_LIMIT = "SELECT setting::float8 / 1000 FROM pg_settings WHERE name = 'statement_timeout'"


class SinkConnections:
    """A few connections, made when they are needed."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._idle: asyncio.LifoQueue[AsyncConnection | None] = asyncio.LifoQueue()
        self._limits_s: dict[AsyncConnection, float] = {}

    def open(self) -> None:
        """Allow connections; connects to nothing yet."""
        for _ in range(CONNECTIONS):
            self._idle.put_nowait(None)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[AsyncConnection]:
        """A connection for one task; a failed connection is not used again.

        Translates psycopg's errors.
        """
        connection = await self._idle.get()
        try:
            if connection is None or connection.closed:
                connection = await self._connect()
            yield connection
        except psycopg.Error as error:
            if connection is not None and connection.closed:
                connection = None
            raise translated(error, self._dsn) from error
        except BaseException:
            if (
                connection is not None
                and connection.info.transaction_status != psycopg.pq.TransactionStatus.IDLE
            ):
                await connection.close()  # the task was given up in the middle
                connection = None
            raise
        finally:
            self._idle.put_nowait(connection)

    @contextmanager
    def limited(self, connection: AsyncConnection) -> Iterator[None]:
        """Inside the block, an answer that does not come in time ends the connection.

        The server's own limit does not help if the server is stopped, or has vanished silently.
        """
        limit_s = self._limits_s.get(connection, 0.0)
        if not limit_s:
            yield
            return
        loop = asyncio.get_running_loop()
        watch = loop.call_later(limit_s + GRACE_S, _cut, connection)
        try:
            yield
        finally:
            watch.cancel()

    async def _connect(self) -> AsyncConnection:
        given = conninfo_to_dict(self._dsn)
        connection = await AsyncConnection.connect(
            self._dsn,
            autocommit=True,
            application_name="locust-cdc sink",
            **{name: value for name, value in _TCP.items() if name not in given},
        )
        connection.adapters.register_dumper(TextArray, TextArrayDumper)
        connection.adapters.register_dumper(ByteaArray, ByteaArrayDumper)
        self._limits_s = {
            known: limit_s for known, limit_s in self._limits_s.items() if not known.closed
        }
        self._limits_s[connection] = CONNECT_S
        with self.limited(connection):
            await connection.execute(_SESSION)
            (limit_s,) = await (await connection.execute(_LIMIT)).fetchone() or (0.0,)
        self._limits_s[connection] = float(limit_s)
        return connection

    async def close(self) -> None:
        """Close all connections."""
        while not self._idle.empty():
            connection = self._idle.get_nowait()
            if connection is not None:
                await connection.close()


def _cut(connection: AsyncConnection) -> None:
    """End the connection, so that the thread that waits for it sees it broken."""
    with (
        contextlib.suppress(OSError, psycopg.Error),
        socket.socket(fileno=os.dup(connection.fileno())) as known,
    ):
        known.shutdown(socket.SHUT_RDWR)
