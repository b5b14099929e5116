"""The distribution of latencies over a run's time, in a bounded number of columns and buckets."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from cdc_users.measure.latency.histogram import HIGHEST_US, LatencyHistogram

#: A run of a day has no more columns than one of four minutes: columns get wider instead.
MOST_COLUMNS = 240
PER_DECADE = 10
DECADES = 10
BUCKETS = PER_DECADE * DECADES
_BOUNDS_US: NDArray[np.float64] = 10 ** (np.arange(1, BUCKETS) / PER_DECADE)


def edges_ms() -> list[float]:
    """The bounds of the buckets in milliseconds: one more than there are buckets."""
    return [float(f"{10 ** (index / PER_DECADE) / 1000:.4g}") for index in range(BUCKETS + 1)]


class HeatColumn(TypedDict):
    """The events of one span of time: its start (seconds), its first bucket with events, and the
    counts from that bucket on.
    """

    x: float
    first: int
    counts: list[int]


class HeatChart(TypedDict):
    """The data of a chart."""

    width_s: float
    edges_ms: list[float]
    columns: list[HeatColumn]


@dataclass(slots=True)
class HeatMap:
    """Counts by time and latency; `add` goes forward in time."""

    width_s: float = 1.0
    columns: dict[int, NDArray[np.int64]] = field(default_factory=dict)

    def add(self, at_s: float, arrived: LatencyHistogram) -> None:
        """Count the latencies that arrived at a time."""
        found = list(arrived.buckets())
        if not found:
            return
        values = np.array([min(max(value, 1), HIGHEST_US) for value, _ in found], dtype=np.float64)
        counts = np.zeros(BUCKETS, dtype=np.int64)
        np.add.at(
            counts,
            np.searchsorted(_BOUNDS_US, values, side="right"),
            [count for _, count in found],
        )
        while at_s // self.width_s >= MOST_COLUMNS:
            self._widen()
        column = int(at_s // self.width_s)
        self.columns[column] = self.columns.get(column, 0) + counts

    def _widen(self) -> None:
        """Merge pairs of columns into columns of twice the width."""
        wider: dict[int, NDArray[np.int64]] = {}
        for column, counts in self.columns.items():
            wider[column // 2] = wider.get(column // 2, 0) + counts
        self.width_s, self.columns = self.width_s * 2, wider

    def to_json(self, first: int = 0) -> HeatChart:
        """The data of a chart, from column `first` on; each column without its empty ends."""
        return {
            "width_s": self.width_s,
            "edges_ms": edges_ms(),
            "columns": [self._column(column) for column in sorted(self.columns) if column >= first],
        }

    def _column(self, column: int) -> HeatColumn:
        counts = self.columns[column]
        filled = np.flatnonzero(counts)
        return {
            "x": column * self.width_s,
            "first": int(filled[0]),
            "counts": counts[filled[0] : filled[-1] + 1].tolist(),
        }
