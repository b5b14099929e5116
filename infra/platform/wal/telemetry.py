"""The direct reader's figures, on the same routes as the consumer's."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any

from infra.platform.telemetry import Figure, TelemetryServer
from infra.platform.wal.service import Service

SLOT_S = 1.0
#: Reading is this platform's capture, publishing is its sink.
COMMON = {"read": "capture", "publish": "sink_write"}


class WalTelemetry(TelemetryServer):
    """Serves one direct reader's figures; asks the server once a second how much WAL the slot holds."""

    def __init__(self, service: Service) -> None:
        super().__init__(service, service.meter)
        self.slot_lag_bytes: int | None = None
        self._service = service
        self._gauge: asyncio.Task[None] | None = None

    async def start(self, port: int) -> str:
        """See TelemetryServer."""
        self._gauge = asyncio.create_task(self._watch_slot())
        return await super().start(port)

    async def stop(self) -> None:
        """See TelemetryServer."""
        if self._gauge is not None:
            self._gauge.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._gauge
        await super().stop()

    async def _watch_slot(self) -> None:
        while True:
            self.slot_lag_bytes = await asyncio.to_thread(self._service.slot_lag_bytes)
            await asyncio.sleep(SLOT_S)

    def snapshot(self) -> dict[str, Any]:
        """See TelemetryServer. Stages have the harness's common names too: what it shows live has one set of them."""
        figures = super().snapshot()
        for step in figures["steps"].values():
            series = step["series"]
            step["series"] = {**series, **{common: series[own] for own, common in COMMON.items() if own in series}}
        return {**figures, "slot_lag_bytes": self.slot_lag_bytes}

    def figures(self) -> Sequence[Figure]:
        """See TelemetryServer."""
        reader, pump, meter = self._service.reader, self._service.pump, self._service.meter
        lag = float("nan") if self.slot_lag_bytes is None else self.slot_lag_bytes
        return (
            ("cdc_wal_read_messages_total", "counter", "Messages read from the slot.", reader.messages),
            ("cdc_wal_read_bytes_total", "counter", "Bytes of messages read from the slot.", reader.bytes),
            ("cdc_wal_transactions_total", "counter", "Transactions read whole.", reader.transactions),
            ("cdc_wal_connections_total", "counter", "Replication sessions begun.", reader.connections),
            ("cdc_wal_confirmations_total", "counter", "Positions confirmed to the server.", reader.confirmations),
            ("cdc_wal_durable_events_total", "counter", "Changes durable downstream.", meter.durable_events),
            ("cdc_wal_published_bytes_total", "counter", "Bytes of records published.", meter.bytes),
            ("cdc_wal_flushes_total", "counter", "Times that the transport was flushed.", pump.flushes),
            ("cdc_wal_held_messages", "gauge", "Messages held in memory.", pump.held),
            ("cdc_wal_held_bytes", "gauge", "Bytes of changes held in memory.", pump.held_bytes),
            ("cdc_wal_held_limit_messages", "gauge", "Most messages that may be held.", pump.max_messages),
            ("cdc_wal_reading_paused", "gauge", "1 while the queue is full and the slot takes the lag.", reader.paused),
            ("cdc_wal_pauses_total", "counter", "Times that reading was paused.", reader.pauses),
            ("cdc_wal_slot_lag_bytes", "gauge", "WAL from the confirmed position to the server's.", lag),
        )
