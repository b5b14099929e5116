"""Measures the direct reader as InstrumentedSink measures a sink: with a ledger, and with each
event's latency in stages.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from threading import Lock

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from cdc_users.measure.latency.histogram import LatencyHistogram
from cdc_users.measure.ledger.ledger import Ledger, PartitionEvents
from cdc_users.measure.ledger.probe import parse_probes
from cdc_users.measure.step import StepFigures
from infra.platform.transports.transport import Record
from infra.platform.wal.replication.pump import Encoded, Meter, TransactionChunk


class WalMeter(Meter):
    """Counts events when they are durable downstream.

    The stages on one timeline are commit (the source's commit time − intended), read, queue and
    publish (until durable). For every event they add up to its end-to-end latency. The pump's
    thread writes; readers hold the lock.
    """

    def __init__(self, name: str, run: str) -> None:
        self.name = name
        self.ledger = Ledger()
        self.steps: dict[int, StepFigures] = {}
        self.call = LatencyHistogram()
        self.writes = self.durable_events = self.bytes = self.largest_batch = 0
        self.lock = Lock()
        self._run = run

    @override
    def durable(
        self, chunk: TransactionChunk, encoded: Encoded, started_us: int, done_us: int
    ) -> None:
        records = list(chain.from_iterable(encoded))
        with self.lock:
            self.writes += 1
            self.durable_events += len(records)
            self.largest_batch = max(self.largest_batch, len(records))
            self.bytes += sum([len(record.data) for record in records])
            self.call.record_us(done_us - started_us)
            if records and self._run:
                self._observe(chunk, encoded, records, started_us, done_us)

    def _observe(
        self,
        chunk: TransactionChunk,
        encoded: Encoded,
        records: Sequence[Record],
        started_us: int,
        done_us: int,
    ) -> None:
        probes = parse_probes([record.probe for record in records], self._run)
        deleted = np.array([record.deleted for record in records], dtype=np.bool_)
        sizes = list(map(len, encoded))
        lsns = np.repeat(np.array([part.source.lsn for part in chunk.parts], dtype=np.int64), sizes)
        committed_us = np.repeat(
            np.array([part.source.commit_us for part in chunk.parts], dtype=np.int64), sizes
        )
        keys = np.array([key_number(record.key) for record in records], dtype=np.int64)
        probes = self.ledger.with_deletes(probes, keys, deleted)
        counted = self.ledger.enter(PartitionEvents(probes, keys, 0, lsns, at_us=done_us))
        times = {
            "end_to_end": done_us - probes.intended_us,
            "commit": committed_us - probes.intended_us,
            "read": chunk.read_us - committed_us,
            "queue": np.full(len(lsns), started_us - chunk.read_us, dtype=np.int64),
            "publish": np.full(len(lsns), done_us - started_us, dtype=np.int64),
        }
        for step in np.unique(probes.step[counted]).tolist():
            self._record(
                records, np.flatnonzero(counted & (probes.step == step)), times, step, done_us
            )

    def _record(
        self,
        records: Sequence[Record],
        rows: NDArray[np.int64],
        times: dict[str, NDArray[np.int64]],
        step: int,
        done_us: int,
    ) -> None:
        figures = self.steps.setdefault(step, StepFigures(first_us=done_us))
        figures.last_us = done_us
        figures.bytes += sum([len(records[row].data) for row in rows.tolist()])
        for name, series in times.items():
            figures.recorder.record_many_us(name, series[rows])

    def snapshot(self) -> dict[str, object]:
        """The figures so far as plain data, in the form of a sink's."""
        return {
            "name": self.name,
            "writes": self.writes,
            "events": self.durable_events,
            "durable_events": self.durable_events,
            "bytes": self.bytes,
            "call": self.call.encode(),
            "mean_batch": round(self.durable_events / self.writes, 1) if self.writes else None,
            "largest_batch": self.largest_batch,
        }


def key_number(key: bytes) -> int:
    """A number for a record's key: the key itself where it is one integer, else a hash of its
    bytes.
    """
    try:
        number = int(key)
    except ValueError:
        return hash(key) >> 1
    # Texts such as 7, 007 and +7 are three keys, of which one alone is written as the number is.
    whole = -(1 << 63) <= number < 1 << 63 and b"%d" % number == key
    return number if whole else hash(key) >> 1
