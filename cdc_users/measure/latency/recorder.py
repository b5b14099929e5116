"""Named series of latencies, which workers and platforms send and the harness merges
without loss.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cdc_users.measure.latency.histogram import EncodedHistogram, LatencyHistogram

TIMES_PER_FLUSH = 3 * 1024


class SeriesTotal(NamedTuple):
    """The number of a series' samples, and their sum."""

    samples: int = 0
    sum_us: int = 0


class Recorder:
    """Series by name, each a LatencyHistogram.

    `told` holds the encoded parts that processes have sent. A series is decoded and merged only
    when it is asked for, which takes half a millisecond. A look gets every step of a run and needs
    few of the series; decoding all of them would keep the lanes of this process from starting
    arrivals.
    """

    def __init__(self, told: Sequence[Mapping[str, EncodedHistogram]] = ()) -> None:
        self.told = tuple(told)
        self._series: dict[str, LatencyHistogram] = {}

    @property
    def series(self) -> dict[str, LatencyHistogram]:
        """All series by name."""
        for part in self.told:
            for name in part:
                self.histogram(name)
        return self._series

    def is_as(self, earlier: Recorder) -> bool:
        """Whether all processes have sent the same as before, so that no sample was added."""
        return bool(self.told) and self.told == earlier.told

    def record_many_us(self, name: str, values_us: NDArray[np.int64]) -> None:
        """Count many latencies of one series."""
        self.histogram(name).record_many_us(values_us)

    def histogram(self, name: str) -> LatencyHistogram:
        """A series; empty if nothing was recorded."""
        if name not in self._series:
            parts = [LatencyHistogram.decode(part) for part in self._parts(name)]
            whole, *others = parts or [LatencyHistogram()]
            for other in others:
                whole.merge(other)
            self._series[name] = whole
        return self._series[name]

    def total(self, name: str) -> SeriesTotal:
        """The number of a series' samples and their sum, without decoding its counts."""
        known = self._series.get(name)
        parts: Sequence[LatencyHistogram | EncodedHistogram] = (
            self._parts(name) if known is None else [known]
        )
        return SeriesTotal(sum(one.count for one in parts), sum(one.sum_us for one in parts))

    def merge(self, other: Recorder) -> None:
        """Add all of another recorder's samples."""
        for name, histogram in other.series.items():
            self.histogram(name).merge(histogram)

    def encode(self) -> dict[str, EncodedHistogram]:
        """All series for a message."""
        return {name: histogram.encode() for name, histogram in self.series.items()}

    def _parts(self, name: str) -> Sequence[EncodedHistogram]:
        return [part[name] for part in self.told if name in part]


class OperationLog:
    """The times of finished operations, noted cheaply one by one and added to a recorder in bulk.

    `send_delay` has every operation. `response` and `service` have the successful ones,
    `response.NAME` those of one kind, and `failed` the response times of the failed ones. So
    `response` and `failed` together count the operations that were started.
    """

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._times_ns: dict[tuple[str, bool], list[int]] = {}
        self.busy_ns = 0

    def add(
        self,
        intended_ns: int,
        started_ns: int,
        done_ns: int,
        name: str = "",
        *,
        failed: bool = False,
    ) -> None:
        """Note one operation."""
        times = self._times_ns.get((name, failed))
        if times is None:
            times = self._times_ns[name, failed] = []
        times += (intended_ns, started_ns, done_ns)
        if len(times) >= TIMES_PER_FLUSH:
            self._turn(name, failed, times)

    def add_many(
        self,
        intended_ns: NDArray[np.int64],
        started_ns: NDArray[np.int64] | int,
        done_ns: NDArray[np.int64] | int,
        name: str = "",
        *,
        failed: bool = False,
    ) -> None:
        """Note many operations; one start and one end may hold for all of them."""
        columns = np.broadcast_arrays(intended_ns, started_ns, done_ns)
        self._record(name, failed, *columns)

    def flush(self) -> None:
        """Add all noted operations to the recorder."""
        for (name, failed), times in self._times_ns.items():
            if times:
                self._turn(name, failed, times)

    def _turn(self, name: str, failed: bool, times: list[int]) -> None:
        table = np.array(times, dtype=np.int64).reshape(-1, 3)
        times.clear()
        self._record(name, failed, table[:, 0], table[:, 1], table[:, 2])

    def _record(
        self,
        name: str,
        failed: bool,
        intended_ns: NDArray[np.int64],
        started_ns: NDArray[np.int64],
        done_ns: NDArray[np.int64],
    ) -> None:
        self.busy_ns += int((done_ns - started_ns).sum())
        delay_us, service_us = (started_ns - intended_ns) // 1000, (done_ns - started_ns) // 1000
        record = self._recorder.record_many_us
        record("send_delay", delay_us)
        if failed:
            record("failed", delay_us + service_us)
            return
        record("service", service_us)
        record("response", delay_us + service_us)
        if name:
            record(f"response.{name}", delay_us + service_us)
