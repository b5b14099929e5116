"""What a pipeline did under more load than its sink could take: how full each place was, its
memory, and how the backlog spread. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

#: A place is full above the first share of its own maximum, and empty below the second.
FULL, EMPTY = 0.9, 0.1
#: A process takes some megabytes at its start, whatever load follows; fewer events hide in that.
FEWEST_EVENTS = 50_000


@dataclass(frozen=True, slots=True)
class PressureSample:
    """A pipeline at one moment, `elapsed_s` after its step's start; None where not known.

    `completions` and `busy_s` (the sink's time in writes, over all workers) are totals; all other
    values are those of the moment.
    """

    elapsed_s: float
    queue_depth: int
    in_flight: int
    paused_partitions: int
    completions: int
    busy_s: float
    workers: int
    uss_bytes: int
    rss_bytes: int
    consumer_lag: int | None = None
    slot_lag_bytes: int | None = None
    queues: Mapping[str, int] | None = None


#: The places where events can wait, from the sink back to the source.
PLACES: Mapping[str, Callable[[PressureSample], int | None]] = {
    "queue": lambda sample: sample.queue_depth,
    "paused": lambda sample: sample.paused_partitions,
    "topic": lambda sample: sample.consumer_lag,
    "slot": lambda sample: sample.slot_lag_bytes,
}


@dataclass(frozen=True, slots=True)
class Filling:
    """One place under pressure: its maximum, when it was first nearly that full, and when it was
    empty again.
    """

    place: str
    most: int
    full_s: float | None
    empty_s: float | None

    def to_json(self) -> dict[str, object]:
        """Plain data."""
        return {name: getattr(self, name) for name in self.__slots__}


def travel(samples: Sequence[PressureSample]) -> list[Filling]:
    """When each place filled and emptied; a place that was not measured is left out."""
    found = []
    for place, read in PLACES.items():
        known = [
            (sample.elapsed_s, value) for sample in samples if (value := read(sample)) is not None
        ]
        if known:
            found.append(_filling(place, known))
    return found


def _filling(place: str, known: Sequence[tuple[float, int]]) -> Filling:
    most = max(value for _, value in known)
    if most <= 0:  # a backlog is the difference of two looks, and can be negative for a moment
        return Filling(place, 0, None, None)
    full_s = next(at for at, value in known if value >= FULL * most)
    above = [at for at, value in known if value > EMPTY * most]
    empty_s = next((at for at, _ in known if at > above[-1]), None)
    return Filling(place, most, full_s, empty_s)


def stalled_s(samples: Sequence[PressureSample]) -> float:
    """The longest time in which partitions stayed paused with nothing held any more: a pause that
    never ends.
    """
    longest_s = since_s = 0.0
    stalled = False
    for sample in samples:
        idle = sample.paused_partitions > 0 and sample.queue_depth == 0 and sample.in_flight == 0
        if idle and not stalled:
            since_s = sample.elapsed_s
        stalled = idle
        longest_s = max(longest_s, sample.elapsed_s - since_s if idle else 0.0)
    return longest_s


def busy_share(samples: Sequence[PressureSample], start_s: float, end_s: float) -> float | None:
    """The share of a window that the sink spent in writes, over all workers; None for fewer than
    two samples.
    """
    inside = [sample for sample in samples if start_s <= sample.elapsed_s <= end_s]
    if len(inside) < 2:
        return None
    first, last = inside[0], inside[-1]
    available_s = (last.elapsed_s - first.elapsed_s) * max(sample.workers for sample in inside)
    return (last.busy_s - first.busy_s) / available_s if available_s > 0 else None


def memory_growth_bytes(
    samples: Sequence[PressureSample], start_s: float, end_s: float
) -> int | None:
    """How much more unique memory the platform had at the end of a window than at its start."""
    inside = [sample for sample in samples if start_s <= sample.elapsed_s <= end_s]
    return inside[-1].uss_bytes - inside[0].uss_bytes if len(inside) >= 2 else None


def memory_slope(samples: Sequence[PressureSample]) -> float | None:
    """Bytes of unique memory for each completed event, by least squares; None for too few events,
    where growth could not be told from what a process takes at its start.
    """
    done = np.array([sample.completions for sample in samples], dtype=np.float64)
    if done.size < 2 or done.max() - done.min() < FEWEST_EVENTS:
        return None
    slope, _ = np.polyfit(
        done - done[0], np.array([sample.uss_bytes for sample in samples], dtype=np.float64), 1
    )
    return float(slope)


def figures(
    samples: Sequence[PressureSample], hold: tuple[float, float] | None
) -> dict[str, object]:
    """A step's `pressure` in result.json.

    `hold` is the step's window of constant overload, in seconds.
    """
    start_s, end_s = hold if hold else (0.0, samples[-1].elapsed_s if samples else 0.0)
    growth, slope = memory_growth_bytes(samples, 0.0, end_s), memory_slope(samples)
    busy = busy_share(samples, start_s, end_s)
    return {
        "memory_growth_mb": None if growth is None else round(growth / 1e6, 2),
        "memory_slope_mb_per_million": None if slope is None else round(slope, 2),
        "sink_busy_share": None if busy is None else round(busy, 4),
        "stalled_s": round(stalled_s(samples), 3),
        "travel": [filling.to_json() for filling in travel(samples)],
    }
