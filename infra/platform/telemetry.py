"""What the platform tells about itself, on loopback HTTP (docs/platform.md lists the routes)."""

from __future__ import annotations

import os
from typing import Any

import psutil
from aiohttp import web

from infra.platform.consumer import CDCConsumer
from infra.platform.sample import Sampler
from infra.platform.sinks.instrumented import InstrumentedSink

HOST = "127.0.0.1"


class Telemetry:
    """Serves one consumer's and one sink's figures."""

    def __init__(self, consumer: CDCConsumer, sink: InstrumentedSink, sampler: Sampler) -> None:
        self._consumer = consumer
        self._sink = sink
        self._sampler = sampler
        self._process = psutil.Process()
        self._runner: web.AppRunner | None = None

    async def start(self, port: int) -> str:
        """Listen; returns the base URL. Port 0 takes a free one."""
        application = web.Application()
        application.router.add_get("/snapshot", self._snapshot)
        application.router.add_get("/progress", self._progress)
        application.router.add_get("/ledger", self._ledger)
        application.router.add_get("/samples", self._samples)
        application.router.add_post("/begin", self._begin)
        application.router.add_get("/metrics", self._metrics)
        application.router.add_get("/healthz", self._healthz)
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
        steps = self._sink.steps
        delivered = self._sink.ledger.delivered()
        return {
            "schema": 1,
            "pid": os.getpid(),
            "rss_bytes": memory.rss,
            "uss_bytes": memory.uss,
            "cpu_s": sum(self._process.cpu_times()[:2]),
            "consumer": self._consumer.snapshot(),
            "sink": self._sink.snapshot(),
            "steps": {
                str(step): {
                    "series": figures.recorder.to_json(),
                    "delivered": delivered[step].delivered,
                    "duplicated": delivered[step].duplicated,
                    "first_us": figures.first_us,
                    "last_us": figures.last_us,
                    "bytes": figures.bytes,
                }
                for step, figures in steps.items()
            },
        }

    async def _progress(self, _: web.Request) -> web.Response:
        """What a drain waits for, cheap enough to be asked many times a second."""
        ledger = self._sink.ledger
        steps = {str(step): counts.delivered for step, counts in ledger.delivered().items()}
        seen = {"fences": sorted(ledger.fences()), "fenced_partitions": sorted(ledger.fenced_partitions())}
        return web.json_response({"steps": steps, **seen})

    async def _snapshot(self, _: web.Request) -> web.Response:
        return web.json_response(self.snapshot())

    async def _ledger(self, _: web.Request) -> web.Response:
        return web.json_response(self._sink.ledger.arrivals().to_json())

    async def _begin(self, _: web.Request) -> web.Response:
        """Let a held instance start to read."""
        self._consumer.begin()
        return web.json_response({})

    async def _samples(self, request: web.Request) -> web.Response:
        """The 10 Hz samples after a number, as many as are kept."""
        after = request.query.get("after", "0")
        if not after.isdigit():
            raise web.HTTPBadRequest(text=f"after={after!r} is not the number of a sample")
        return web.json_response({"samples": self._sampler.after(int(after))})

    async def _healthz(self, _: web.Request) -> web.Response:
        errors = self._consumer.errors
        return web.json_response({"errors": errors}, status=503 if errors else 200)

    async def _metrics(self, _: web.Request) -> web.Response:
        return web.Response(text=self.prometheus(), content_type="text/plain", charset="utf-8")

    def prometheus(self) -> str:
        """The figures in Prometheus' text format (docs/platform.md lists them)."""
        consumer, sink, buffer = self._consumer, self._sink, self._consumer.buffer
        figures = (
            ("cdc_platform_polled_events_total", "counter", "Events taken from Kafka.", consumer.polled),
            ("cdc_platform_durable_events_total", "counter", "Events made durable.", sink.durable_events),
            ("cdc_platform_sink_writes_total", "counter", "Batches written.", sink.writes),
            ("cdc_platform_sink_bytes_total", "counter", "Bytes of events written.", sink.bytes),
            ("cdc_platform_sink_busy_seconds_total", "counter", "Time spent in writes.", sum(sink.busy_s.values())),
            ("cdc_platform_queue_events", "gauge", "Events that wait in queues.", buffer.depth),
            ("cdc_platform_in_flight_events", "gauge", "Events that are being written.", buffer.in_flight),
            ("cdc_platform_queue_high_water_events", "gauge", "Most events ever held.", buffer.high_water),
            ("cdc_platform_queue_limit_events", "gauge", "Most events that may be held.", buffer.limit),
            ("cdc_platform_pauses_total", "counter", "Times that a partition was paused.", consumer.pauses),
            ("cdc_platform_rebalances_total", "counter", "Assignments received.", consumer.rebalances),
            ("cdc_platform_dead_letters_total", "counter", "Events put aside.", consumer.delivery.dead_letters.count),
            ("cdc_platform_resident_memory_bytes", "gauge", "Resident memory.", self._process.memory_info().rss),
        )
        return "".join(
            f"# HELP {name} {text}\n# TYPE {name} {kind}\n{name} {value}\n" for name, kind, text, value in figures
        )
