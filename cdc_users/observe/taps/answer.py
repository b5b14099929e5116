"""How a webhook receiver may answer: as it should, or as receivers do on a bad day."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web

Apply = Callable[[], web.Response]
#: Decides over each request: applies it or not, and answers, late or never.
Handler = Callable[[web.Request, Apply], Awaitable[web.StreamResponse]]
RETRY_AFTER_S = 1
#: Longer than any client waits for an answer.
HANG_S = 600.0


async def apply_and_answer(_: web.Request, apply: Apply) -> web.StreamResponse:
    """The receiver as it should be."""
    return apply()


async def refuse(_: web.Request, __: Apply) -> web.StreamResponse:
    """An error of the server's own; nothing is applied."""
    return web.Response(status=500)


async def put_off(_: web.Request, __: Apply) -> web.StreamResponse:
    """Too many requests: asks to come again later (RFC 9110, "Retry-After")."""
    return web.Response(status=429, headers={"Retry-After": str(RETRY_AFTER_S)})


async def hang(_: web.Request, __: Apply) -> web.StreamResponse:
    """Takes the request and never answers."""
    await asyncio.sleep(HANG_S)
    return web.Response(status=503)


async def lose_the_answer(request: web.Request, apply: Apply) -> web.StreamResponse:
    """Applies the request, and breaks the connection instead of saying so."""
    apply()
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=500)


#: By the word that a fault asks for it with; the empty one is as it should be.
ANSWERS: Mapping[str, Handler] = {
    "": apply_and_answer,
    "500": refuse,
    "429": put_off,
    "hang": hang,
    "lost": lose_the_answer,
}
