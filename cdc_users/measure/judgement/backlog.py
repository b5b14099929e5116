"""A backlog over time: how many events were due and had arrived at each look, and the
trend. Pure.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: The first looks of a step show how it started, so trends leave out this share of them.
SETTLING_SHARE = 0.2


@dataclass(frozen=True, slots=True)
class ProgressSample:
    """A step at one moment under load, seconds after the run's start: events sent, and events
    delivered at the sink.

    `due` counts the events that were due by then. Writers report twice a second, so `sent` is a
    little old; it stands in for `due` where that is not known.
    """

    elapsed_s: float
    sent: int
    delivered: int
    due: int | None = None

    @property
    def backlog(self) -> int:
        """Events that were sent and have not arrived."""
        return self.sent - self.delivered

    @property
    def expected(self) -> int:
        """Events that would have arrived by now if nothing took any time."""
        return self.sent if self.due is None else self.due


def backlog_ages_s(looks: Sequence[ProgressSample]) -> NDArray[np.float64]:
    """At each look, how long ago the newest delivered event was due: the distance in time between
    input and output. It is 0 where every due event has arrived, however long ago that was.
    """
    if len(looks) < 2:
        return np.zeros(len(looks))
    at_s = np.array([look.elapsed_s for look in looks])
    due = np.array([look.expected for look in looks], dtype=float)
    out = np.minimum([look.delivered for look in looks], due)
    # While a load pauses, several looks have one count; the first of them is when it was reached.
    distinct, first = np.unique(np.maximum.accumulate(due), return_index=True)
    ages_s = at_s - np.interp(out, distinct, at_s[first])
    return np.asarray(np.where(out < due, ages_s, 0.0), dtype=np.float64)


def expected_per_s(looks: Sequence[ProgressSample]) -> float:
    """Events that were due a second, from the first look to the last; 0 where they span no time."""
    if len(looks) < 2 or looks[-1].elapsed_s <= looks[0].elapsed_s:
        return 0.0
    first, last = looks[0], looks[-1]
    return (last.expected - first.expected) / (last.elapsed_s - first.elapsed_s)


def catch_up_time_s(
    outage_s: float, rate_per_s: float, capacity_per_s: float | None
) -> float | None:
    """How long a pipeline takes to catch up after an outage while the load goes on: the backlog by
    the capacity beyond the load. None where it never catches up, or its capacity is not known.
    """
    if capacity_per_s is None or capacity_per_s <= rate_per_s:
        return None
    return outage_s * rate_per_s / (capacity_per_s - rate_per_s)


def settled_from(count: int) -> int:
    """The number of the first look at which a step has finished starting up."""
    return math.ceil(SETTLING_SHARE * count)


def pair_slopes(at_s: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The slopes between all pairs of points that are some time apart. Their median (Theil and Sen)
    is a trend that single stalls and bursts do not move; the mean of their signs (Kendall's tau)
    says how far the pairs agree.
    """
    earlier, later = np.triu_indices(len(at_s), k=1)
    spans_s = at_s[later] - at_s[earlier]
    apart = spans_s > 0
    return np.asarray((values[later] - values[earlier])[apart] / spans_s[apart], dtype=np.float64)
