"""What more partitions or instances bought: speed-up, efficiency, and where the curve will bend. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np

#: Below so many points a curve with two parameters says more about their noise than about the system.
FEWEST_POINTS = 5


@dataclass(frozen=True, slots=True)
class Reading:
    """One step of a scaling run: how many at work, how fast (events a second), and the events of each partition."""

    sink: str
    partitions: int
    instances: int
    rate_per_s: float
    partition_events: Sequence[int] = ()

    @property
    def hottest_share(self) -> float | None:
        """The share of all events that the fullest partition had; None where it is not known."""
        total = sum(self.partition_events)
        return max(self.partition_events) / total if total else None


@dataclass(frozen=True, slots=True)
class Point:
    """Repeated readings of one configuration: their median, against the first configuration of the same sink.

    `efficiency` is the speed-up over how many times more workers there are: partitions, or instances where only
    those differ.
    """

    sink: str
    partitions: int
    instances: int
    rate_per_s: float
    speed_up: float
    efficiency: float
    hottest_share: float | None
    readings: int

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {name: getattr(self, name) for name in self.__slots__}


def points(readings: Sequence[Reading]) -> list[Point]:
    """One point a configuration, in the order in which they first came."""
    groups: dict[tuple[str, int, int], list[Reading]] = {}
    for reading in readings:
        groups.setdefault((reading.sink, reading.partitions, reading.instances), []).append(reading)
    firsts: dict[str, tuple[float, int, int]] = {}
    found = []
    for (sink, partitions, instances), group in groups.items():
        rate = median(reading.rate_per_s for reading in group)
        base_rate, base_partitions, base_instances = firsts.setdefault(sink, (rate, partitions, instances))
        speed_up = rate / base_rate if base_rate else 0.0
        more = partitions / base_partitions if partitions != base_partitions else instances / base_instances
        shares = [reading.hottest_share for reading in group if reading.hottest_share is not None]
        found.append(
            Point(
                sink,
                partitions,
                instances,
                round(rate, 1),
                round(speed_up, 3),
                round(speed_up / more, 3),
                round(median(shares), 4) if shares else None,
                len(group),
            )
        )
    return found


@dataclass(frozen=True, slots=True)
class Scalability:
    """The Universal Scalability Law fitted to some points: contention, coherency, and the size at its peak.

    `peak` is None where the fitted curve never bends.
    """

    contention: float
    coherency: float
    peak: float | None


def fit(sizes: Sequence[int], rates_per_s: Sequence[float]) -> Scalability | None:
    """Fit N. J. Gunther's law C(N) = N / (1 + a (N - 1) + b N (N - 1)); None below five different sizes.

    With x = N/N1 - 1 and y = (N/N1) / C - 1 it is the parabola y = (a + b) x + b x^2 ("Guerrilla Capacity Planning",
    section 5.5). The first size counts as one.
    """
    if len(set(sizes)) < FEWEST_POINTS or rates_per_s[0] <= 0:
        return None
    size = np.asarray(sizes, dtype=np.float64) / sizes[0]
    gain = np.asarray(rates_per_s, dtype=np.float64) / rates_per_s[0]
    x = size - 1
    (linear, square), *_ = np.linalg.lstsq(np.column_stack((x, x * x)), size / gain - 1, rcond=None)
    coherency = max(0.0, float(square))
    contention = min(1.0, max(0.0, float(linear) - coherency))
    peak = float(np.sqrt((1 - contention) / coherency) * sizes[0]) if coherency > 0 else None
    return Scalability(round(contention, 5), round(coherency, 7), None if peak is None else round(peak, 1))


def surface(found: Sequence[Point]) -> str:
    """The points of each sink as a table: partitions down, instances across, events a second with the speed-up."""
    lines = []
    for sink in dict.fromkeys(point.sink for point in found):
        mine = {(point.partitions, point.instances): point for point in found if point.sink == sink}
        across = sorted({instances for _, instances in mine})
        down = sorted({partitions for partitions, _ in mine})
        lines.append(f"SCALING ({sink} sink)")
        lines.append(f"{'partitions':>10}" + "".join(f"{f'{n} instance' + 's' * (n > 1):>22}" for n in across))
        for partitions in down:
            cells = [_cell(mine.get((partitions, instances))) for instances in across]
            lines.append(f"{partitions:>10}" + "".join(f"{cell:>22}" for cell in cells))
    return "\n".join(lines)


def _cell(point: Point | None) -> str:
    return "-" if point is None else f"{point.rate_per_s:.0f}/s {point.speed_up:5.2f} x"


def summary(found: Sequence[Point]) -> Mapping[str, Any]:
    """What result.json says about scaling: the points, and the law's fit a sink (None: too few points)."""
    fits = {}
    for sink in dict.fromkeys(point.sink for point in found):
        mine = [point for point in found if point.sink == sink and point.instances == found[0].instances]
        law = fit([point.partitions for point in mine], [point.rate_per_s for point in mine])
        fits[sink] = None if law is None else {name: getattr(law, name) for name in law.__slots__}
    return {"points": [point.to_json() for point in found], "law": fits, "law_needs_points": FEWEST_POINTS}
