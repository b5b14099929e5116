"""How a webhook receiver can answer: correctly, or in the ways of a failing receiver."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web

Apply = Callable[[], web.Response]
#: Decides about each request: whether it is applied, and whether, when and how it is answered.
Handler = Callable[[web.Request, Apply], Awaitable[web.StreamResponse]]
RETRY_AFTER_S = 1
#: Longer than any client waits for an answer.
HANG_S = 600.0


async def apply_and_answer(_: web.Request, apply: Apply) -> web.StreamResponse:
    """Apply the request and answer, as a receiver should."""
    return apply()


async def refuse(_: web.Request, __: Apply) -> web.StreamResponse:
    """Answer with a server error, and apply nothing."""
    return web.Response(status=500)


async def put_off(_: web.Request, __: Apply) -> web.StreamResponse:
    """Answer that there are too many requests, and when to retry (RFC 9110, "Retry-After")."""
    return web.Response(status=429, headers={"Retry-After": str(RETRY_AFTER_S)})


async def hang(_: web.Request, __: Apply) -> web.StreamResponse:
    """Take the request and never answer."""
    await asyncio.sleep(HANG_S)
    return web.Response(status=503)


async def lose_the_answer(request: web.Request, apply: Apply) -> web.StreamResponse:
    """Apply the request, and break the connection in place of an answer."""
    apply()
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=500)


#: By the word with which a fault asks for it; the empty word is the correct receiver.
ANSWERS: Mapping[str, Handler] = {
    "": apply_and_answer,
    "500": refuse,
    "429": put_off,
    "hang": hang,
    "lost": lose_the_answer,
}
