"""Measures any sink without changing it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import structlog
from numpy.typing import NDArray

from cdc_users.measure.clock import Anchor
from cdc_users.measure.histogram import LatencyHistogram
from cdc_users.measure.ledger import Ledger
from cdc_users.measure.probe import ProbeBatch, parse_probes
from cdc_users.measure.recorder import Recorder
from infra.platform.batch import Batch
from infra.platform.sinks.connector import SinkConnector, WriteStatus

logger = structlog.get_logger()

NO_PROBE = b""


@dataclass(slots=True)
class StepFigures:
    """What one step brought to this sink; times are wall microseconds of the first and last durable event."""

    recorder: Recorder = field(default_factory=Recorder)
    first_us: int = 0
    last_us: int = 0
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class _Written:
    """A batch with the times of its write (wall microseconds)."""

    batch: Batch
    started_us: int
    done_us: int


class InstrumentedSink:
    """Wraps a sink: write times, batch sizes, each event's latency split into stages, and the ledger.

    An event counts when it is durable. The stages commit, capture, fetch, queue and sink write lie on one timeline,
    so for every event they sum to its end-to-end latency (docs/measurement.md).
    """

    def __init__(self, sink: SinkConnector, run: str, anchor: Anchor) -> None:
        self.name = sink.name
        self.ledger = Ledger()
        self.steps: dict[int, StepFigures] = {}
        self.call = LatencyHistogram()
        self.largest_batch = 0
        self.writes = self.events = self.durable_events = self.bytes = 0
        self.busy_s = 0.0
        self._sink = sink
        self._run = run
        self._anchor = anchor
        self._accepted: list[_Written] = []

    async def write(self, batch: Batch) -> WriteStatus:
        """See SinkConnector."""
        started_ns = time.monotonic_ns()
        status = await self._sink.write(batch)
        done_ns = time.monotonic_ns()
        self._count(batch, done_ns - started_ns)
        written = _Written(batch, self._anchor.wall_us_at(started_ns), self._anchor.wall_us_at(done_ns))
        if status is WriteStatus.DURABLE:
            self._durable(written)
        else:
            self._accepted.append(written)
        return status

    def _count(self, batch: Batch, took_ns: int) -> None:
        self.writes += 1
        self.events += len(batch)
        self.bytes += batch.bytes
        self.busy_s += took_ns / 1e9
        self.call.record_us(took_ns // 1000)
        self.largest_batch = max(self.largest_batch, len(batch))
        logger.debug("benchmark.sink.write", sink=self.name, events=len(batch), took_ms=took_ns / 1e6)

    async def flush(self) -> None:
        """See SinkConnector."""
        accepted, self._accepted = self._accepted, []
        await self._sink.flush()
        done_us = self._anchor.now_us()
        for written in accepted:
            self._durable(_Written(written.batch, written.started_us, done_us))

    async def close(self) -> None:
        """See SinkConnector."""
        await self.flush()
        await self._sink.close()

    def _durable(self, written: _Written) -> None:
        batch = written.batch
        self.durable_events += len(batch)
        probes = parse_probes([event.probe or NO_PROBE for event in batch.events], self._run)
        counted = self.ledger.observe(probes, batch.keys, batch.partition, batch.offsets)
        for step in np.unique(probes.step[counted]).tolist():
            self._record(written, probes, np.flatnonzero(counted & (probes.step == step)), step)

    def _record(self, written: _Written, probes: ProbeBatch, rows: NDArray[np.int64], step: int) -> None:
        figures = self.steps.setdefault(step, StepFigures(first_us=written.done_us))
        figures.last_us = written.done_us
        figures.bytes += sum(len(written.batch.values[row]) for row in rows.tolist())
        intended_us = probes.intended_us[rows]
        committed_us = np.array([written.batch.events[row].committed_us for row in rows.tolist()], dtype=np.int64)
        appended_us = written.batch.appended_us[rows]
        ones = np.ones(len(rows), dtype=np.int64)
        series = {
            "end_to_end": written.done_us - intended_us,
            "commit": committed_us - intended_us,
            "capture": appended_us - committed_us,
            "fetch": written.batch.polled_us - appended_us,
            "queue": (written.started_us - written.batch.polled_us) * ones,
            "sink_write": (written.done_us - written.started_us) * ones,
        }
        for name, values in series.items():
            figures.recorder.record_many_us(name, values)

    def snapshot(self) -> dict[str, Any]:
        """The figures so far, as plain data."""
        return {
            "name": self.name,
            "writes": self.writes,
            "events": self.events,
            "durable_events": self.durable_events,
            "bytes": self.bytes,
            "busy_s": round(self.busy_s, 6),
            "call": self.call.to_json(),
            "mean_batch": round(self.events / self.writes, 1) if self.writes else None,
            "largest_batch": self.largest_batch,
        }
