"""Arrival schedules: pure functions from an arrival's number to its offset from the start.

A schedule is fixed before the run, and no event in the run moves an arrival. So a stall of the
system shows in the latencies of all arrivals that it delayed (docs/measurement.md). Every process
computes its own arrivals from the same few numbers; lists of times are never sent.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cdc_users.measure.number import number, shown
from cdc_users.measure.schedule.poisson import arrivals_before, times

UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
NS = 1_000_000_000
HIGHEST_PER_S = 1e7
#: Six weeks: the longest duration.
LONGEST_S = 1000 * 3600.0
#: Each process draws all arrivals of a Poisson process, at a second for 20 million.
MOST_BY_CHANCE = 10**8
CHUNK = 4096
WARM_UP = "warmup:"


class PlanError(ValueError):
    """A rate, a duration or a share that is not possible; the message has the value and the
    remedy.
    """


@dataclass(frozen=True, slots=True)
class LoadStage:
    """A rate held for a while, or changed steadily from one to another.

    A warm-up is run and shown, not aggregated.
    """

    start_per_s: float
    end_per_s: float
    duration_s: float
    warm_up: bool = False

    @property
    def arrivals(self) -> float:
        """The number of its arrivals, not rounded."""
        return (self.start_per_s + self.end_per_s) / 2 * self.duration_s

    @property
    def name(self) -> str:
        """Its name in charts, steps and files: "500-per-s", "500-to-2000-per-s"."""
        rates = dict.fromkeys((self.start_per_s, self.end_per_s))
        spoken = "-to-".join(f"{rate:.10g}" for rate in rates)
        return f"{'warm-up-' if self.warm_up else ''}{spoken}-per-s"


@dataclass(frozen=True, slots=True)
class Mark:
    """Where a stage begins, for charts."""

    offset_s: float
    name: str


@dataclass(frozen=True, slots=True)
class Schedule:
    """`count` arrivals along `stages`, or all at once where there are none (a burst).

    With stages the arrivals are evenly spaced at the stages' rates; with a `seed` they are a
    Poisson process of these rates, the same for the same seed. `first` and `stride` select an
    interleaved share: arrival k of the share is arrival first + k * stride of the whole. Every
    offset is computed from the arrival's number, so rounding errors do not add up.
    """

    count: int
    stages: tuple[LoadStage, ...] = ()
    seed: int | None = None
    first: int = 0
    stride: int = 1

    @classmethod
    def volume(cls, count: int) -> Schedule:
        """A fixed volume, all due at the start."""
        if count < 1:
            raise PlanError(f"a volume of {count} arrivals is not possible; ask for at least 1")
        return cls(count)

    @classmethod
    def constant(cls, rate_per_s: float, duration_s: float, seed: int | None = None) -> Schedule:
        """One rate for a while."""
        return cls.staged((LoadStage(rate_per_s, rate_per_s, duration_s),), seed)

    @classmethod
    def staged(cls, stages: Sequence[LoadStage], seed: int | None = None) -> Schedule:
        """One stage after another; a Poisson process has a random number of arrivals."""
        total = sum(stage.arrivals for stage in stages)
        if seed is not None and total > MOST_BY_CHANCE:
            raise PlanError(
                f"{total:,.0f} arrivals are more than can be drawn by chance, {MOST_BY_CHANCE:,};"
                " lower the rate or the duration, or space them evenly"
            )
        count = round(total) if seed is None else arrivals_before(seed, total)
        if count < 1:
            text = ", ".join(f"{stage.name} for {stage.duration_s:g} s" for stage in stages)
            raise PlanError(
                f"{text or 'no stage'} makes no arrival; raise the rate or the duration"
            )
        return cls(count, tuple(stages), seed)

    def offset_ns(self, number: int) -> int:
        """When arrival `number` of this share is due, in nanoseconds from the start."""
        return int(self.slice_ns(number, number + 1)[0])

    def slice_ns(self, start: int, stop: int) -> NDArray[np.int64]:
        """The offsets of this share's arrivals start, start + 1, ... up to before stop, in
        order.
        """
        if not self.stages:
            return np.zeros(stop - start, np.int64)
        numbers = self.first + np.arange(start, stop, dtype=np.int64) * self.stride
        positions = numbers.astype(np.float64) if self.seed is None else times(self.seed, numbers)
        return _offsets_ns(self.stages, positions)

    def offsets_ns(self) -> Iterator[int]:
        """All offsets of this share, in order."""
        for start in range(0, self.count, CHUNK):
            yield from self.slice_ns(start, min(start + CHUNK, self.count)).tolist()

    def number_at(self, offset_ns: int) -> int:
        """The number of the first arrival that is due at this offset or later; `count` if there is
        none.
        """
        low, high = 0, self.count
        while low < high:
            middle = (low + high) // 2
            low, high = (middle + 1, high) if self.offset_ns(middle) < offset_ns else (low, middle)
        return low

    @property
    def duration_s(self) -> float:
        """How long arrivals last; 0 for a burst."""
        return sum(stage.duration_s for stage in self.stages)

    @property
    def rate_per_s(self) -> float:
        """The mean rate of the whole schedule, all shares together; 0 for a burst."""
        return (
            sum(stage.arrivals for stage in self.stages) / self.duration_s if self.stages else 0.0
        )

    def marks(self) -> tuple[Mark, ...]:
        """Where each stage begins."""
        starts = np.cumsum([0.0] + [stage.duration_s for stage in self.stages])
        return tuple(
            Mark(float(start), stage.name)
            for start, stage in zip(starts, self.stages, strict=False)
        )

    def share(self, index: int, of: int) -> Schedule:
        """Part `index` of `of` interleaved parts; together they are the whole, without overlap."""
        if not 0 <= index < of:
            raise PlanError(f"share {index} of {of} does not exist; shares count from 0")
        return self._select(len(range(index, self.count, of)), index, of)

    def between(self, begin: int, end: int) -> Schedule:
        """Only the arrivals from `begin` up to before `end`."""
        if not 0 <= begin <= end <= self.count:
            raise PlanError(
                f"arrivals {begin} to {end} are not within the {self.count} of the schedule"
            )
        return self._select(end - begin, begin, 1)

    def _select(self, count: int, first: int, stride: int) -> Schedule:
        return Schedule(
            count, self.stages, self.seed, self.first + first * self.stride, self.stride * stride
        )

    def to_json(self) -> dict[str, object]:
        """Plain data, for plan.json."""
        stages = [
            [stage.start_per_s, stage.end_per_s, stage.duration_s, stage.warm_up]
            for stage in self.stages
        ]
        return {
            "count": self.count,
            "rate_per_s": self.rate_per_s,
            "stages": stages,
            "seed": self.seed,
            "first": self.first,
            "stride": self.stride,
        }


def _offsets_ns(stages: Sequence[LoadStage], positions: NDArray[np.float64]) -> NDArray[np.int64]:
    """When the arrivals at these positions are due: the inverse of the rates' integral."""
    table = np.array(
        [[stage.start_per_s, stage.end_per_s, stage.duration_s, stage.arrivals] for stage in stages]
    )
    come = np.concatenate(([0.0], np.cumsum(table[:-1, 3])))
    started_ns = np.concatenate(([0.0], np.cumsum(table[:-1, 2]))) * NS
    stage = np.searchsorted(come, positions, side="right") - 1
    start, end, duration = table[stage, 0], table[stage, 1], table[stage, 2]
    inside = positions - come[stage]
    # A root of start * t + (end - start) / (2 * duration) * t ** 2 = inside. This form of it has no
    # cancellation, unlike the textbook one.
    root = np.sqrt(np.maximum(start**2 + 2 * (end - start) / duration * inside, 0.0))
    below = np.where(start == end, start, (start + root) / 2)
    offsets = started_ns[stage] + np.divide(
        inside * NS, below, out=np.zeros_like(inside), where=below > 0
    )
    whole: NDArray[np.int64] = np.rint(offsets).astype(np.int64)
    return whole


