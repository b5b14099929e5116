"""The figures of a step that has just ended, for the course that decides the next step."""

from __future__ import annotations

import math
from collections.abc import Sequence

from cdc_users.measure.capacity.probe import BacklogSeries
from cdc_users.observe.message import GaugeSample
from cdc_users.pipeline.telemetry import StepSnapshot
from cdc_users.scenario import StepShown
from cdc_users.step.harness_facts import generator_reasons
from cdc_users.step.result import step_result
from cdc_users.step.stages import stage_figures
from cdc_users.step.state import Facts, StepState
from cdc_users.step.timeline_row import TimelineRow

#: Connect confirms its position once a second (offset.flush.interval.ms), and a busy Connect later.
CONFIRMED_S = 5.0


def shown(
    state: StepState,
    facts: Facts,
    moments: Sequence[TimelineRow],
    gauges: Sequence[GaugeSample] = (),
) -> StepShown:
    """A step's figures before its audit.

    `moments` are the run's seconds, `gauges` the samples under the step's load.
    """
    own, crowded = generator_reasons(state, facts)
    mine = [moment for moment in moments if moment.step == state.step.name]
    result, waiting = step_result(state, facts), backlogs(state, mine, gauges)
    return StepShown(
        step=state.step,
        result=result,
        drained=state.drained,
        took_s=max(0, state.ended_us - state.t0_us) / 1e6,
        looks=state.looks,
        recorder=facts.sink.get(state.number, StepSnapshot()).recorder,
        backlogs=waiting,
        stages=stage_figures(state, result, waiting, gauges),
        generator=own,
        crowded=crowded,
        cut=state.cut,
    )


def backlogs(
    state: StepState, moments: Sequence[TimelineRow], gauges: Sequence[GaugeSample]
) -> dict[str, BacklogSeries]:
    """The backlog at each place under load; a lag that should be known but is not counts as
    unknown.

    A load that was cut short ends with its last look: its lanes begin nothing of what comes due
    afterwards, which is no backlog of the source.
    """
    ended_s = state.looks[-1].elapsed_s if state.looks else math.inf
    loaded = [
        moment
        for moment in moments
        if moment.offered < state.step.schedule.count and moment.elapsed_s <= ended_s
    ]
    found = {}
    slot = [sample for sample in gauges if sample.slot is not None]
    if slot:
        found["slot"] = _slot(slot)
    size = state.step.rows_per_arrival
    rate_per_s = state.step.schedule.rate_per_s * size
    found["source"] = _events(
        [(moment.elapsed_s, moment.offered * size - moment.sent) for moment in loaded], rate_per_s
    )
    captured = [
        (moment.elapsed_s, moment.sent - moment.captured)
        for moment in loaded
        if moment.captured is not None
    ]
    if captured:
        found["capture"] = _events(captured, rate_per_s)
    for place, name in (("topic", "consumer_lag"), ("queue", "queue_depth")):
        known = [
            (moment.elapsed_s, value)
            for moment in loaded
            if (value := getattr(moment, name)) is not None
        ]
        if known:
            found[place] = _events(known, rate_per_s)
    if "topic" not in found and any(sample.group is not None for sample in gauges):
        found["topic"] = BacklogSeries((), (), rate_per_s, known=False)
    return found


def _events(waiting: Sequence[tuple[float, int]], rate_per_s: float) -> BacklogSeries:
    return BacklogSeries(
        [at_s for at_s, _ in waiting], [float(count) for _, count in waiting], rate_per_s
    )


def _slot(samples: Sequence[GaugeSample]) -> BacklogSeries:
    """The WAL that the slot holds back, compared with the WAL that is written."""
    known = [
        (sample.at_us / 1e6, sample.slot.lag_bytes, sample.slot.wal_bytes)
        for sample in samples
        if sample.slot is not None and sample.slot.lag_bytes is not None
    ]
    if len(known) < 2:
        return BacklogSeries((), (), 0.0, known=False)
    (first_s, _, first), (last_s, _, last) = known[0], known[-1]
    written = (last or 0) - (first or 0)
    per_s = written / (last_s - first_s) if last_s > first_s else 0.0
    lags = [float(lag) for _, lag, _ in known]
    return BacklogSeries([at_s for at_s, _, _ in known], lags, per_s, gulp_s=CONFIRMED_S)
