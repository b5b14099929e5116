"""What a fault did to a pipeline: when it was detected, when events arrived again, and when the
pipeline was back at its baseline. Pure: computed from looks at how many events were due and how
many had arrived.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cdc_users.measure.judgement.backlog import (
    ProgressSample,
    backlog_ages_s,
    catch_up_time_s,
    expected_per_s,
)

#: At the baseline the backlog's age exceeds the oldest of the steady part by no more than this.
AGE_FACTOR, AGE_MORE_S = 1.5, 0.25
#: A pipeline must stay at the baseline for so long to count as recovered, and for so much longer
#: than its backlog may be old: until then one from which nothing comes any more looks the same.
STAYS_S = 2.0
LONGER_S = 0.5
#: A second is at the baseline if its p99 exceeds that of the steady part by no more than this.
P99_FACTOR, P99_MORE_MS = 2.0, 100.0
#: The span over which a rate is measured.
RATE_S = 1.0
#: If capacity exceeds the rate by a smaller share than this, a time to catch up has no meaning.
LEAST_SURPLUS = 0.02


@dataclass(frozen=True, slots=True)
class FaultMoments:
    """When a fault was injected and healed, in seconds after its step's start; the baseline is
    measured from `steady_from_s` on.
    """

    steady_from_s: float
    injected_s: float
    healed_s: float


@dataclass(frozen=True, slots=True)
class LatencySpan:
    """The p99 of the events that arrived in a time of `span_s`, which ends `at_s` after the step's
    start. Slow loads need long spans: a p99 takes a thousand events.
    """

    at_s: float
    p99_ms: float | None
    span_s: float = 1.0


@dataclass(frozen=True, slots=True)
class Recovery:
    """Seconds: `detected_s` after the injection, the others after the healing; None where the
    pipeline did not get that far.

    `caught_up_s` is the time until the backlog was worked off; `recovered_s` is that until backlog
    and latency were at the baseline.
    `best_s` is the shortest time in which a pipeline of the observed capacity can work off the
    backlog: `outage x rate / (capacity - rate)`.
    """

    detected_s: float | None
    first_delivery_s: float | None
    caught_up_s: float | None
    recovered_s: float | None
    outage_s: float
    baseline_age_s: float
    most_backlog: int
    rate_per_s: float
    capacity_per_s: float | None
    best_s: float | None

    @property
    def ratio(self) -> float | None:
        """The time to recover as a multiple of the best possible."""
        if not self.best_s or self.recovered_s is None:
            return None
        return self.recovered_s / self.best_s


def recovery(
    looks: Sequence[ProgressSample],
    moments: FaultMoments,
    spans: Sequence[LatencySpan] = (),
) -> Recovery:
    """Judge a fault by looks at its step; their times are seconds after the step's start."""
    at_s = np.array([look.elapsed_s for look in looks])
    ages_s = backlog_ages_s(looks)
    delivered = np.array([look.delivered for look in looks])
    steady = (at_s >= moments.steady_from_s) & (at_s <= moments.injected_s)
    baseline_s = float(ages_s[steady].max()) if steady.any() else 0.0
    limit_s = baseline_s * AGE_FACTOR + AGE_MORE_S
    late = at_s[(at_s > moments.injected_s) & (ages_s > limit_s)]
    after = at_s >= moments.healed_s
    rate = expected_per_s(looks)
    capacity = _capacity_per_s(at_s[after], delivered[after])
    outage_s = moments.healed_s - moments.injected_s
    near = (ages_s <= limit_s)[after]
    stays_s = max(STAYS_S, limit_s + LONGER_S)
    return Recovery(
        detected_s=round(float(late[0]) - moments.injected_s, 3) if len(late) else None,
        first_delivery_s=_first_delivery_s(at_s[after], delivered[after], moments.healed_s),
        caught_up_s=_caught_up_s(at_s[after], near, moments, stays_s),
        recovered_s=_recovered_s(
            at_s[after], near & _calm(at_s[after], moments, spans), moments, stays_s
        ),
        outage_s=round(outage_s, 3),
        baseline_age_s=round(baseline_s, 3),
        most_backlog=max((_behind(look) for look in looks), default=0),
        rate_per_s=round(rate, 1),
        capacity_per_s=None if capacity is None else round(capacity, 1),
        best_s=best_possible_s(outage_s, rate, capacity),
    )


