"""A door in front of the schema registry that adds TLS and a password; the registry itself has no
password without a separate login service.

`python -m infra.stack.servers.secured.registry_door` reads its settings from the file that
CDC_REGISTRY_DOOR names. An admitted request goes on to the registry on loopback unchanged.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import os
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp
import msgspec
from aiohttp import web

from infra.stack.servers.port import HOST

VARIABLE = "CDC_REGISTRY_DOOR"
MOST_BYTES = 16 * 1024 * 1024
#: Headers of one connection, which a proxy does not pass on (RFC 9110, section 7.6.1).
_HOP_BY_HOP = frozenset(
    (
        "authorization",
        "connection",
        "content-encoding",
        "content-length",
        "host",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    )
)


class RegistryDoorSettings(msgspec.Struct, frozen=True):
    """Where the door listens, the registry behind it, and who may enter."""

    port: int
    behind: str
    certificate: str
    user: str
    password: str


def allowed(header: str, settings: RegistryDoorSettings) -> bool:
    """Whether an Authorization header is the user's (RFC 7617)."""
    scheme, _, encoded = header.partition(" ")
    try:
        given = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        return False
    wanted = f"{settings.user}:{settings.password}".encode()
    return scheme.lower() == "basic" and hmac.compare_digest(given, wanted)


def application(settings: RegistryDoorSettings) -> web.Application:
    """The door as a web application."""
    made = web.Application(client_max_size=MOST_BYTES)

    async def client(_: web.Application) -> object:
        async with aiohttp.ClientSession(auto_decompress=True) as session:
            made[_SESSION] = session
            yield

    made.cleanup_ctx.append(client)  # type: ignore[arg-type]
    made.router.add_route("*", "/{path:.*}", _passing(settings))
    return made


def _passing(settings: RegistryDoorSettings) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def passed(request: web.Request) -> web.Response:
        if not allowed(request.headers.get("Authorization", ""), settings):
            raise web.HTTPUnauthorized(
                headers={"WWW-Authenticate": 'Basic realm="schema registry"'},
                text='{"error_code": 401, "message": "a user and a password are needed"}',
                content_type="application/json",
            )
        kept = {k: v for k, v in request.headers.items() if k.lower() not in _HOP_BY_HOP}
        where = settings.behind + request.raw_path
        session = request.app[_SESSION]
        async with session.request(
            request.method, where, headers=kept, data=await request.read(), allow_redirects=False
        ) as answer:
            body = await answer.read()
            headers = {k: v for k, v in answer.headers.items() if k.lower() not in _HOP_BY_HOP}
            return web.Response(status=answer.status, headers=headers, body=body)

    return passed


_SESSION = web.AppKey("session", aiohttp.ClientSession)


def main() -> None:
    """Serve until the process is asked to end."""
    settings = msgspec.json.decode(
        Path(os.environ[VARIABLE]).read_bytes(), type=RegistryDoorSettings
    )
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(settings.certificate)
    web.run_app(
        application(settings),
        host=HOST,
        port=settings.port,
        ssl_context=context,
        access_log=None,
        print=None,
    )


if __name__ == "__main__":
    main()
