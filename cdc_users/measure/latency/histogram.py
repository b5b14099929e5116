"""Latency histograms: HdrHistogram in microseconds, merged without loss.

A percentile is given only where enough samples support it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import msgspec
import numpy as np
from hdrh.histogram import HdrHistogram
from numpy.typing import NDArray

LOWEST_US = 1
HIGHEST_US = 3_600_000_000
DIGITS = 3
#: A percentile needs this many samples beyond it (docs/measurement.md).
BEYOND = 10
_HALF_BITS = 10
_MASK = (1 << (_HALF_BITS + 1)) - 1


@dataclass(frozen=True, slots=True)
class Censored:
    """Samples of which only a lower bound is known: how many there are, and the bound.

    A dropped arrival would have taken at least as long as it was late when it was dropped.
    """

    count: int = 0
    at_least_us: int = 0


NONE = Censored()


class EncodedHistogram(msgspec.Struct, frozen=True):
    """A histogram for messages: its counts (HdrHistogram V2, base64) and the exact figures beside
    them.
    """

    hdr: str
    count: int
    sum_us: int
    min_us: int
    max_us: int
    negative: int
    too_long: int


class LatencyHistogram:
    """Counts of latencies in microseconds, 1 us to one hour, to three significant digits.

    Negative latencies, which two clocks or a rounded time can make, belong to `count`, to the sum
    and to the ranks of percentiles, and are counted in `negative`. Latencies above an hour are
    counted in `too_long` alone. 0 counts as 1. Sums, minimum and maximum are exact. Not safe for
    several threads.
    """

    def __init__(self) -> None:
        self._hdr = HdrHistogram(LOWEST_US, HIGHEST_US, DIGITS)
        self._counts: NDArray[np.uint64] = np.ctypeslib.as_array(self._hdr.counts)
        self.count = 0
        self.sum_us = 0
        self.min_us = 0
        self.max_us = 0
        self.negative = 0
        self.too_long = 0
        #: The last encoding, and the number of samples at that time.
        self._encoded: tuple[int, EncodedHistogram] | None = None

    def record_us(self, value_us: int) -> None:
        """Count one latency."""
        if value_us > HIGHEST_US:
            self.too_long += 1
            return
        self.min_us = value_us if self.count == 0 else min(self.min_us, value_us)
        self.max_us = value_us if self.count == 0 else max(self.max_us, value_us)
        self.count += 1
        self.sum_us += value_us
        if value_us < 0:
            self.negative += 1
        else:
            self._hdr.record_value(max(value_us, LOWEST_US))

    def record_many_us(self, values_us: NDArray[np.int64]) -> None:
        """Count many latencies at once, at some ten nanoseconds a sample."""
        kept = values_us[values_us <= HIGHEST_US]
        self.too_long += int(values_us.size - kept.size)
        if kept.size == 0:
            return
        low, high = int(kept.min()), int(kept.max())
        self.min_us = low if self.count == 0 else min(self.min_us, low)
        self.max_us = high if self.count == 0 else max(self.max_us, high)
        self.count += int(kept.size)
        self.sum_us += int(kept.sum())
        inside = kept[kept >= 0]
        self.negative += int(kept.size - inside.size)
        np.add.at(self._counts, _indexes(np.maximum(inside, LOWEST_US)), 1)

    def merge(self, other: LatencyHistogram) -> None:
        """Add another histogram's samples without loss."""
        if other.count:
            self.min_us = other.min_us if self.count == 0 else min(self.min_us, other.min_us)
            self.max_us = other.max_us if self.count == 0 else max(self.max_us, other.max_us)
        self._counts += other._counts
        self.count += other.count
        self.sum_us += other.sum_us
        self.negative += other.negative
        self.too_long += other.too_long

    def continues(self, earlier: LatencyHistogram) -> bool:
        """Whether this may be a later state of `earlier`: no count has become smaller."""
        return self.count >= earlier.count and bool(np.all(self._counts >= earlier._counts))

    def minus(self, earlier: LatencyHistogram) -> LatencyHistogram:
        """The samples since an earlier state of the same histogram; minimum and maximum are known
        only as bounds of buckets.
        """
        since = LatencyHistogram()
        since._counts[:] = self._counts - earlier._counts
        since.count = self.count - earlier.count
        since.sum_us = self.sum_us - earlier.sum_us
        since.negative = self.negative - earlier.negative
        since.too_long = self.too_long - earlier.too_long
        filled = np.flatnonzero(since._counts)
        if filled.size:
            lowest, highest = int(filled[0]), int(filled[-1])
            since.min_us = 0 if since.negative else self._hdr.get_value_from_index(lowest)
            since.max_us = self._hdr.get_value_from_index(highest)
        return since

    def percentile_us(self, percentile: float, censored: Censored = NONE) -> float | None:
        """The value below which `percentile` % of the samples lie, censored ones included.

        None unless ten samples lie beyond it. None also where a censored sample could be the value,
        because the others alone would give too low a value.
        """
        total = self.count + censored.count
        if total * (100 - percentile) / 100 < BEYOND - 1e-9:
            return None
        rank = max(1, math.ceil(total * percentile / 100 - 1e-9)) - self.negative
        if rank <= 0:
            return float(self.min_us)
        counts = np.cumsum(self._counts)
        index = int(np.searchsorted(counts, rank))
        if index == len(counts):
            return None
        highest = self._hdr.get_highest_equivalent_value(self._hdr.get_value_from_index(index))
        value_us = float(min(highest, self.max_us))
        return None if censored.count and value_us > censored.at_least_us else value_us

    def summary_ms(self, censored: Censored = NONE) -> dict[str, float | int | None]:
        """Count, mean, p50, p95, p99 and maximum, in milliseconds.

        With censored samples their number is in it, and every value that they could change is None.
        """

        def ms(value_us: float | None) -> float | None:
            return None if value_us is None else round(value_us / 1000, 3)

        unknown = self.count == 0 or censored.count > 0
        return {
            "count": self.count,
            "mean": None if unknown else ms(self.sum_us / self.count),
            "p50": ms(self.percentile_us(50, censored)),
            "p95": ms(self.percentile_us(95, censored)),
            "p99": ms(self.percentile_us(99, censored)),
            "max": None if unknown else ms(self.max_us),
            **({"censored": censored.count} if censored.count else {}),
        }

    def buckets(self) -> Iterator[tuple[int, int]]:
        """Each bucket that is not empty: its lowest value in microseconds, and its count; negative
        samples stand at 0.
        """
        if self.negative:
            yield 0, self.negative
        filled = np.flatnonzero(self._counts)
        yield from zip(_lowest_us(filled).tolist(), self._counts[filled].tolist(), strict=True)

    def encode(self) -> EncodedHistogram:
        """The histogram for a message; an unchanged one is not encoded again."""
        samples = self.count + self.too_long
        if self._encoded is None or self._encoded[0] != samples:
            self._encoded = samples, self._encode()
        return self._encoded[1]

    def _encode(self) -> EncodedHistogram:
        # HdrHistogram's encoder needs these three values, which the library keeps beside the
        # counts.
        self._hdr.total_count = self.count - self.negative
        self._hdr.min_value = max(self.min_us, LOWEST_US)
        self._hdr.max_value = max(self.max_us, LOWEST_US)
        exact = {name: getattr(self, name) for name in _EXACT}
        return EncodedHistogram(self._hdr.encode().decode("ascii"), **exact)

    @classmethod
    def decode(cls, data: EncodedHistogram) -> LatencyHistogram:
        """Read what `encode` made."""
        histogram = cls()
        histogram._hdr.decode_and_add(data.hdr.encode("ascii"))
        for name in _EXACT:
            setattr(histogram, name, getattr(data, name))
        return histogram

    def hgrm(self) -> str:
        """The percentile distribution in the text format of HdrHistogram's plotters, in
        milliseconds.
        """
        lines = [
            f"{'Value':>12} {'Percentile':>14} {'TotalCount':>10} {'1/(1-Percentile)':>14}",
            "",
        ]
        total = 0
        for value_us, count in self.buckets():
            total += count
            share = total / self.count
            rest = "inf" if total == self.count else f"{1 / (1 - share):.2f}"
            lines.append(f"{value_us / 1000:12.3f} {share:14.12f} {total:10d} {rest:>14}")
        mean = self.sum_us / self.count / 1000 if self.count else 0.0
        lines.append(f"#[Mean    = {mean:12.3f}]")
        lines.append(f"#[Max     = {self.max_us / 1000:12.3f}, Total count    = {self.count:12d}]")
        return "\n".join(lines) + "\n"


