"""The figures of every process of the platform, on loopback HTTP (docs/platform.md lists the
routes).
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import msgspec
import psutil
from aiohttp import web
from msgspec import to_builtins
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from cdc_users.measure.ledger.ledger import Arrivals, Ledger
from cdc_users.measure.step import (
    ProgressTelemetry,
    StepFigures,
    StepTelemetry,
    progress_telemetry,
    steps_telemetry,
)
from cdc_users.measure.wire import encode
from infra.client.environment import TELEMETRY_TOKEN
from infra.client.guard import is_starter
from infra.platform.process.error import ConfigError

HOST = "127.0.0.1"
#: The host names under which a browser may reach this process; any other was bound to its address
#: by an attacker (DNS rebinding).
NAMES = ("127.0.0.1", "localhost")
INTERVAL_S = 0.1
#: Samples of two minutes; readers that need more must ask more often.
KEPT_SAMPLES = 1200


@dataclass(frozen=True, slots=True)
class Figure:
    """One metric. `_total` ends a counter's name and no other's."""

    name: str
    help: str
    value: float

    @property
    def kind(self) -> Literal["counter", "gauge"]:
        """Prometheus' type."""
        return "counter" if self.name.endswith("_total") else "gauge"

    def family(self) -> Metric:
        """As Prometheus' client exports it."""
        if self.kind == "counter":
            return CounterMetricFamily(self.name, self.help, value=self.value)
        return GaugeMetricFamily(self.name, self.help, value=self.value)


class ProcessSnapshot(msgspec.Struct, kw_only=True):
    """`GET /snapshot`: one process of the platform, what it holds, and each step's figures.

    Further figures of its source and sink are for people and charts, and differ between sinks.
    """

    schema: int = 1
    pid: int
    rss_bytes: int
    uss_bytes: int
    cpu_s: float
    consumer: dict[str, object]
    sink: dict[str, object]
    steps: dict[int, StepTelemetry]


class HeldSample(msgspec.Struct, kw_only=True):
    """One of ten samples a second: what is held, and how much has been done so far."""

    number: int
    at_us: int
    queue_depth: int
    in_flight: int
    high_water: int
    paused_partitions: int
    lag: int | None
    completions: int
    busy_s: float
    workers: int
    rss_bytes: int
    uss_bytes: int


class FigureSource(Protocol):
    """Where events come from."""

    def begin(self) -> None:
        """Start to read, where the options said to wait."""

    @property
    def errors(self) -> Sequence[str]:
        """Permanent failures."""

    def snapshot(self) -> dict[str, object]:
        """Its figures as plain data."""


class Measured(Protocol):
    """Where events become durable."""

    @property
    def ledger(self) -> Ledger:
        """What has become durable, by writer and sequence."""

    @property
    def steps(self) -> Mapping[int, StepFigures]:
        """The figures of each step."""

    def snapshot(self) -> dict[str, object]:
        """Its figures as plain data."""


def held_mistakes(held: str, environ: Mapping[str, str]) -> list[str]:
    """A held process waits for a request that only somebody with the token can make."""
    if held != "yes" or environ.get(TELEMETRY_TOKEN):
        return []
    return [
        f"--held yes needs {TELEMETRY_TOKEN} in the environment, or nobody could POST /begin; set"
        " it to a secret of your own"
    ]


