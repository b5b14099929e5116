"""Whom an HTTP server of ours on loopback answers: programs of this machine, and no web page; and
where more is asked of it than figures, the program that has started it and nobody else.

A page of any site can make the browser of this machine send requests to loopback, and a name that
an attacker has rebound to 127.0.0.1 can even be read from (DNS rebinding). The browser says which
it is: by `Origin`, and by the name in `Host`.
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
    """Refuse what a browser sends: our own clients name the server by its address, and no
    origin.
    """
    if not is_loopback(host_of(request.headers.get("Host", ""))):
        raise web.HTTPMisdirectedRequest(text="ask for this server by 127.0.0.1")
    if "Origin" in request.headers:
        raise web.HTTPForbidden(text="no web page is answered here")
    return await handler(request)


def is_starter(request: web.Request, token: str) -> bool:
    """Whether a request has the token that this process was given at its start: loopback is open to
    every user of the machine. Without a token nobody is the starter.
    """
    given = request.headers.get("Authorization", "").removeprefix("Bearer ")
    return bool(token) and hmac.compare_digest(octets(given), token.encode())


def octets(header: str) -> bytes:
    """A header as it was sent: bytes that are no UTF-8 are surrogates in its text."""
    return header.encode("utf-8", "surrogateescape")


def starter_only(token: str) -> Middleware:
    """Refuse everybody but the program that has started this process."""

    @web.middleware
    async def known(request: web.Request, handler: RouteHandler) -> web.StreamResponse:
        if not is_starter(request, token):
            raise web.HTTPUnauthorized(text="the token of this process is needed")
        return await handler(request)

    return known
