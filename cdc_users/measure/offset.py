"""The difference between two clocks, and its uncertainty, from round trips between them. Pure.

F. Cristian, "Probabilistic Clock Synchronization" (1989): the other clock's time belongs to a
moment between the question and the answer. Many round trips narrow the difference down to what all
of them allow.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

#: The number of round trips; the quickest ones narrow the difference down most.
ROUND_TRIPS = 20


@dataclass(frozen=True, slots=True)
class RoundTrip:
    """The question's and the answer's time by this clock, and the other clock's time in the answer;
    microseconds.
    """

    asked_us: int
    other_us: int
    answered_us: int


@dataclass(frozen=True, slots=True)
class ClockOffset:
    """How far the other clock is ahead of this one, plus or minus `bound_us`."""

    offset_us: int
    bound_us: int

    @property
    def same(self) -> bool:
        """Whether the difference allows that both are one clock."""
        return abs(self.offset_us) <= self.bound_us


ONE_CLOCK = ClockOffset(0, 0)


def offset_of(round_trips: Sequence[RoundTrip]) -> ClockOffset | None:
    """The offset that all round trips allow; None for no round trip.

    If round trips contradict each other, one of the clocks was set or drifted; then the bound
    covers all of them.
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
    """Measure an offset by some round trips now; `other_us` asks the other clock."""
    found = offset_of([RoundTrip(own_us(), other_us(), own_us()) for _ in range(ROUND_TRIPS)])
    return ONE_CLOCK if found is None else found
