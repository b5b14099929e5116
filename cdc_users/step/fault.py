"""The fault of a step: what was gathered about it, and its figures. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cdc_users.measure.judgement.backlog import ProgressSample
from cdc_users.measure.judgement.pressure import PressureSample
from cdc_users.measure.judgement.recovery import (
    FaultMoments,
    LatencySpan,
    recovery,
    steady_p99s_ms,
)
from cdc_users.measure.judgement.threshold import Threshold, parse_threshold
from cdc_users.measure.schedule.fault_plan import PlannedFault
from cdc_users.observe.message import GaugeSample
from infra.faults.fault import Fault, faults


@dataclass(slots=True)
class FaultState:
    """A fault that was done: its times (wall us), and the delivered events at each look."""

    injected_us: int = 0
    healing_us: int = 0
    healed_us: int = 0
    #: Why a server did not take it; empty if it was done.
    refused: str = ""
    moments: FaultMoments | None = None
    looks: Sequence[ProgressSample] = ()
    spans: Sequence[LatencySpan] = ()
    #: The gauges from the injection to the end of the step.
    gauges: Sequence[GaugeSample] = ()


#: The fields of a fault in result.json and faults.csv, in order.
FIGURES = (
    "name",
    "round",
    "planned_s",
    "injected_s",
    "healed_s",
    "outage_s",
    "detected_s",
    "own_state_s",
    "first_delivery_s",
    "caught_up_s",
    "recovered_s",
    "best_s",
    "ratio",
    "rate_per_s",
    "capacity_per_s",
    "baseline_p99_ms",
    "p99_ms",
    "most_backlog",
    "most_queued",
    "most_consumer_lag",
    "most_wal_retained_bytes",
)


def fault_of(planned: PlannedFault) -> Fault:
    """The declaration of the fault, by its name."""
    return faults().by_name[planned.name]


def allowances(planned: PlannedFault, rate_per_s: float) -> tuple[Threshold, ...]:
    """The thresholds of a step under this fault: those that the fault declares, and how many events
    may be delivered twice.
    """
    fault = fault_of(planned)
    again = math.ceil(min(fault.repeats_s, planned.duration_s) * rate_per_s)
    texts = (f"duplicated <= {again}", *fault.allows)
    return tuple(parse_threshold(text) for text in texts)


def figures(
    planned: PlannedFault,
    done: FaultState | None,
    samples: Sequence[PressureSample],
) -> Mapping[str, object]:
    """The figures of a step's fault; for a fault that was not done, only its plan.

    `samples` are the step's. Times are in seconds after the step's start (planned, injected,
    healed), after the injection (detected, own state), or after the healing (all others).
    """
    plan = {"name": planned.name, "round": planned.round, "planned_s": planned.inject_at_s}
    if done is None or done.moments is None:
        return dict.fromkeys(FIGURES) | plan
    moments = done.moments
    found = recovery(done.looks, moments, done.spans)
    during = [
        span.p99_ms
        for span in done.spans
        if span.p99_ms is not None and span.at_s > moments.injected_s
    ]
    since = [sample for sample in samples if sample.elapsed_s >= moments.injected_s]
    known: Mapping[str, object] = {
        **plan,
        "injected_s": round(moments.injected_s, 3),
        "healed_s": round(moments.healed_s, 3),
        "outage_s": found.outage_s,
        "detected_s": found.detected_s,
        "own_state_s": _own_state_s(done),
        "first_delivery_s": found.first_delivery_s,
        "caught_up_s": found.caught_up_s,
        "recovered_s": found.recovered_s,
        "best_s": found.best_s,
        "ratio": None if found.ratio is None else round(found.ratio, 2),
        "rate_per_s": found.rate_per_s,
        "capacity_per_s": found.capacity_per_s,
        "baseline_p99_ms": max(steady_p99s_ms(moments, done.spans), default=None),
        "p99_ms": max(during, default=None),
        "most_backlog": found.most_backlog,
        "most_queued": _most([sample.queue_depth + sample.in_flight for sample in since]),
        "most_consumer_lag": _most([gauge.group_lag for gauge in done.gauges]),
        "most_wal_retained_bytes": _most(
            [gauge.slot.retained_bytes for gauge in done.gauges if gauge.slot is not None]
        ),
    }
    return {name: known[name] for name in FIGURES}


def _own_state_s(done: FaultState) -> float | None:
    """The time until the servers' own state showed the problem: nobody read the slot, or slot or
    group could not be read.
    """
    for gauge in done.gauges:
        slot, group = gauge.slot, gauge.group
        wrong = slot is not None and (bool(slot.error) or slot.active is False)
        if gauge.at_us >= done.injected_us and (wrong or (group is not None and group.error)):
            return round((gauge.at_us - done.injected_us) / 1e6, 3)
    return None


def _most(values: Sequence[int | None]) -> int | None:
    return max((value for value in values if value is not None), default=None)