@dataclass(frozen=True, slots=True)
class SchedulePart:
    """One process's part of a schedule's arrivals from `begin` up to before `end`: each `of`-th
    one, from `index` on.
    """

    begin: int
    end: int
    index: int
    of: int

    def select(self, schedule: Schedule) -> Schedule:
        """The arrivals of this part."""
        return schedule.between(self.begin, self.end).share(self.index, self.of)


def first_parts(schedule: Schedule, workers: Sequence[str]) -> dict[str, tuple[SchedulePart, ...]]:
    """Each process's part at the start; raises PlanError for more processes than arrivals."""
    if len(workers) > schedule.count:
        raise PlanError(
            f"{len(workers)} workers are more than {schedule.count} arrivals; lower --processes or"
            " raise the load"
        )
    return {
        worker: (SchedulePart(0, schedule.count, index, len(workers)),)
        for index, worker in enumerate(workers)
    }


def next_parts(
    schedule: Schedule,
    parts: Mapping[str, Sequence[SchedulePart]],
    workers: Sequence[str],
    offset_ns: int,
) -> dict[str, tuple[SchedulePart, ...]]:
    """Each process's parts when other workers take part from an offset on; every arrival has
    exactly one owner.

    The offset must be far enough ahead for every process to be informed in time. `workers` take
    part from then on; any other process keeps the arrivals that are due before. All arrivals of a
    burst are due at once, so a new worker gets none.
    """
    at = schedule.number_at(offset_ns)
    changed = {
        worker: tuple(
            SchedulePart(part.begin, min(part.end, at), part.index, part.of)
            for part in owned
            if part.begin < at
        )
        for worker, owned in parts.items()
    }
    for index, worker in enumerate(workers):
        changed[worker] = (
            *changed.get(worker, ()),
            SchedulePart(at, schedule.count, index, len(workers)),
        )
    return changed


