"""What a step cost each server, the platform and the harness: processors, memory, writes. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

#: Parts outside the system under test: the harness, and the whole machine with everything on it.
OWN = ("harness", "machine")
#: Costs are stated for this rate (events a second).
PER_EVENTS = 10_000


#: A step's cost by part, as in result.json; None for a part that could not be measured.
Costs = Mapping[str, Mapping[str, float | None] | None]


@dataclass(frozen=True, slots=True)
class CostReading:
    """The processor time (seconds), memory and writes of all processes of one name until a moment;
    None where not known.
    """

    at_s: float
    cpu_s: float
    rss_bytes: int
    uss_bytes: int | None
    written_bytes: int | None


@dataclass(frozen=True, slots=True)
class PartCost:
    """What one part used in a span of time: mean cores, peak memory, and bytes written to
    storage.
    """

    cpu_cores: float
    rss_mb: float
    uss_mb: float | None
    written_mb_per_s: float | None

    def to_json(self) -> dict[str, float | None]:
        """Plain data."""
        return {name: getattr(self, name) for name in self.__slots__}


def cost_of(readings: Sequence[CostReading]) -> PartCost | None:
    """A part's use between the first reading and the last; None for fewer than two readings."""
    if len(readings) < 2 or readings[-1].at_s <= readings[0].at_s:
        return None
    first, last = readings[0], readings[-1]
    span_s = last.at_s - first.at_s
    unique = [one.uss_bytes for one in readings if one.uss_bytes is not None]
    written = (
        None
        if first.written_bytes is None or last.written_bytes is None
        else round(max(0, last.written_bytes - first.written_bytes) / span_s / 1e6, 3)
    )
    return PartCost(
        cpu_cores=round(max(0.0, last.cpu_s - first.cpu_s) / span_s, 3),
        rss_mb=round(max(one.rss_bytes for one in readings) / 1e6, 1),
        uss_mb=round(max(unique) / 1e6, 1) if unique else None,
        written_mb_per_s=written,
    )


def cores(costs: Costs) -> float | None:
    """The cores of the system under test, without the harness; None where a part is not known."""
    return _sum(costs, "cpu_cores")


def memory_mb(costs: Costs) -> float | None:
    """The unique memory of the system under test; None where a part's is not known."""
    return _sum(costs, "uss_mb")


def _sum(costs: Costs, name: str) -> float | None:
    parts = [part for key, part in costs.items() if key not in OWN]
    known = [part[name] for part in parts if part is not None and part[name] is not None]
    if not parts or len(known) < len(parts):
        return None
    return round(sum(value for value in known if value is not None), 3)


def per_events(amount: float | None, rate_per_s: float | None) -> float | None:
    """A cost at some rate, converted to 10,000 events a second; None where either is not known."""
    if amount is None or not rate_per_s:
        return None
    return round(amount / rate_per_s * PER_EVENTS, 2)
