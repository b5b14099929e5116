"""The platform goes on while its ledger is put into text."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from aiohttp import ClientSession, ClientTimeout

from cdc_users.measure.ledger.ledger import Ledger
from cdc_users.measure.step import StepFigures
from infra.platform.telemetry import TelemetryServer

WAIT_S = 10.0


class Source:
    """Where nothing has failed."""

    errors: Sequence[str] = ()

    def begin(self) -> None:
        return

    def snapshot(self) -> dict[str, Any]:
        return {}


class Arrived:
    """A ledger that takes until something else was answered."""

    def __init__(self) -> None:
        self.asked, self.others = threading.Event(), threading.Event()

    def arrivals(self) -> Arrived:
        return self

    def to_json(self) -> dict[str, Any]:
        self.asked.set()
        return {"waited": self.others.wait(WAIT_S)}


class Sink:
    """Where events have arrived."""

    steps: Mapping[int, StepFigures] = MappingProxyType({})

    def __init__(self, ledger: Any) -> None:
        self.ledger: Ledger = ledger

    def snapshot(self) -> dict[str, Any]:
        return {}


async def test_others_are_answered_while_a_ledger_is_put_together() -> None:
    arrived = Arrived()
    server = TelemetryServer(Source(), Sink(arrived))
    url = await server.start(0)
    try:
        async with ClientSession(timeout=ClientTimeout(2 * WAIT_S)) as session:
            asked = asyncio.create_task(_read(session, f"{url}/ledger"))
            assert await asyncio.to_thread(arrived.asked.wait, WAIT_S)
            assert await _read(session, f"{url}/healthz") == {"errors": []}
            arrived.others.set()
            assert await asked == {"waited": True}
    finally:
        await server.stop()


async def _read(session: ClientSession, url: str) -> Any:
    async with session.get(url) as answer:
        return await answer.json()
