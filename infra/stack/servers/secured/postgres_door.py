"""A door in front of PostgreSQL that speaks TLS; the wheel's server was built without TLS.

`python -m infra.stack.servers.secured.postgres_door` reads its settings from the file that
CDC_POSTGRES_DOOR names. A connection begins with a request for TLS (PostgreSQL documentation, "SSL
Session Encryption" of the message flow); a connection without that request is refused. All later
bytes pass through unchanged, so the server itself does the login (SCRAM).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
import struct
from pathlib import Path

import msgspec

from infra.stack.servers.port import HOST

VARIABLE = "CDC_POSTGRES_DOOR"
#: Request codes of the first message.
SSL_REQUEST, GSS_REQUEST = 80877103, 80877104
_FIRST = struct.Struct("!II")
CHUNK_BYTES = 1 << 18
#: SQLSTATE invalid_authorization_specification, which the server uses for its own rules too.
_REFUSED = b"SFATAL\0VFATAL\0C28000\0Mthis server asks for TLS; write sslmode=verify-full\0\0"


class PostgresDoorSettings(msgspec.Struct, frozen=True):
    """Where the door listens, the port of the server behind it, and its certificate."""

    port: int
    behind: int
    certificate: str


def refusal() -> bytes:
    """An ErrorResponse for a client without TLS."""
    return b"E" + struct.pack("!I", len(_REFUSED) + 4) + _REFUSED


async def opened(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, context: ssl.SSLContext
) -> bool:
    """Whether the client has asked for TLS; if so, the connection is encrypted from here on."""
    while True:
        length, code = _FIRST.unpack(await reader.readexactly(_FIRST.size))
        if (length, code) == (_FIRST.size, GSS_REQUEST):
            writer.write(b"N")
            await writer.drain()
            continue
        if (length, code) != (_FIRST.size, SSL_REQUEST):
            writer.write(refusal())
            await writer.drain()
            return False
        writer.write(b"S")
        await writer.drain()
        await writer.start_tls(context)
        return True


async def passed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Copy everything from one side to the other, until one of them ends."""
    with contextlib.suppress(OSError):
        while data := await reader.read(CHUNK_BYTES):
            writer.write(data)
            await writer.drain()
    writer.close()


async def serve(settings: PostgresDoorSettings) -> None:
    """Serve until the process is asked to end."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(settings.certificate)

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, ssl.SSLError):
            if await opened(reader, writer, context):
                inner = await asyncio.open_connection(HOST, settings.behind, limit=CHUNK_BYTES)
                await asyncio.gather(passed(reader, inner[1]), passed(inner[0], writer))
        writer.close()

    server = await asyncio.start_server(connected, HOST, settings.port, limit=CHUNK_BYTES)
    async with server:
        await server.serve_forever()


def main() -> None:
    """Serve with the settings of the file."""
    content = Path(os.environ[VARIABLE]).read_bytes()
    asyncio.run(serve(msgspec.json.decode(content, type=PostgresDoorSettings)))


if __name__ == "__main__":
    main()
