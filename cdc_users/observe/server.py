"""The observer's HTTP server on loopback: the taps' figures, progress and ledgers, the gauges, and
the final comparison.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import msgspec
from aiohttp import web

from cdc_users.measure.wire import WireError, decode, encode
from cdc_users.observe.gauge import Sampling
from cdc_users.observe.message import (
    Final,
    FinalRequest,
    ObserverProgress,
    ObserverSnapshot,
    PlacesFound,
    PlacesRequest,
    WatchedProcesses,
)
from cdc_users.observe.tap import Tap, TapError
from cdc_users.observe.taps.answer import ANSWERS
from cdc_users.observe.taps.webhook import WebhookTap
from infra.client.guard import programs_only, starter_only
from infra.validate import is_whole

HOST = "127.0.0.1"
Compare = Callable[[FinalRequest], Final]


class Refusal(msgspec.Struct):
    """Why a request is refused."""

    error: str


class ObserverServer:
    """Answers from the records of taps and gauges; slow requests, and those that wait for a tap,
    run in a thread.
    """

    def __init__(
        self, taps: Mapping[str, Tap], sampling: Sampling, compare: Compare, token: str
    ) -> None:
        self._taps = taps
        self._sampling = sampling
        self._compare = compare
        self._token = token
        self._runner: web.AppRunner | None = None

    async def start(self) -> str:
        """Listen on a free port; returns the base URL."""
        guards = [programs_only, starter_only(self._token)]
        application = web.Application(middlewares=guards, client_max_size=1 << 30)
        application.router.add_get("/snapshot", self._snapshot)
        application.router.add_get("/progress", self._progress)
        application.router.add_get("/ledger", self._ledger)
        application.router.add_get("/samples", self._samples)
        application.router.add_post("/final", self._final)
        application.router.add_post("/places", self._places)
        application.router.add_post("/answer", self._answer_as)
        application.router.add_post("/processes", self._processes)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        await web.TCPSite(self._runner, HOST, 0).start()
        return f"http://{HOST}:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        """Stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()

    def snapshot(self) -> ObserverSnapshot:
        """All figures except the contents of the ledgers."""
        taps = {}
        for name, tap in self._taps.items():
            taps[name] = telemetry = tap.record.snapshot()
            telemetry.name, telemetry.kind, telemetry.gauges = name, tap.kind, tap.gauges()
        return ObserverSnapshot(taps=taps, gauges=self._sampling.last())

    def progress(self) -> ObserverProgress:
        """What a drain waits for, by tap."""
        return ObserverProgress({name: tap.record.progress() for name, tap in self._taps.items()})

    async def _snapshot(self, _: web.Request) -> web.Response:
        return _answer(await asyncio.to_thread(self.snapshot))

    async def _progress(self, _: web.Request) -> web.Response:
        return _answer(await asyncio.to_thread(self.progress))

    async def _ledger(self, request: web.Request) -> web.Response:
        tap = self._taps.get(request.query.get("tap", ""))
        if tap is None:
            asked = request.query.get("tap")
            return _answer(Refusal(f"tap {asked!r} is not one of {', '.join(self._taps)}"), 404)
        # A ledger takes long to make, and must not hold up other requests.
        return _answer(await asyncio.to_thread(lambda: tap.record.arrivals().encode()))

    async def _samples(self, request: web.Request) -> web.Response:
        text = request.query.get("after", "0")
        if not is_whole(text):
            return _answer(Refusal(f"after={text[:20]!r} is not a number of samples"), 400)
        return _answer(self._sampling.after(int(text)))

    async def _answer_as(self, request: web.Request) -> web.Response:
        """Have a webhook tap answer as a fault needs (taps/answer.py)."""
        tap, how = self._taps.get(request.query.get("tap", "")), request.query.get("how", "")
        if not isinstance(tap, WebhookTap) or how not in ANSWERS:
            return _answer(Refusal(f"no webhook tap, or {how!r} is no answer of one"), 400)
        tap.answer_as(how)
        return web.Response(status=204)

    async def _processes(self, request: web.Request) -> web.Response:
        try:
            asked = decode(await request.read(), WatchedProcesses, "the harness")
        except (WireError, web.RequestPayloadError) as error:
            return _answer(Refusal(str(error)), 400)
        self._sampling.watch(asked.pids)
        return _answer(asked)

    async def _places(self, request: web.Request) -> web.Response:
        try:
            asked = decode(await request.read(), PlacesRequest, "the harness")
            find = self._taps[asked.tap].record.find
        except (WireError, KeyError, web.RequestPayloadError) as error:
            return _answer(Refusal(f"{type(error).__name__}: {error}"), 400)
        return _answer(PlacesFound(await asyncio.to_thread(find, asked.events)))

    async def _final(self, request: web.Request) -> web.Response:
        try:
            asked = decode(await request.read(), FinalRequest, "the harness")
            return _answer(await asyncio.to_thread(self._compare, asked))
        except (TapError, WireError, KeyError, ValueError, web.RequestPayloadError) as error:
            return _answer(Refusal(f"{type(error).__name__}: {error}"), 400)


def _answer(message: object, status: int = 200) -> web.Response:
    return web.Response(body=encode(message), status=status, content_type="application/json")
