"""The direct reader's watch over its source and destination."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import cast

from cdc_users.measure.clock import new_anchor
from infra.platform.wal.service import Service
from infra.platform.wal.telemetry import WalTelemetry

END_S = 30.0


class Broken:
    """Its first look succeeds, its second one fails."""

    def __init__(self) -> None:
        self.ended: list[Exception] = []
        self.looks = 0
        self.failed = asyncio.Event()
        self.meter = SimpleNamespace(durable_events=0)
        self.pump = SimpleNamespace(held=0, in_flight=0, busy_s=0.0, peak=lambda: 0)
        self.reader = SimpleNamespace(paused=False, fail=self._fail)
        self._loop = asyncio.get_running_loop()

    def watch(self) -> int:
        self.looks += 1
        if self.looks > 1:
            raise ValueError("an answer of another form")
        return 7

    def _fail(self, error: Exception) -> None:
        self.ended.append(error)
        self.failed.set()


async def test_a_watch_that_fails_ends_the_reader() -> None:
    """Without it a publication that keeps rows back would be followed on."""
    service = Broken()
    telemetry = WalTelemetry(cast(Service, service), new_anchor())
    await telemetry.start(0)
    try:
        await asyncio.wait_for(service.failed.wait(), END_S)
    finally:
        await telemetry.stop()

    assert [str(error) for error in service.ended] == [
        "the watch over source and destination failed: ValueError: an answer of another form"
    ]
    assert telemetry.slot_lag_bytes is None
