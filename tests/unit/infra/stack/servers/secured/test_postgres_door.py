"""PostgreSQL's door: TLS on request, as its protocol has it, and nobody in without."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import struct
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from infra.stack.servers.port import free_ports
from infra.stack.servers.secured.postgres_door import (
    GSS_REQUEST,
    SSL_REQUEST,
    PostgresDoorSettings,
    refusal,
    serve,
)
from tests.tls import TlsFiles, tls_files

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
STARTUP = struct.pack("!II", 20, 196608)


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A server behind the door: it says everything back."""
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()


def through_the_door(tmp_path: Path, ask: Callable[[int, TlsFiles], Awaitable[None]]) -> None:
    """Run a client against a door with an echo behind it."""
    tls = tls_files(tmp_path, "door")
    outer, inner = free_ports(2)

    async def run() -> None:
        behind = await asyncio.start_server(_echo, "127.0.0.1", inner)
        settings = PostgresDoorSettings(outer, inner, str(tls.server))
        door = asyncio.create_task(serve(settings))
        try:
            async with behind, asyncio.timeout(20):
                await ask(outer, tls)
        finally:
            # The door sees its client go, and closes what it holds, before it ends itself.
            mine = {door, asyncio.current_task()}
            if others := asyncio.all_tasks() - mine:
                await asyncio.wait(others, timeout=5)
            door.cancel()
            await asyncio.gather(door, return_exceptions=True)

    asyncio.run(run())


async def connect(port: int) -> Streams:
    """A connection, once the door listens."""
    while True:
        try:
            return await asyncio.open_connection("127.0.0.1", port)
        except ConnectionRefusedError:
            await asyncio.sleep(0.01)


async def closed(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError, ssl.SSLError):
        await writer.wait_closed()


async def asked(streams: Streams, code: int) -> bytes:
    reader, writer = streams
    writer.write(struct.pack("!II", 8, code))
    return await reader.readexactly(1)


def test_what_asks_for_tls_goes_through_both_ways(tmp_path: Path) -> None:
    async def ask(port: int, tls: TlsFiles) -> None:
        reader, writer = await connect(port)
        assert await asked((reader, writer), SSL_REQUEST) == b"S"
        context = ssl.create_default_context(cafile=str(tls.authority))
        await writer.start_tls(context, server_hostname="127.0.0.1")
        message = bytes(range(256)) * 4096
        writer.write(message)
        assert await reader.readexactly(len(message)) == message
        await closed(writer)

    through_the_door(tmp_path, ask)


def test_kerberos_is_declined_and_tls_may_follow(tmp_path: Path) -> None:
    async def ask(port: int, _: TlsFiles) -> None:
        streams = await connect(port)
        assert await asked(streams, GSS_REQUEST) == b"N"
        assert await asked(streams, SSL_REQUEST) == b"S"
        await closed(streams[1])

    through_the_door(tmp_path, ask)


@pytest.mark.parametrize("first", [STARTUP, struct.pack("!II", 8, 1)])
def test_what_does_not_ask_for_tls_is_told_why_and_reaches_nothing(
    tmp_path: Path, first: bytes
) -> None:
    async def ask(port: int, _: TlsFiles) -> None:
        reader, writer = await connect(port)
        writer.write(first)
        assert await reader.read() == refusal()
        await closed(writer)

    through_the_door(tmp_path, ask)


def test_the_refusal_is_an_error_that_clients_can_read() -> None:
    kind, length = struct.unpack("!cI", refusal()[:5])
    fields = {part[:1]: part[1:] for part in refusal()[5:].rstrip(b"\0").split(b"\0")}

    assert (kind, length) == (b"E", len(refusal()) - 1)
    assert fields[b"C"] == b"28000"
    assert b"sslmode" in fields[b"M"]
