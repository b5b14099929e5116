"""Measures the direct reader as InstrumentedSink measures a sink: the ledger, and each event's latency in stages."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cdc_users.measure.histogram import LatencyHistogram
from cdc_users.measure.ledger import Ledger
from cdc_users.measure.probe import parse_probes
from infra.platform.sinks.instrumented import StepFigures
from infra.platform.wal.pump import Chunk, Encoded


class WalMeter:
    """Counts events when they are durable downstream.

    Stages on one timeline: commit (the source's commit time − intended), read, queue, publish (until durable). For
    every event they sum to its end-to-end latency. The pump's thread writes, the telemetry reads.
    """

    def __init__(self, name: str, run: str) -> None:
        self.name = name
        self.ledger = Ledger()
        self.steps: dict[int, StepFigures] = {}
        self.call = LatencyHistogram()
        self.writes = self.durable_events = self.bytes = self.largest_batch = 0
        self.busy_s = 0.0
        self._run = run

    def durable(self, chunk: Chunk, encoded: Encoded, started_us: int, done_us: int) -> None:
        """See Meter."""
        count = len(chunk)
        self.writes += 1
        self.durable_events += count
        self.largest_batch = max(self.largest_batch, count)
        self.bytes += sum(len(record.data) for record in encoded.records)
        self.busy_s += (done_us - started_us) / 1e6
        self.call.record_us(done_us - started_us)
        if encoded.records and self._run:
            self._observe(chunk, encoded, started_us, done_us)

    def _observe(self, chunk: Chunk, encoded: Encoded, started_us: int, done_us: int) -> None:
        probes = parse_probes(encoded.probes, self._run)
        deleted = np.array(encoded.deleted, dtype=np.bool_)
        if deleted.any():
            probes = probes.after_deletes(deleted)
        lsns, committed_us = _per_event(chunk)
        counted = self.ledger.observe(probes, np.array(encoded.keys, dtype=np.int64), 0, lsns)
        times = {
            "end_to_end": done_us - probes.intended_us,
            "commit": committed_us - probes.intended_us,
            "read": chunk.read_us - committed_us,
            "queue": np.full(len(lsns), started_us - chunk.read_us, dtype=np.int64),
            "publish": np.full(len(lsns), done_us - started_us, dtype=np.int64),
        }
        for step in np.unique(probes.step[counted]).tolist():
            self._record(encoded, np.flatnonzero(counted & (probes.step == step)), times, step, done_us)

    def _record(
        self,
        encoded: Encoded,
        rows: NDArray[np.int64],
        times: dict[str, NDArray[np.int64]],
        step: int,
        done_us: int,
    ) -> None:
        figures = self.steps.setdefault(step, StepFigures(first_us=done_us))
        figures.last_us = done_us
        figures.bytes += sum(len(encoded.records[row].data) for row in rows.tolist())
        for name, values in times.items():
            figures.recorder.record_many_us(name, values[rows])

    def snapshot(self) -> dict[str, Any]:
        """The figures so far, as plain data, shaped as a sink's."""
        return {
            "name": self.name,
            "writes": self.writes,
            "events": self.durable_events,
            "durable_events": self.durable_events,
            "bytes": self.bytes,
            "busy_s": round(self.busy_s, 6),
            "call": self.call.to_json(),
            "mean_batch": round(self.durable_events / self.writes, 1) if self.writes else None,
            "largest_batch": self.largest_batch,
        }


def _per_event(chunk: Chunk) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Commit LSN and commit time of every change."""
    table = np.array(chunk.commits, dtype=np.int64).reshape(-1, 3)
    return np.repeat(table[:, 0], table[:, 2]), np.repeat(table[:, 1], table[:, 2])
