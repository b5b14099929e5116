"""What the platform tells about itself, on loopback HTTP (docs/platform.md lists the routes)."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import psutil
from aiohttp import web

from cdc_users.measure.ledger.ledger import Arrivals, Ledger
from cdc_users.measure.step import StepFigures, progress_json, steps_json
from infra.platform.consume.consumer import CDCConsumer
from infra.platform.sample import Sampler
from infra.platform.sinks.instrumented import InstrumentedSink

HOST = "127.0.0.1"
#: A metric: name, type, help and value.
Figure = tuple[str, str, str, float]


class FigureSource(Protocol):
    """Where events come from."""

    def begin(self) -> None:
        """Start to read, where it was told to wait."""

    @property
    def errors(self) -> Sequence[str]:
        """What has failed for good."""

    def snapshot(self) -> dict[str, Any]:
        """Its figures as plain data."""


class Measured(Protocol):
    """Where events become durable."""

    @property
    def ledger(self) -> Ledger:
        """What has become durable, by writer and sequence."""

    @property
    def steps(self) -> Mapping[int, StepFigures]:
        """The figures of each step."""

    def snapshot(self) -> dict[str, Any]:
        """Its figures as plain data."""


class TelemetryServer:
    """Serves the figures of where events come from and of where they become durable."""

    def __init__(self, consumer: FigureSource, sink: Measured) -> None:
        self._consumer = consumer
        self._sink = sink
        self._process = psutil.Process()
        self._runner: web.AppRunner | None = None

    async def start(self, port: int) -> str:
        """Listen; returns the base URL. Port 0 takes a free one."""
        application = web.Application()
        application.router.add_get("/snapshot", self._snapshot)
        application.router.add_get("/progress", self._progress)
        application.router.add_get("/ledger", self._ledger)
        application.router.add_get("/samples", self._samples)
        application.router.add_get("/metrics", self._metrics)
        application.router.add_get("/healthz", self._healthz)
        application.router.add_post("/begin", self._begin)
        self._runner = web.AppRunner(application, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, HOST, port)
        await site.start()
        return f"http://{HOST}:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        """Stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()

    def snapshot(self) -> dict[str, Any]:
        """Everything but the ledger's ranges, as plain data."""
        memory = self._process.memory_full_info()
        # Steps before counts: a step that begins meanwhile has both or neither.
        steps = self._sink.steps
        return {
            "schema": 1,
            "pid": os.getpid(),
            "rss_bytes": memory.rss,
            "uss_bytes": memory.uss,
            "cpu_s": sum(self._process.cpu_times()[:2]),
            "consumer": self._consumer.snapshot(),
            "sink": self._sink.snapshot(),
            "steps": steps_json(steps, self._sink.ledger),
        }

    def arrivals(self) -> Arrivals:
        """What has become durable."""
        return self._sink.ledger.arrivals()

    async def _progress(self, _: web.Request) -> web.Response:
        return web.json_response(progress_json(self._sink.ledger))

    async def _snapshot(self, _: web.Request) -> web.Response:
        return web.json_response(self.snapshot())

    async def _ledger(self, _: web.Request) -> web.Response:
        """The whole ledger; what has arrived is taken down here, and put into text elsewhere, so
        that events go on.
        """
        return web.json_response(await asyncio.to_thread(self.arrivals().to_json))

    async def _begin(self, _: web.Request) -> web.Response:
        """Let a held instance start to read."""
        self._consumer.begin()
        return web.json_response({})

    async def _samples(self, request: web.Request) -> web.Response:
        """The 10 Hz samples after a number, as many as are kept."""
        after = request.query.get("after", "0")
        if not after.isdigit():
            raise web.HTTPBadRequest(text=f"after={after!r} is not the number of a sample")
        return web.json_response({"samples": self.samples(int(after))})

    async def _healthz(self, _: web.Request) -> web.Response:
        errors = self._consumer.errors
        return web.json_response({"errors": errors}, status=503 if errors else 200)

    async def _metrics(self, _: web.Request) -> web.Response:
        return web.Response(text=self.prometheus(), content_type="text/plain", charset="utf-8")

    def prometheus(self) -> str:
        """The figures in Prometheus' text format (docs/platform.md lists them)."""
        memory = (
            "cdc_platform_resident_memory_bytes",
            "gauge",
            "Resident memory.",
            self._process.memory_info().rss,
        )
        return "".join(
            f"# HELP {name} {text}\n# TYPE {name} {kind}\n{name} {value}\n"
            for name, kind, text, value in (*self.figures(), memory)
        )

    def figures(self) -> Sequence[Figure]:
        """The metrics of this kind of platform."""
        raise NotImplementedError

    def samples(self, after: int) -> list[dict[str, Any]]:  # noqa: ARG002 - a platform may take none
        """The samples with a higher number than this."""
        return []


