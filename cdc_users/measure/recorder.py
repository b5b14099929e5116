"""Named series of latencies: what travels from workers and from the platform, and is merged without loss."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cdc_users.measure.histogram import LatencyHistogram


class Recorder:
    """Series by name, each a LatencyHistogram."""

    def __init__(self) -> None:
        self.series: dict[str, LatencyHistogram] = {}

    def record_many_us(self, name: str, values_us: NDArray[np.int64]) -> None:
        """Count many latencies of one series."""
        self.histogram(name).record_many_us(values_us)

    def histogram(self, name: str) -> LatencyHistogram:
        """A series, empty if nothing was recorded yet."""
        if name not in self.series:
            self.series[name] = LatencyHistogram()
        return self.series[name]

    def merge(self, other: Recorder) -> None:
        """Add all of another recorder's samples."""
        for name, histogram in other.series.items():
            self.histogram(name).merge(histogram)

    def minus(self, earlier: Recorder) -> Recorder:
        """What has come since an earlier state of the same recorder."""
        since = Recorder()
        for name, histogram in self.series.items():
            since.series[name] = histogram.minus(earlier.histogram(name))
        return since

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {name: histogram.to_json() for name, histogram in self.series.items()}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Recorder:
        """Read what `to_json` made."""
        recorder = cls()
        recorder.series = {name: LatencyHistogram.from_json(series) for name, series in data.items()}
        return recorder
