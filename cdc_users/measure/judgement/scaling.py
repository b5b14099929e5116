"""What more partitions or instances gained: speed-up, efficiency, and where the curve will bend.

Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from statistics import median
from typing import NotRequired, TypedDict

import numpy as np
from numpy.typing import NDArray

#: With fewer points, a curve of two parameters describes noise rather than the system.
FEWEST_POINTS = 5
#: If leaving out one point moves the peak by more than this factor, the fit is rejected.
MOST_SPREAD = 1.5
#: A smaller coefficient is rounding.
LEAST_COHERENCY = 1e-8


@dataclass(frozen=True, slots=True)
class RateReading:
    """One step of a scaling run: the partitions and instances, the rate (events a second), and the
    events of each partition.
    """

    sink: str
    partitions: int
    instances: int
    rate_per_s: float
    partition_events: Sequence[int] = ()
    #: The step ended before it had started up, so its rate is that of a start.
    hasty: bool = False

    @property
    def hottest_share(self) -> float | None:
        """The share of all events that the fullest partition had; None where it is not known."""
        total = sum(self.partition_events)
        return max(self.partition_events) / total if total else None


class PointRow(TypedDict):
    """A `Point` as result.json holds it."""

    sink: str
    partitions: int
    instances: int
    rate_per_s: float
    speed_up: float
    efficiency: float
    hottest_share: float | None
    readings: int
    speed_ups: Sequence[float]
    hasty: NotRequired[bool]


class LawRow(TypedDict):
    """A `Scalability` as result.json holds it."""

    contention: float
    coherency: float
    peak: float | None
    peak_low: float | None
    peak_high: float | None


class ScalingSummary(TypedDict):
    """How the configurations of a run compare; a sink has no law where its points are too few."""

    points: Sequence[PointRow]
    law: Mapping[str, LawRow | None]
    law_needs_points: int


@dataclass(frozen=True, slots=True)
class Point:
    """Repeated readings of one configuration, against the first configuration of the same sink.

    `rate_per_s` is the median over the rounds. `speed_up` is the median as well, of the gain in
    each round over the same round's first configuration (`speed_ups`): a machine that slows down
    between rounds changes rates, not gains. `efficiency` is the speed-up divided by how many times
    more workers there are: partitions, or instances where only those differ.
    """

    sink: str
    partitions: int
    instances: int
    rate_per_s: float
    speed_up: float
    efficiency: float
    hottest_share: float | None
    readings: int
    #: One for each round; empty where configurations were not read equally often, so that only
    #: medians can be compared.
    speed_ups: Sequence[float] = ()
    #: One of the readings, of this or of the first configuration, was too short to be compared.
    hasty: bool = False

    def to_json(self) -> PointRow:
        """Plain data."""
        row: PointRow = asdict(self)  # type: ignore[assignment]
        return row


def points(readings: Sequence[RateReading]) -> list[Point]:
    """One point a configuration, in the order in which they first came."""
    groups: dict[tuple[str, int, int], list[RateReading]] = {}
    for reading in readings:
        groups.setdefault((reading.sink, reading.partitions, reading.instances), []).append(reading)
    firsts: dict[str, list[RateReading]] = {}
    found = []
    for (sink, partitions, instances), group in groups.items():
        base = firsts.setdefault(sink, group)
        speed_ups = [
            _gain(one.rate_per_s, other.rate_per_s) for one, other in zip(group, base, strict=False)
        ]
        if len(group) != len(base):
            speed_ups = []
        rate = median(reading.rate_per_s for reading in group)
        speed_up = (
            median(speed_ups)
            if speed_ups
            else _gain(rate, median(reading.rate_per_s for reading in base))
        )
        more = (
            partitions / base[0].partitions
            if partitions != base[0].partitions
            else instances / base[0].instances
        )
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
                [round(gain, 3) for gain in speed_ups],
                any(reading.hasty for reading in (*group, *base)),
            )
        )
    return found


def _gain(rate_per_s: float, base_per_s: float) -> float:
    return rate_per_s / base_per_s if base_per_s else 0.0


@dataclass(frozen=True, slots=True)
class Scalability:
    """The Universal Scalability Law fitted to some points: contention, coherency, and the size at
    the peak.

    `peak` is None where the fitted curve never bends. `peak_low` and `peak_high` are its smallest
    and largest value when one point is left out.
    """

    contention: float
    coherency: float
    peak: float | None
    peak_low: float | None = None
    peak_high: float | None = None

    def to_json(self) -> LawRow:
        """Plain data."""
        row: LawRow = asdict(self)  # type: ignore[assignment]
        return row


def fit(sizes: Sequence[int], rates_per_s: Sequence[float]) -> Scalability | None:
    """Fit the Universal Scalability Law to rates; None below five sizes, or for too noisy points.

    The law is C(N) = N / (1 + a (N - 1) + b N (N - 1)), by N. J. Gunther. None also where one of
    the sizes did nothing at all. Points are too noisy if leaving out one of them moves the peak by
    more than half (the jackknife; Efron, "The Jackknife, the Bootstrap and Other Resampling
    Plans").

    With x = N/N1 - 1 and y = (N/N1) / C - 1 it is the parabola y = (a + b) x + b x^2 ("Guerrilla
    Capacity Planning", section 5.5). The first size counts as one.
    """
    if len(set(sizes)) < FEWEST_POINTS or min(rates_per_s) <= 0:
        return None
    size = np.asarray(sizes, dtype=np.float64) / sizes[0]
    gain = np.asarray(rates_per_s, dtype=np.float64) / rates_per_s[0]
    whole = _fit(size, gain, sizes[0])
    others = [
        _fit(np.delete(size, left_out), np.delete(gain, left_out), sizes[0]).peak
        for left_out in range(1, len(size))
    ]
    if whole.peak is None:
        return whole if all(peak is None for peak in others) else None
    known = [peak for peak in others if peak is not None]
    if len(known) < len(others) or max(known) > MOST_SPREAD * min(known):
        return None
    return replace(whole, peak_low=min(known), peak_high=max(known))


def gain_at(size: float, law: LawRow) -> float:
    """How many times the first size's rate a size reaches; sizes are counted in first sizes
    (Gunther, "Guerrilla Capacity Planning", section 4.3).
    """
    return size / (1 + law["contention"] * (size - 1) + law["coherency"] * size * (size - 1))


def fit_of_few(
    sizes: Sequence[int], rates_per_s: Sequence[float], *, coherency: bool
) -> Scalability:
    """The law through two sizes or more, for a prediction whose error is printed beside it; without
    `coherency` it is Amdahl's.
    """
    size = np.asarray(sizes, dtype=np.float64) / sizes[0]
    gain = np.asarray(rates_per_s, dtype=np.float64) / rates_per_s[0]
    if coherency:
        return _fit(size, gain, sizes[0])
    x, y = size[1:] - 1, size[1:] / gain[1:] - 1
    contention = float(np.dot(x, y) / np.dot(x, x))
    return Scalability(round(min(1.0, max(0.0, contention)), 5), 0.0, None)


def _fit(size: NDArray[np.float64], gain: NDArray[np.float64], first: int) -> Scalability:
    x = size - 1
    (linear, square), *_ = np.linalg.lstsq(np.column_stack((x, x * x)), size / gain - 1, rcond=None)
    coherency = float(square) if square > LEAST_COHERENCY else 0.0
    contention = min(1.0, max(0.0, float(linear) - coherency))
    peak = float(np.sqrt((1 - contention) / coherency) * first) if coherency > 0 else None
    return Scalability(
        round(contention, 5), round(coherency, 7), None if peak is None else round(peak, 1)
    )


def surface(found: Sequence[Point]) -> str:
    """The points of each sink as a table: partitions down, instances across, events a second with
    the speed-up.
    """
    lines = []
    for sink in dict.fromkeys(point.sink for point in found):
        mine = {(point.partitions, point.instances): point for point in found if point.sink == sink}
        across = sorted({instances for _, instances in mine})
        down = sorted({partitions for partitions, _ in mine})
        lines.append(f"SCALING ({sink} sink)")
        cells = {
            partitions: [_cell(mine.get((partitions, instances))) for instances in across]
            for partitions in down
        }
        width = max(22, *(2 + len(cell) for row in cells.values() for cell in row))
        lines.append(
            f"{'partitions':>10}"
            + "".join(f"{f'{n} instance' + 's' * (n > 1):>{width}}" for n in across)
        )
        lines += [
            f"{partitions:>10}" + "".join(f"{cell:>{width}}" for cell in row)
            for partitions, row in cells.items()
        ]
    return "\n".join(lines)


def _cell(point: Point | None) -> str:
    if point is None:
        return "-"
    least, most = min(point.speed_ups, default=1.0), max(point.speed_ups, default=1.0)
    spread = f" ({least:.2f} to {most:.2f})" if least < most else ""
    return f"{point.rate_per_s:.0f}/s {point.speed_up:5.2f} x{spread}"


def summary(found: Sequence[Point]) -> ScalingSummary:
    """What result.json says about scaling: the points, and for each sink the law that fits them."""
    fits: dict[str, LawRow | None] = {}
    for sink in dict.fromkeys(point.sink for point in found):
        mine = [
            point for point in found if point.sink == sink and point.instances == found[0].instances
        ]
        law = fit([point.partitions for point in mine], [point.rate_per_s for point in mine])
        fits[sink] = None if law is None else law.to_json()
    return {
        "points": [point.to_json() for point in found],
        "law": fits,
        "law_needs_points": FEWEST_POINTS,
    }