def steady_p99s_ms(moments: FaultMoments, spans: Sequence[LatencySpan]) -> list[float]:
    """The p99 of each span that ends in the steady part; spans without one are left out."""
    return [
        span.p99_ms
        for span in spans
        if span.p99_ms is not None and moments.steady_from_s <= span.at_s <= moments.injected_s
    ]


def best_possible_s(outage_s: float, rate: float, capacity: float | None) -> float | None:
    """The least time to work off an outage's backlog while the load goes on."""
    if capacity is None or capacity - rate <= LEAST_SURPLUS * rate:
        return None
    least_s = catch_up_time_s(outage_s, rate, capacity)
    return None if least_s is None else round(least_s, 3)


def _behind(look: ProgressSample) -> int:
    return max(0, look.expected - look.delivered)


def _capacity_per_s(at_s: np.ndarray, delivered: np.ndarray) -> float | None:
    """The highest rate of any second: the pipeline's capacity, seen while a backlog is
    worked off.
    """
    best: float | None = None
    for number, began_s in enumerate(at_s):
        ends = np.flatnonzero(at_s >= began_s + RATE_S)
        if not len(ends):
            break
        span_s = at_s[ends[0]] - began_s
        rate = float(delivered[ends[0]] - delivered[number]) / float(span_s)
        best = rate if best is None else max(best, rate)
    return best


def _first_delivery_s(at_s: np.ndarray, delivered: np.ndarray, healed_s: float) -> float | None:
    if not len(at_s):
        return None
    more = np.flatnonzero(delivered > delivered[0])
    return round(float(at_s[more[0]]) - healed_s, 3) if len(more) else None


def _calm(at_s: np.ndarray, moments: FaultMoments, spans: Sequence[LatencySpan]) -> np.ndarray:
    """Whether each look lies in a span whose p99 is at the baseline; true where that is not known.

    Spans overlap where they are long. A slow event makes slow every span that it is in, so a look
    is slow only if all spans around it are.
    """
    steady = steady_p99s_ms(moments, spans)
    known = [span for span in spans if span.p99_ms is not None]
    if not steady or not known:
        return np.ones(len(at_s), dtype=np.bool_)
    limit_ms = max(steady) * P99_FACTOR + P99_MORE_MS
    ends_s = np.array([span.at_s for span in known])
    begins_s = ends_s - np.array([span.span_s for span in known])
    calm = np.array([(span.p99_ms or 0.0) <= limit_ms for span in known])
    # A span ends after its looks; the newest looks lie in no finished span and count as calm.
    nearest = np.append(calm, True)[np.searchsorted(ends_s, at_s)]
    around = (begins_s < at_s[:, np.newaxis]) & (at_s[:, np.newaxis] <= ends_s)
    at_baseline: np.ndarray = nearest | (around & calm).any(axis=1)
    return at_baseline


def _caught_up_s(
    at_s: np.ndarray, near: np.ndarray, moments: FaultMoments, stays_s: float
) -> float | None:
    """Since when the backlog was at the baseline (`near`) for `stays_s` for the first time."""
    far = [int(number) for number in np.flatnonzero(~near)]
    for first, end in zip([0, *(number + 1 for number in far)], [*far, len(near)], strict=True):
        if first < end and at_s[end - 1] - at_s[first] >= stays_s:
            return round(max(0.0, float(at_s[first]) - moments.healed_s), 3)
    return None


def _recovered_s(
    at_s: np.ndarray, good: np.ndarray, moments: FaultMoments, stays_s: float
) -> float | None:
    """Since when all looks are at the baseline (`good`); None unless that is `stays_s` ago."""
    if not len(good) or not good[-1]:
        return None
    bad = np.flatnonzero(~good)
    first = 0 if not len(bad) else int(bad[-1]) + 1
    if at_s[-1] - at_s[first] < stays_s:
        return None
    return round(max(0.0, float(at_s[first]) - moments.healed_s), 3)