_EXACT = ("count", "sum_us", "min_us", "max_us", "negative", "too_long")


def _indexes(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """The indexes of HdrHistogram's buckets for these values (see its documentation, "bucket and
    sub-bucket").
    """
    _, bits = np.frexp((values | _MASK).astype(np.float64))
    bucket = bits.astype(np.int64) - (_HALF_BITS + 1)
    return ((bucket + 1) << _HALF_BITS) + (values >> bucket) - (1 << _HALF_BITS)


def _lowest_us(indexes: NDArray[np.int64]) -> NDArray[np.int64]:
    """The lowest value of each of these buckets, the inverse of `_indexes`."""
    bucket = np.maximum((indexes >> _HALF_BITS) - 1, 0)
    lowest: NDArray[np.int64] = (indexes - (bucket << _HALF_BITS)) << bucket
    return lowest


def locust_bucket_ms(response_time_ms: float) -> float:
    """A key for Locust's own statistics: milliseconds, rounded to three significant digits of the
    microseconds.
    """
    value_us = round(response_time_ms * 1000)
    if value_us < 1000:
        return value_us / 1000
    scale: int = 10 ** (len(str(value_us)) - DIGITS)
    return round(value_us / scale) * scale / 1000


class LatencyTracker:
    """Percentiles of latencies in milliseconds, for callers that have single values."""

    def __init__(self) -> None:
        self.histogram = LatencyHistogram()

    def record_ms(self, value_ms: float) -> None:
        """Count one latency."""
        self.histogram.record_us(round(value_ms * 1000))

    def summary_ms(self) -> dict[str, float | int | None]:
        """Count, mean, p50, p95, p99 and maximum, in milliseconds; None for a percentile with too
        few samples.
        """
        return self.histogram.summary_ms()
