"""The direct reader's figures, on the same routes as the consumer's."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Sequence

from msgspec import structs
from typing_extensions import override

from cdc_users.measure.clock import Anchor
from cdc_users.measure.ledger.ledger import Arrivals
from cdc_users.measure.step import ProgressTelemetry
from infra.platform.process.error import PlatformError
from infra.platform.process.telemetry_server import (
    INTERVAL_S,
    KEPT_SAMPLES,
    Figure,
    HeldSample,
    ProcessSnapshot,
    TelemetryServer,
)
from infra.platform.wal.service import Service

#: For one in this many samples the server is asked how much WAL the slot holds.
SLOT_SAMPLES = 10
#: In the charts of every platform, reading is this platform's capture and publishing its sink.
COMMON = {"read": "capture", "publish": "sink_write"}


class ReaderSample(HeldSample, kw_only=True):
    """The direct reader's sample, with the bytes of WAL that the slot holds; None where not
    known.
    """

    slot_lag_bytes: int | None


class ReaderSnapshot(ProcessSnapshot, kw_only=True):
    """The direct reader's snapshot, with the bytes of WAL that the slot holds; None where not
    known.
    """

    slot_lag_bytes: int | None


class WalTelemetry(TelemetryServer):
    """Serves one direct reader's figures, and samples them ten times a second."""

    def __init__(self, service: Service, anchor: Anchor) -> None:
        super().__init__(service, service.meter)
        self.slot_lag_bytes: int | None = None
        self._service = service
        self._anchor = anchor
        self._taken: deque[ReaderSample] = deque(maxlen=KEPT_SAMPLES)
        self._tasks: list[asyncio.Task[None]] = []

    @override
    async def start(self, port: int) -> str:
        self._tasks = [asyncio.create_task(self._sample()), asyncio.create_task(self._watch_slot())]
        return await super().start(port)

    @override
    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        await super().stop()

    async def _watch_slot(self) -> None:
        try:
            while True:
                self.slot_lag_bytes = await asyncio.to_thread(self._service.watch)
                await asyncio.sleep(INTERVAL_S * SLOT_SAMPLES)
        except Exception as error:  # noqa: BLE001 - nobody would notice that the watch is over
            self.slot_lag_bytes = None
            self._service.reader.fail(
                PlatformError(
                    f"the watch over source and destination failed: {type(error).__name__}: {error}"
                )
            )

    async def _sample(self) -> None:
        number = 0
        while True:
            number += 1
            self._taken.append(self._sample_now(number))
            await asyncio.sleep(INTERVAL_S)

    def _sample_now(self, number: int) -> ReaderSample:
        pump, reader = self._service.pump, self._service.reader
        memory = self._process.memory_full_info()
        return ReaderSample(
            number=number,
            at_us=self._anchor.now_us(),
            queue_depth=pump.held - pump.in_flight,
            in_flight=pump.in_flight,
            high_water=pump.peak(),
            paused_partitions=int(reader.paused),
            lag=None,
            completions=self._service.meter.durable_events,
            busy_s=round(pump.busy_s, 6),
            workers=1,
            rss_bytes=memory.rss,
            uss_bytes=memory.uss,
            slot_lag_bytes=self.slot_lag_bytes,
        )

    @override
    def samples(self, after: int) -> list[ReaderSample]:
        return [sample for sample in self._taken if sample.number > after]

    @override
    def snapshot(self) -> ReaderSnapshot:
        with self._service.meter.lock:
            figures = super().snapshot()
        for step in figures.steps.values():
            step.series |= {
                common: step.series[own] for own, common in COMMON.items() if own in step.series
            }
        figures.sink["busy_s"] = round(self._service.pump.busy_s, 6)
        return ReaderSnapshot(**structs.asdict(figures), slot_lag_bytes=self.slot_lag_bytes)

    @override
    def progress(self) -> ProgressTelemetry:
        with self._service.meter.lock:
            return super().progress()

    @override
    def arrivals(self) -> Arrivals:
        with self._service.meter.lock:
            return super().arrivals()

    @override
    def figures(self) -> Sequence[Figure]:
        reader, pump, meter = self._service.reader, self._service.pump, self._service.meter
        lag = float("nan") if self.slot_lag_bytes is None else self.slot_lag_bytes
        return (
            Figure(
                "cdc_wal_read_messages_total",
                "Messages read from the slot.",
                reader.messages,
            ),
            Figure(
                "cdc_wal_read_bytes_total",
                "Bytes of messages read from the slot.",
                reader.bytes,
            ),
            Figure(
                "cdc_wal_transactions_total",
                "Transactions read whole.",
                reader.transactions,
            ),
            Figure(
                "cdc_wal_connections_total",
                "Replication sessions begun.",
                reader.connections,
            ),
            Figure(
                "cdc_wal_confirmations_total",
                "Positions confirmed to the server.",
                reader.confirmations,
            ),
            Figure(
                "cdc_wal_durable_events_total",
                "Changes durable downstream.",
                meter.durable_events,
            ),
            Figure(
                "cdc_wal_published_bytes_total",
                "Bytes of records published.",
                meter.bytes,
            ),
            Figure(
                "cdc_wal_flushes_total",
                "Times that the transport was flushed.",
                pump.flushes,
            ),
            Figure(
                "cdc_wal_publish_busy_seconds_total",
                "Time spent in publishing.",
                pump.busy_s,
            ),
            Figure("cdc_wal_held_messages", "Messages held in memory.", pump.held),
            Figure("cdc_wal_held_bytes", "Bytes of messages held in memory.", pump.held_bytes),
            Figure(
                "cdc_wal_held_limit_messages",
                "Most messages that may be held.",
                pump.bound.messages,
            ),
            Figure(
                "cdc_wal_reading_paused",
                "1 while the queue is full and the slot takes the lag.",
                int(reader.paused),
            ),
            Figure("cdc_wal_held_limit_bytes", "Most bytes of messages held.", pump.bound.bytes),
            Figure(
                "cdc_wal_spilled_bytes",
                "Bytes of transactions in progress in temporary files.",
                reader.spilled_bytes,
            ),
            Figure(
                "cdc_wal_gaps_total",
                "Gaps between position and slot that were skipped.",
                reader.gaps,
            ),
            Figure(
                "cdc_wal_refused_total",
                "Changes put aside because the service can never take them.",
                self._service.refused.count,
            ),
            Figure("cdc_wal_pauses_total", "Times that reading was paused.", reader.pauses),
            Figure(
                "cdc_wal_slot_lag_bytes",
                "WAL from the confirmed position to the server's.",
                lag,
            ),
        )
