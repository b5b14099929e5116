"""HTTP servers with TLS, for tests: certificates of an authority of their own, valid or not."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event, Thread

from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from infra.stack.servers.password import write_private
from infra.stack.servers.secured.certificate import key_pem, new_issuer

NOW = datetime.now(UTC)
VALID = (NOW - timedelta(days=1), NOW + timedelta(days=1))
EXPIRED = (NOW - timedelta(days=9), NOW - timedelta(days=2))


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """A server's key with its certificate, and the authority that signed it."""

    server: Path
    authority: Path


def tls_files(directory: Path, name: str, valid: tuple[datetime, datetime] = VALID) -> TlsFiles:
    """Files of a new authority."""
    issuer, key = new_issuer(valid), ec.generate_private_key(ec.SECP256R1())
    shown = issuer.sign("a server", key, server=True)
    found = TlsFiles(directory / f"{name}.pem", directory / f"{name}-ca.pem")
    write_private(found.server, key_pem(key) + shown.public_bytes(Encoding.PEM))
    write_private(found.authority, issuer.own().public_bytes(Encoding.PEM))
    return found


@contextmanager
def serving(application: web.Application, certificate: Path | None = None) -> Iterator[str]:
    """Serve from a thread, by TLS where there is a certificate; gives HOST:PORT."""
    loop, ready, places = asyncio.new_event_loop(), Event(), []
    context = None
    if certificate is not None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate)

    async def listen() -> web.AppRunner:
        runner = web.AppRunner(application, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
        places.append(runner.addresses[0])
        return runner

    def run() -> None:
        runner = loop.run_until_complete(listen())
        ready.set()
        loop.run_forever()
        loop.run_until_complete(runner.cleanup())
        loop.run_until_complete(asyncio.sleep(0.1))  # TLS says good-bye a moment later
        loop.close()

    thread = Thread(target=run, daemon=True)
    thread.start()
    assert ready.wait(10)
    try:
        yield f"127.0.0.1:{places[0][1]}"
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
