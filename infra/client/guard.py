"""Which clients an HTTP server of ours on loopback answers: programs of this machine, and no web
pages; and for more than figures, only the program that started it.

A page of any site can make this machine's browser send requests to loopback. A name that an
attacker has rebound to 127.0.0.1 can even read the answers (DNS rebinding). The browser reveals
both: by `Origin`, and by the name in `Host`.
"""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable

from aiohttp import web
from aiohttp.typedefs import Middleware

from infra.validate import host_of, is_loopback

RouteHandler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@web.middleware
async def programs_only(request: web.Request, handler: RouteHandler) -> web.StreamResponse:
    """Refuse browsers' requests: our own clients name the server by its address, and send no
    origin.
    """
    if not is_loopback(host_of(request.headers.get("Host", ""))):
        raise web.HTTPMisdirectedRequest(text="ask for this server by 127.0.0.1")
    if "Origin" in request.headers:
        raise web.HTTPForbidden(text="no web page is answered here")
    return await handler(request)


def is_starter(request: web.Request, token: str) -> bool:
    """Whether a request has the token that this process got at its start; loopback alone is open to
    every user of the machine. Without a token no request is the starter's.
    """
    given = request.headers.get("Authorization", "").removeprefix("Bearer ")
    return bool(token) and hmac.compare_digest(octets(given), token.encode())


def octets(header: str) -> bytes:
    """A header as it was sent: bytes that are no UTF-8 are surrogates in its text."""
    return header.encode("utf-8", "surrogateescape")


def starter_only(token: str) -> Middleware:
    """Refuse everyone except the program that has started this process."""

    @web.middleware
    async def known(request: web.Request, handler: RouteHandler) -> web.StreamResponse:
        if not is_starter(request, token):
            raise web.HTTPUnauthorized(text="the token of this process is needed")
        return await handler(request)

    return known
