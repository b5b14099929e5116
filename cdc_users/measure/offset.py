"""How far two clocks are apart, from round trips between them, and how sure that is. Pure.

F. Cristian, "Probabilistic Clock Synchronization" (1989): another clock's time lies between the
moments at which it was asked and answered. Many round trips narrow that down to what all of them
allow.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

#: How often another clock is asked what time it is; the quickest answers tell it best.
ROUND_TRIPS = 20


@dataclass(frozen=True, slots=True)
class RoundTrip:
    """Asked and answered by this clock, and what the other one said in between; microseconds."""

    asked_us: int
    other_us: int
    answered_us: int


@dataclass(frozen=True, slots=True)
class ClockOffset:
    """By how much the other clock is ahead of this one, give or take `bound_us`."""

    offset_us: int
    bound_us: int

    @property
    def same(self) -> bool:
        """Whether both may well be one clock."""
        return abs(self.offset_us) <= self.bound_us


ONE_CLOCK = ClockOffset(0, 0)


def offset_of(round_trips: Sequence[RoundTrip]) -> ClockOffset | None:
    """What all round trips allow; None where there were none.

    Where they contradict each other one of the clocks was set, or drifts, meanwhile: then they are
    told as far apart as the round trips say.
    """
    if not round_trips:
        return None
    lows = [trip.other_us - trip.answered_us for trip in round_trips]
    highs = [trip.other_us - trip.asked_us for trip in round_trips]
    low, high = max(lows), min(highs)
    if low > high:
        low, high = min(lows), max(highs)
    return ClockOffset((low + high) // 2, (high - low + 1) // 2)


def asked_offset(other_us: Callable[[], int], own_us: Callable[[], int]) -> ClockOffset:
    """What some round trips find that are made now: `other_us` asks the other clock."""
    found = offset_of([RoundTrip(own_us(), other_us(), own_us()) for _ in range(ROUND_TRIPS)])
    return ONE_CLOCK if found is None else found
