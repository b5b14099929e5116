"""What the observer offers on loopback: the taps' figures, progress and ledgers, the gauges, the
final comparison.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import orjson
from aiohttp import web

from cdc_users.observe.gauge import Sampling
from cdc_users.observe.tap import Tap, TapError
from infra.client.guard import programs_only
from infra.validate import is_whole

HOST = "127.0.0.1"
SCHEMA = 1
Compare = Callable[[Mapping[str, Any]], Mapping[str, Any]]


class ObserverServer:
    """Answers from what taps and gauges have recorded; what may take long, or wait for a tap, is
    done in a thread.
    """

    def __init__(self, taps: Mapping[str, Tap], sampling: Sampling, compare: Compare) -> None:
        self._taps = taps
        self._sampling = sampling
        self._compare = compare
        self._runner: web.AppRunner | None = None

    async def start(self) -> str:
        """Listen on a free port; returns the base URL."""
        application = web.Application(middlewares=[programs_only], client_max_size=1 << 30)
        application.router.add_get("/snapshot", self._snapshot)
        application.router.add_get("/progress", self._progress)
        application.router.add_get("/ledger", self._ledger)
        application.router.add_get("/samples", self._samples)
        application.router.add_post("/final", self._final)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        await web.TCPSite(self._runner, HOST, 0).start()
        return f"http://{HOST}:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        """Stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()

    def snapshot(self) -> dict[str, Any]:
        """All figures but the ledgers' contents."""
        taps = {
            name: {
                "schema": SCHEMA,
                "name": name,
                "kind": tap.kind,
                **tap.record.snapshot(),
                "gauges": tap.gauges(),
            }
            for name, tap in self._taps.items()
        }
        return {"schema": SCHEMA, "taps": taps, "gauges": dict(self._sampling.last())}

    def progress(self) -> dict[str, Any]:
        """What a drain waits for, by tap."""
        return {name: tap.record.progress() for name, tap in self._taps.items()}

    async def _snapshot(self, _: web.Request) -> web.Response:
        return _json(await asyncio.to_thread(self.snapshot))

    async def _progress(self, _: web.Request) -> web.Response:
        return _json({"taps": await asyncio.to_thread(self.progress)})

    async def _ledger(self, request: web.Request) -> web.Response:
        tap = self._taps.get(request.query.get("tap", ""))
        if tap is None:
            return _json(
                {
                    "error": (
                        f"tap {request.query.get('tap')!r} is not one of {', '.join(self._taps)}"
                    )
                },
                404,
            )
        return _json(await asyncio.to_thread(tap.record.ledger))

    async def _samples(self, request: web.Request) -> web.Response:
        text = request.query.get("after", "0")
        if not is_whole(text):
            return _json({"error": f"after={text!r} is not a number of samples"}, 400)
        return _json(self._sampling.after(int(text)))

    async def _final(self, request: web.Request) -> web.Response:
        try:
            return _json(await asyncio.to_thread(self._compare, await request.json()))
        except (TapError, KeyError, ValueError) as error:
            return _json({"error": f"{type(error).__name__}: {error}"}, 400)


def _json(data: Any, status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(data), status=status, content_type="application/json")
