"""Percentiles of the latest events, over the shortest time that has enough of them.

One second of 500 events has too few for a p99, so a line of seconds would stay empty. All
percentiles of one moment come from the same events, so a p99 is never below the p50 beside it.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from cdc_users.measure.latency.histogram import BEYOND, LatencyHistogram

#: The number of samples that a p99 needs.
ENOUGH = BEYOND * 100
LONGEST_S = 60.0


@dataclass(frozen=True, slots=True)
class RecentLatency:
    """The latencies of the last `window_s` seconds."""

    histogram: LatencyHistogram
    window_s: float


@dataclass(slots=True)
class LatencyWindow:
    """Earlier states of one growing histogram that was empty at `began_s`, up to a minute old."""

    began_s: float = 0.0
    _states: deque[tuple[float, LatencyHistogram]] = field(default_factory=deque)

    def __post_init__(self) -> None:
        self._states.append((self.began_s, LatencyHistogram()))

    def since(
        self, now: LatencyHistogram, at_s: float, least_s: float = 0.0, enough: int = ENOUGH
    ) -> RecentLatency:
        """The latest samples: of the shortest time (`least_s` or longer) that has `enough` of them,
        or else of all the time that is kept.

        Where the histogram has begun again, because its process was restarted, the time begins at
        the last look.
        """
        last_s, last = self._states[-1]
        if not now.continues(last):
            self._states.clear()
            self._states.append((last_s, LatencyHistogram()))
        base_s, base = self._states[0]
        for then_s, earlier in reversed(self._states):
            if now.count - earlier.count >= enough and at_s - then_s >= least_s:
                base_s, base = then_s, earlier
                break
        return RecentLatency(now.minus(base), round(at_s - base_s, 3))

    def keep(self, now: LatencyHistogram, at_s: float) -> None:
        """Remember this state; states that are too old for any answer are dropped."""
        self._states.append((at_s, now))
        while len(self._states) > 1 and at_s - self._states[1][0] >= LONGEST_S:
            self._states.popleft()
