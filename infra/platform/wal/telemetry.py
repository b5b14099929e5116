"""The direct reader's figures, on the same routes as the consumer's."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Sequence
from typing import Any

from aiohttp import web

from cdc_users.measure.clock import Anchor
from cdc_users.measure.ledger.ledger import Arrivals
from infra.platform.sample import INTERVAL_S, KEPT
from infra.platform.telemetry import Figure, TelemetryServer
from infra.platform.wal.service import Service

#: The server is asked once in so many samples how much WAL the slot holds.
SLOT_SAMPLES = 10
#: Reading is this platform's capture, publishing is its sink: the names that charts of every
#: platform use.
COMMON = {"read": "capture", "publish": "sink_write"}


class WalTelemetry(TelemetryServer):
    """Serves one direct reader's figures, and samples them ten times a second."""

    def __init__(self, service: Service, anchor: Anchor) -> None:
        super().__init__(service, service.meter)
        self.slot_lag_bytes: int | None = None
        self._service = service
        self._anchor = anchor
        self._taken: deque[dict[str, Any]] = deque(maxlen=KEPT)
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self, port: int) -> str:
        """See TelemetryServer."""
        self._tasks = [asyncio.create_task(self._sample()), asyncio.create_task(self._watch_slot())]
        return await super().start(port)

    async def stop(self) -> None:
        """See TelemetryServer."""
        for task in self._tasks:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        await super().stop()

    async def _watch_slot(self) -> None:
        while True:
            self.slot_lag_bytes = await asyncio.to_thread(self._service.slot_lag_bytes)
            await asyncio.sleep(INTERVAL_S * SLOT_SAMPLES)

    async def _sample(self) -> None:
        number = 0
        while True:
            number += 1
            self._taken.append(self._sample_now(number))
            await asyncio.sleep(INTERVAL_S)

    def _sample_now(self, number: int) -> dict[str, Any]:
        pump, reader = self._service.pump, self._service.reader
        memory = self._process.memory_full_info()
        return {
            "number": number,
            "at_us": self._anchor.now_us(),
            "queue_depth": pump.held - pump.in_flight,
            "in_flight": pump.in_flight,
            "high_water": pump.peak(),
            "paused_partitions": int(reader.paused),
            "lag": None,
            "completions": self._service.meter.durable_events,
            "busy_s": round(pump.busy_s, 6),
            "workers": 1,
            "rss_bytes": memory.rss,
            "uss_bytes": memory.uss,
            "slot_lag_bytes": self.slot_lag_bytes,
        }

    def samples(self, after: int) -> list[dict[str, Any]]:
        """See TelemetryServer."""
        return [sample for sample in self._taken if sample["number"] > after]

    def snapshot(self) -> dict[str, Any]:
        """See TelemetryServer."""
        with self._service.meter.lock:
            figures = super().snapshot()
        for step in figures["steps"].values():
            series = step["series"]
            step["series"] = {
                **series,
                **{common: series[own] for own, common in COMMON.items() if own in series},
            }
        figures["sink"]["busy_s"] = round(self._service.pump.busy_s, 6)
        return {**figures, "slot_lag_bytes": self.slot_lag_bytes}

    async def _progress(self, request: web.Request) -> web.Response:
        with self._service.meter.lock:
            return await super()._progress(request)

    def arrivals(self) -> Arrivals:
        """See TelemetryServer."""
        with self._service.meter.lock:
            return super().arrivals()

    def figures(self) -> Sequence[Figure]:
        """See TelemetryServer."""
        reader, pump, meter = self._service.reader, self._service.pump, self._service.meter
        lag = float("nan") if self.slot_lag_bytes is None else self.slot_lag_bytes
        return (
            (
                "cdc_wal_read_messages_total",
                "counter",
                "Messages read from the slot.",
                reader.messages,
            ),
            (
                "cdc_wal_read_bytes_total",
                "counter",
                "Bytes of messages read from the slot.",
                reader.bytes,
            ),
            (
                "cdc_wal_transactions_total",
                "counter",
                "Transactions read whole.",
                reader.transactions,
            ),
            (
                "cdc_wal_connections_total",
                "counter",
                "Replication sessions begun.",
                reader.connections,
            ),
            (
                "cdc_wal_confirmations_total",
                "counter",
                "Positions confirmed to the server.",
                reader.confirmations,
            ),
            (
                "cdc_wal_durable_events_total",
                "counter",
                "Changes durable downstream.",
                meter.durable_events,
            ),
            (
                "cdc_wal_published_bytes_total",
                "counter",
                "Bytes of records published.",
                meter.bytes,
            ),
            (
                "cdc_wal_flushes_total",
                "counter",
                "Times that the transport was flushed.",
                pump.flushes,
            ),
            (
                "cdc_wal_publish_busy_seconds_total",
                "counter",
                "Time spent in publishing.",
                pump.busy_s,
            ),
            ("cdc_wal_held_messages", "gauge", "Messages held in memory.", pump.held),
            ("cdc_wal_held_bytes", "gauge", "Bytes of messages held in memory.", pump.held_bytes),
            (
                "cdc_wal_held_limit_messages",
                "gauge",
                "Most messages that may be held.",
                pump.max_messages,
            ),
            (
                "cdc_wal_reading_paused",
                "gauge",
                "1 while the queue is full and the slot takes the lag.",
                int(reader.paused),
            ),
            ("cdc_wal_pauses_total", "counter", "Times that reading was paused.", reader.pauses),
            (
                "cdc_wal_slot_lag_bytes",
                "gauge",
                "WAL from the confirmed position to the server's.",
                lag,
            ),
        )