class TelemetryServer(Collector):
    """Serves the figures of the source and the sink of events.

    It answers only requests whose host is this machine, and `POST /begin` only with the process's
    token (`Authorization: Bearer ...`): a page in a browser knows neither.
    """

    def __init__(self, source: FigureSource, sink: Measured) -> None:
        self._source = source
        self._sink = sink
        self._process = psutil.Process()
        self._runner: web.AppRunner | None = None
        self._token = os.environ.get(TELEMETRY_TOKEN, "")
        self._metrics = CollectorRegistry(auto_describe=False)
        self._metrics.register(self)

    async def start(self, port: int) -> str:
        """Listen; returns the base URL. Port 0 takes a free one. Raises ConfigError for a port that
        cannot be had.
        """
        application = web.Application(middlewares=[_refuse_other_hosts])
        application.router.add_get("/snapshot", self._get_snapshot)
        application.router.add_get("/progress", self._get_progress)
        application.router.add_get("/ledger", self._get_ledger)
        application.router.add_get("/samples", self._get_samples)
        application.router.add_get("/metrics", self._get_metrics)
        application.router.add_get("/healthz", self._get_health)
        application.router.add_post("/begin", self._post_begin)
        self._runner = web.AppRunner(application, access_log=None)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, HOST, port).start()
        except OSError as error:
            reason = os.strerror(error.errno or 0)  # asyncio's own text repeats the address
            raise ConfigError(
                f"--telemetry-port {port}: {reason}; name another port, or 0 for any free one"
            ) from error
        return f"http://{HOST}:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        """Stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()

    def snapshot(self) -> ProcessSnapshot:
        """All figures except the ledger's ranges, as plain data."""
        memory = self._process.memory_full_info()
        # Steps before counts: a step that begins in between is then in both or in neither.
        steps = self._sink.steps
        return ProcessSnapshot(
            pid=os.getpid(),
            rss_bytes=memory.rss,
            uss_bytes=memory.uss,
            cpu_s=sum(self._process.cpu_times()[:2]),
            consumer=self._source.snapshot(),
            sink=self._sink.snapshot(),
            steps=steps_telemetry(steps, self._sink.ledger),
        )

    def arrivals(self) -> Arrivals:
        """What has become durable."""
        return self._sink.ledger.arrivals()

    def progress(self) -> ProgressTelemetry:
        """How far each step has come, and the fences."""
        return progress_telemetry(self._sink.ledger)

    def figures(self) -> Sequence[Figure]:
        """The metrics of this kind of process."""
        raise NotImplementedError

    def samples(self, after: int) -> Sequence[HeldSample]:  # noqa: ARG002 - a process may take none
        """The samples with a higher number than this."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Every metric, for Prometheus' client (docs/platform.md lists them)."""
        for figure in self.figures():
            yield figure.family()
        resident = self._process.memory_info().rss
        yield GaugeMetricFamily(
            "cdc_platform_resident_memory_bytes", "Resident memory.", value=resident
        )

    async def _get_snapshot(self, _: web.Request) -> web.Response:
        return _answer(self.snapshot())

    async def _get_progress(self, _: web.Request) -> web.Response:
        return _answer(self.progress())

    async def _get_ledger(self, _: web.Request) -> web.Response:
        """The whole ledger; arrivals are copied here, and encoded in another thread, so that events
        go on.
        """
        return _answer(await asyncio.to_thread(self.arrivals().encode))

    async def _get_samples(self, request: web.Request) -> web.Response:
        """The 10 Hz samples after a number, as many as are kept."""
        after = request.query.get("after", "0")
        if not (after.isascii() and after.isdecimal() and len(after) < 19):
            raise web.HTTPBadRequest(text=f"after={after!r} is not the number of a sample")
        return web.json_response({"samples": to_builtins(self.samples(int(after)))})

    async def _get_health(self, _: web.Request) -> web.Response:
        errors = self._source.errors
        return web.json_response({"errors": errors}, status=503 if errors else 200)

    async def _get_metrics(self, _: web.Request) -> web.Response:
        body = generate_latest(self._metrics)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4})

    async def _post_begin(self, request: web.Request) -> web.Response:
        """Let a held process start to read."""
        if not is_starter(request, self._token):
            raise web.HTTPForbidden(
                text=f"POST /begin needs this process' {TELEMETRY_TOKEN} as a bearer token"
            )
        self._source.begin()
        return web.json_response({})


def _answer(message: object) -> web.Response:
    """A message, or plain data that holds some, as the body of an answer."""
    return web.Response(body=encode(message), content_type="application/json")


@web.middleware
async def _refuse_other_hosts(request: web.Request, handler: Any) -> web.StreamResponse:
    if (request.url.host or "") not in NAMES:
        raise web.HTTPForbidden(text=f"ask for {HOST}")
    answer: web.StreamResponse = await handler(request)
    return answer
