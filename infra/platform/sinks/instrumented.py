"""Measures any sink without changing it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import structlog
from numpy.typing import NDArray
from typing_extensions import override

from cdc_users.measure.clock import Anchor
from cdc_users.measure.latency.histogram import LatencyHistogram
from cdc_users.measure.ledger.ledger import Ledger, PartitionEvents
from cdc_users.measure.ledger.probe import PROBE_BYTES, parse_probes
from cdc_users.measure.step import StepFigures
from infra.avro.row import RowImage
from infra.platform.sinks.batch import Batch, Partition
from infra.platform.sinks.connector import SinkConnector, WriteStatus

logger = structlog.get_logger()

#: Events of a partition are booked together when this many have come, or when figures are asked
#: for.
BOOKED_TOGETHER = 2000
_DELETED = ord("d")


@dataclass(frozen=True, slots=True)
class _Events:
    """The data of a batch that the books need: one entry for each event. Times are wall
    microseconds.
    """

    probes: Sequence[bytes]
    deleted: NDArray[np.bool_]
    keys: NDArray[np.int64]
    offsets: NDArray[np.int64]
    sizes: NDArray[np.int64]
    committed_us: NDArray[np.int64]
    appended_us: NDArray[np.int64]
    polled_us: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.probes)

    def __getitem__(self, part: slice) -> _Events:
        return _Events(*(getattr(self, name)[part] for name in self.__slots__))


@dataclass(frozen=True, slots=True)
class _Written:
    """Events that were written together, and when, in wall microseconds."""

    events: _Events
    started_us: int
    done_us: int


class _Times(NamedTuple):
    """When events were due, handed to the sink, and durable: wall microseconds."""

    intended_us: NDArray[np.int64]
    started_us: NDArray[np.int64]
    done_us: NDArray[np.int64]


class InstrumentedSink(SinkConnector):
    """Wraps a sink: write times, batch sizes, each event's latency split into stages, and the
    ledger.

    An event counts once it is durable. The stages commit, capture, fetch, queue and sink write lie
    on one timeline, so for every event they add up to its end-to-end latency (docs/measurement.md).
    `call` has the time of each write, `commit` that of each flush that made something durable.
    """

    def __init__(
        self, sink: SinkConnector, run: str, anchor: Anchor, probe_column: str = "probe"
    ) -> None:
        self.name = sink.name
        self.call = LatencyHistogram()
        self.commit = LatencyHistogram()
        self.largest_batch = 0
        self.writes = self.events = self.durable_events = self.bytes = 0
        self.busy_s: dict[Partition, float] = {}
        self._sink = sink
        self._run = run
        self._anchor = anchor
        self._probe_column = probe_column
        self._ledger = Ledger()
        self._steps: dict[int, StepFigures] = {}
        self._accepted: list[tuple[int, _Written]] = []
        self._unbooked: dict[int, list[_Written]] = {}
        self._whole: dict[Partition, tuple[Batch, _Events]] = {}

    @property
    def ledger(self) -> Ledger:
        """What has arrived, up to date."""
        self._book_all()
        return self._ledger

    @property
    def steps(self) -> Mapping[int, StepFigures]:
        """What each step brought, up to date."""
        self._book_all()
        return self._steps

    @property
    @override
    def incomplete_rows(self) -> int:
        return self._sink.incomplete_rows

    @override
    async def open(self) -> None:
        await self._sink.open()

    @override
    async def identify(self, topic_ids: Mapping[str, str]) -> None:
        await self._sink.identify(topic_ids)

    @override
    async def positions(self, places: Sequence[Partition]) -> Mapping[Partition, int] | None:
        return await self._sink.positions(places)

    @override
    async def write(self, batch: Batch) -> WriteStatus:
        started_ns = time.monotonic_ns()
        try:
            status = await self._sink.write(batch)
        finally:
            took_ns = time.monotonic_ns() - started_ns
            self.busy_s[batch.place] = self.busy_s.get(batch.place, 0.0) + took_ns / 1e9
        self._count(batch, took_ns)
        written = _Written(
            self._events(batch),
            self._anchor.wall_us_at(started_ns),
            self._anchor.wall_us_at(started_ns + took_ns),
        )
        if status is WriteStatus.DURABLE:
            self._durable(batch.partition, written)
        else:
            self._accepted.append((batch.partition, written))
        return status

    def _count(self, batch: Batch, took_ns: int) -> None:
        self.writes += 1
        self.events += len(batch)
        self.bytes += batch.bytes
        self.call.record_us(took_ns // 1000)
        self.largest_batch = max(self.largest_batch, len(batch))
        logger.debug(
            "benchmark.sink.write", sink=self.name, events=len(batch), took_ms=took_ns / 1e6
        )

    @override
    async def flush(self) -> None:
        accepted, self._accepted = self._accepted, []
        started_ns = time.monotonic_ns()
        try:
            await self._sink.flush()
        except BaseException:
            self._accepted = accepted + self._accepted
            raise
        done_ns = time.monotonic_ns()
        if accepted:
            self.commit.record_us((done_ns - started_ns) // 1000)
        done_us = self._anchor.wall_us_at(done_ns)
        for partition, written in accepted:
            self._durable(partition, replace(written, done_us=done_us))

    @override
    async def close(self) -> None:
        await self._sink.close()

    def _events(self, batch: Batch) -> _Events:
        """The data that the books need; if a batch is written in parts, it is read once as
        a whole.
        """
        whole = batch.whole or batch
        known = self._whole.pop(batch.place, None)
        events = known[1] if known is not None and known[0] is whole else self._read(whole)
        if batch.first + len(batch) < len(whole):
            self._whole[batch.place] = whole, events
        return events[batch.first : batch.first + len(batch)]

    def _read(self, batch: Batch) -> _Events:
        return _Events(
            probes=self._probes(batch),
            deleted=batch.rows.operation == _DELETED,
            keys=batch.key_ids,
            offsets=batch.offsets,
            sizes=batch.rows.sizes,
            committed_us=batch.rows.committed_us,
            appended_us=batch.appended_us,
            polled_us=batch.polled_us,
        )

    def _probes(self, batch: Batch) -> Sequence[bytes]:
        """Each event's probe: of the row after the change, or before it for a delete."""
        deleted = batch.rows.operation == _DELETED
        if not deleted.any():
            return self._side(batch, "after")
        before, after = self._side(batch, "before"), self._side(batch, "after")
        return [before[row] if gone else after[row] for row, gone in enumerate(deleted.tolist())]

    def _side(self, batch: Batch, side: RowImage) -> Sequence[bytes]:
        try:
            begin, length = batch.rows.spans(side, self._probe_column)
        except KeyError:
            return [b""] * len(batch)  # a table without probes: its events are foreign
        return batch.rows.octets.texts(begin, np.where(length == PROBE_BYTES, length, 0))

    def _durable(self, partition: int, written: _Written) -> None:
        self.durable_events += len(written.events)
        waiting = self._unbooked.setdefault(partition, [])
        waiting.append(written)
        if sum(len(part.events) for part in waiting) >= BOOKED_TOGETHER:
            self._book(partition)

    def _book_all(self) -> None:
        for partition in list(self._unbooked):
            self._book(partition)

    def _book(self, partition: int) -> None:
        """Enter a partition's durable events into the ledger and the histograms, in their order."""
        parts = self._unbooked.pop(partition)
        events = parts[0].events if len(parts) == 1 else _joined([part.events for part in parts])
        sizes = [len(part.events) for part in parts]
        started_us = np.repeat(np.array([part.started_us for part in parts], dtype=np.int64), sizes)
        done_us = np.repeat(np.array([part.done_us for part in parts], dtype=np.int64), sizes)
        probes = parse_probes(events.probes, self._run)
        deleted = events.deleted if events.deleted.any() else None
        probes = self._ledger.with_deletes(probes, events.keys, deleted)
        entered = PartitionEvents(
            probes, events.keys, partition, events.offsets, at_us=int(done_us[-1])
        )
        counted = self._ledger.enter(entered)
        for step in np.unique(probes.step[counted]).tolist():
            rows = np.flatnonzero(counted & (probes.step == step))
            times = _Times(probes.intended_us[rows], started_us[rows], done_us[rows])
            self._record(step, events, rows, times)

    def _record(self, step: int, events: _Events, rows: NDArray[np.int64], times: _Times) -> None:
        intended_us, started_us, done_us = times
        figures = self._steps.setdefault(step, StepFigures(first_us=int(done_us.min())))
        figures.last_us = max(figures.last_us, int(done_us.max()))
        figures.bytes += int(events.sizes[rows].sum())
        committed_us, appended_us = events.committed_us[rows], events.appended_us[rows]
        polled_us = events.polled_us[rows]
        series = {
            "end_to_end": done_us - intended_us,
            "commit": committed_us - intended_us,
            "capture": appended_us - committed_us,
            "fetch": polled_us - appended_us,
            "queue": started_us - polled_us,
            "sink_write": done_us - started_us,
        }
        for name, values in series.items():
            figures.recorder.record_many_us(name, values)

    def snapshot(self) -> dict[str, object]:
        """The figures so far, as plain data."""
        return {
            "name": self.name,
            "writes": self.writes,
            "events": self.events,
            "durable_events": self.durable_events,
            "bytes": self.bytes,
            "busy_s": round(sum(self.busy_s.values()), 6),
            "busy_by_partition_s": {
                f"{topic}:{number}": round(s, 6) for (topic, number), s in self.busy_s.items()
            },
            "call": self.call.encode(),
            "commit": self.commit.encode(),
            "mean_batch": round(self.events / self.writes, 1) if self.writes else None,
            "largest_batch": self.largest_batch,
            "incomplete_rows": self.incomplete_rows,
        }


def _joined(parts: Sequence[_Events]) -> _Events:
    probes = [probe for part in parts for probe in part.probes]
    names = _Events.__slots__[1:]
    return _Events(
        probes, *(np.concatenate([getattr(part, name) for part in parts]) for name in names)
    )
