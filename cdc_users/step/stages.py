"""How busy each stage of the pipeline was during a step, and where its events waited."""

from __future__ import annotations

import os
from collections.abc import Sequence
from statistics import median

from cdc_users.measure.capacity.bottleneck import StageFigures
from cdc_users.measure.capacity.probe import BacklogSeries, trend_share
from cdc_users.measure.judgement.cost import Costs
from cdc_users.measure.judgement.result import StepResult
from cdc_users.measure.latency.series import PARTS
from cdc_users.observe.message import GaugeSample
from cdc_users.pipeline.declaration import is_direct
from cdc_users.step.state import StepState


def stage_figures(
    state: StepState,
    result: StepResult,
    backlogs: dict[str, BacklogSeries],
    gauges: Sequence[GaugeSample],
) -> StageFigures:
    """The figures by which the limiting stage is found."""
    answers = [sample.group.took_ms for sample in gauges if sample.group is not None]
    known = [took_ms for took_ms in answers if took_ms is not None]
    in_use = _cores(result.cost, "machine")
    return StageFigures(
        rate_per_s=state.step.schedule.rate_per_s * state.step.rows_per_arrival,
        growth={
            place: round(trend_share(series), 4)
            for place, series in backlogs.items()
            if series.known
        },
        busy=_busy(state, result, gauges),
        waits_ms={
            part: mean
            for part in PARTS
            if (mean := result.latency_ms.get(part, {}).get("mean")) is not None
        },
        broker_answer_ms=median(known) if known else None,
        machine=None if in_use is None else round(in_use / (os.cpu_count() or 1), 3),
    )


def _busy(state: StepState, result: StepResult, gauges: Sequence[GaugeSample]) -> dict[str, float]:
    """The share of its time in which each stage was busy, as far as known.

    A walsender and a Python process have one thread, so a core is their maximum. Kafka Connect's
    connector reads and converts in one thread, and sends in another. What PostgreSQL itself says of
    the walsender goes before its processor time: it may also be slow without any.
    """
    costs, direct = result.cost, is_direct(state.step.pipeline)
    sending = _sender_busy(gauges)
    platforms = [
        cores
        for name in costs
        if name.startswith("platform") and (cores := _cores(costs, name)) is not None
    ]
    busiest = max(platforms, default=None)
    reader = busiest if direct else _cores(costs, "capture" if "capture" in costs else "connect")
    found = {
        "source": _lanes_busy(state),
        "walsender": _cores(costs, "postgres-walsender") if sending is None else sending,
        "capture": reader,
        "consumer": None if direct else busiest,
        "sink": result.pressure.get("sink_busy_share"),
    }
    return {stage: min(1.0, share) for stage, share in found.items() if share is not None}


def _sender_busy(gauges: Sequence[GaugeSample]) -> float | None:
    """The share of the looks at the slot that found its walsender at work; None if none could."""
    slots = [sample.slot for sample in gauges if sample.slot is not None]
    known = [slot.sender_busy for slot in slots if slot.sender_busy is not None]
    return round(sum(known) / len(known), 3) if known else None


def _lanes_busy(state: StepState) -> float | None:
    """The share of the lanes' time in which they waited for the source."""
    loaded_s = (state.loaded_us - state.t0_us) / 1e6
    service = state.recorder().histogram("service")
    if loaded_s <= 0 or not service.count:
        return None
    return round(service.sum_us / 1e6 / (loaded_s * state.step.lanes), 3)


def _cores(costs: Costs, name: str) -> float | None:
    part = costs.get(name)
    return None if part is None else part["cpu_cores"]