class Telemetry(TelemetryServer):
    """Serves one consumer's and one sink's figures."""

    def __init__(self, consumer: CDCConsumer, sink: InstrumentedSink, sampler: Sampler) -> None:
        super().__init__(consumer, sink)
        self._sampler = sampler
        self._events, self._writes = consumer, sink

    def samples(self, after: int) -> list[dict[str, Any]]:
        """See TelemetryServer."""
        return self._sampler.after(after)

    def figures(self) -> Sequence[Figure]:
        """See TelemetryServer."""
        consumer, sink, buffer = self._events, self._writes, self._events.buffer
        return (
            (
                "cdc_platform_polled_events_total",
                "counter",
                "Events taken from Kafka.",
                consumer.polled,
            ),
            (
                "cdc_platform_durable_events_total",
                "counter",
                "Events made durable.",
                sink.durable_events,
            ),
            ("cdc_platform_sink_writes_total", "counter", "Batches written.", sink.writes),
            ("cdc_platform_sink_bytes_total", "counter", "Bytes of events written.", sink.bytes),
            (
                "cdc_platform_sink_busy_seconds_total",
                "counter",
                "Time spent in writes.",
                sum(sink.busy_s.values()),
            ),
            ("cdc_platform_queue_events", "gauge", "Events that wait in queues.", buffer.depth),
            (
                "cdc_platform_in_flight_events",
                "gauge",
                "Events that are being written.",
                buffer.in_flight,
            ),
            (
                "cdc_platform_queue_high_water_events",
                "gauge",
                "Most events ever held.",
                buffer.high_water,
            ),
            (
                "cdc_platform_queue_limit_events",
                "gauge",
                "Most events that may be held.",
                buffer.limit,
            ),
            (
                "cdc_platform_queue_bytes",
                "gauge",
                "Bytes of events that wait or are being written.",
                buffer.bytes,
            ),
            (
                "cdc_platform_queue_limit_bytes",
                "gauge",
                "Most bytes of events that may wait.",
                buffer.limit_bytes,
            ),
            (
                "cdc_platform_accepted_bytes",
                "gauge",
                "Bytes of events that the sink has accepted and not made durable.",
                consumer.delivery.accepted[0],
            ),
            (
                "cdc_platform_lost_records_total",
                "counter",
                "Records that were deleted before they were read.",
                consumer.lost_records,
            ),
            (
                "cdc_platform_skipped_records_total",
                "counter",
                "Lost records behind which the platform went on.",
                consumer.skipped_records,
            ),
            (
                "cdc_platform_pauses_total",
                "counter",
                "Times that a partition was paused.",
                consumer.pauses,
            ),
            (
                "cdc_platform_rebalances_total",
                "counter",
                "Assignments received.",
                consumer.rebalances,
            ),
            (
                "cdc_platform_dead_letters_total",
                "counter",
                "Events put aside.",
                consumer.delivery.dead_letters.count,
            ),
        )