def parse_rate(text: str) -> float:
    """Arrivals a second from "1000" or "1000/s"; raises PlanError."""
    rate = _rate(text)
    if rate == 0:
        raise PlanError(f"{shown(text)} must be above 0 and below ten million a second")
    return rate


def _rate(text: str) -> float:
    try:
        rate = float(number(text.strip().removesuffix("/s")))
    except ValueError:
        raise PlanError(
            f"{shown(text)} is not a rate; write arrivals per second, e.g. 1000, 10k or 1000/s"
        ) from None
    if not 0 <= rate < HIGHEST_PER_S or math.copysign(1, rate) < 0:
        raise PlanError(f"{shown(text)} must be above 0 and below ten million a second")
    return rate


def parse_duration(text: str) -> float:
    """Seconds from "500ms", "30s", "5m" or "1h"; raises PlanError."""
    match = re.fullmatch(r"([^-+].*?)(ms|s|m|h)", text.strip())
    try:
        seconds = float(number(match[1])) * UNITS_S[match[2]] if match is not None else None
    except ValueError:
        seconds = None
    if seconds is None:
        raise PlanError(
            f"{shown(text)} is not a duration; write a number and its unit, e.g. 50ms, 30s or 5m"
        )
    if seconds <= 0:
        raise PlanError(f"{shown(text)} must be longer than nothing")
    if seconds > LONGEST_S:
        raise PlanError(f"{shown(text)} must be at most {LONGEST_S / 3600:g}h")
    return seconds


def parse_stages(text: str) -> tuple[LoadStage, ...]:
    """Stages from "warmup:100/s:5s,500/s:30s,500/s->2000/s:60s"; raises PlanError."""
    stages = tuple(_stage(part.strip()) for part in text.split(","))
    if all(stage.warm_up for stage in stages):
        raise PlanError(f"{text!r} is nothing but warm-up; add a stage that is measured")
    return stages


def _stage(text: str) -> LoadStage:
    warm_up = text.startswith(WARM_UP)
    rates, colon, duration = text.removeprefix(WARM_UP).rpartition(":")
    start, arrow, end = rates.partition("->")
    if not colon or not start:
        raise PlanError(
            f"{text!r} is not a stage; write RATE:DURATION, e.g. 500/s:30s, or a ramp"
            " 500/s->2000/s:60s"
        )
    stage = LoadStage(
        _rate(start), _rate(end if arrow else start), parse_duration(duration), warm_up
    )
    if stage.arrivals < 1:
        raise PlanError(
            f"{text!r} makes no arrival; raise the rate or the duration, or leave the stage out"
        )
    return stage
