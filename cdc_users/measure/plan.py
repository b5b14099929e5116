"""Arrival schedules: pure functions from an arrival's number to its offset from the start.

A schedule is fixed before the run. Nothing that happens moves an arrival, so a stall of the system shows in the
latencies of all arrivals that it delayed (docs/measurement.md).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
NS = 1_000_000_000


class PlanError(ValueError):
    """A rate, a duration or a share that makes no sense; the message names the value and the remedy."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """`count` arrivals at a constant `rate_per_s`, or all at once where the rate is 0 (a burst).

    `first` and `stride` select an interleaved share: arrival k of the share is arrival first + k * stride of the
    whole. Offsets are exact in integer nanoseconds, never accumulated.
    """

    count: int
    rate_per_s: float = 0.0
    first: int = 0
    stride: int = 1

    @classmethod
    def volume(cls, count: int) -> Schedule:
        """A fixed volume, all due at the start."""
        if count < 1:
            raise PlanError(f"a volume of {count} arrivals is not possible; ask for at least 1")
        return cls(count)

    @classmethod
    def constant(cls, rate_per_s: float, duration_s: float) -> Schedule:
        """Evenly spaced arrivals for a while."""
        count = round(rate_per_s * duration_s)
        if count < 1:
            raise PlanError(f"{rate_per_s:g}/s for {duration_s:g} s makes no arrival; raise one of them")
        return cls(count, rate_per_s)

    def offset_ns(self, number: int) -> int:
        """When arrival `number` of this share is due, in nanoseconds from the start."""
        return round((self.first + number * self.stride) * NS / self.rate_per_s) if self.rate_per_s else 0

    def offsets_ns(self) -> Iterator[int]:
        """All offsets of this share, in order."""
        return map(self.offset_ns, range(self.count))

    @property
    def duration_s(self) -> float:
        """How long arrivals keep coming; 0 for a burst."""
        return self.count * self.stride / self.rate_per_s if self.rate_per_s else 0.0

    def share(self, index: int, of: int) -> Schedule:
        """Part `index` of `of` interleaved parts; together they are the whole, without overlap."""
        if not 0 <= index < of:
            raise PlanError(f"share {index} of {of} does not exist; shares count from 0")
        count = len(range(index, self.count, of))
        return Schedule(count, self.rate_per_s, self.first + index * self.stride, self.stride * of)

    def to_json(self) -> dict[str, Any]:
        """Plain data, for plan.json and for the wire."""
        return {"count": self.count, "rate_per_s": self.rate_per_s, "first": self.first, "stride": self.stride}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Schedule:
        """Read what `to_json` made."""
        return cls(int(data["count"]), float(data["rate_per_s"]), int(data["first"]), int(data["stride"]))


def parse_rate(text: str) -> float:
    """Arrivals a second from "1000" or "1000/s"; raises PlanError."""
    number = text.strip().removesuffix("/s")
    try:
        rate = float(number)
    except ValueError:
        raise PlanError(f"{text!r} is not a rate; write arrivals per second, e.g. 1000 or 1000/s") from None
    if not 0 < rate < 1e7:
        raise PlanError(f"{text!r} must be above 0 and below ten million a second")
    return rate


def parse_duration(text: str) -> float:
    """Seconds from "500ms", "30s", "5m" or "1h"; raises PlanError."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m|h)", text.strip())
    if match is None:
        raise PlanError(f"{text!r} is not a duration; write a number and its unit, e.g. 50ms, 30s or 5m")
    seconds = float(match[1]) * UNITS_S[match[2]]
    if seconds <= 0:
        raise PlanError(f"{text!r} must be longer than nothing")
    return seconds
