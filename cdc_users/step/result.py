"""Turns what a run has gathered into its result: each step's figures and ledger, and how steps
compare. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from msgspec.structs import replace

from cdc_users.measure.judgement.pressure import figures
from cdc_users.measure.judgement.result import ArrivalTally, Result, StepResult, TapFigures
from cdc_users.measure.judgement.scaling import RateReading, points, summary
from cdc_users.measure.judgement.spread import spread_notes
from cdc_users.measure.latency import series
from cdc_users.measure.latency.correction import corrected
from cdc_users.measure.latency.histogram import Censored
from cdc_users.measure.latency.lateness import lateness_ms
from cdc_users.measure.latency.recorder import Recorder
from cdc_users.measure.ledger.ledger import CLASSES, Audit
from cdc_users.measure.offset import ONE_CLOCK, ClockOffset
from cdc_users.observe.message import Final
from cdc_users.options.parse import WAITING
from cdc_users.pipeline.telemetry import StepSnapshot
from cdc_users.scenario import Scenario, Step
from cdc_users.step.fault import figures as fault_figures
from cdc_users.step.harness_facts import clock_bound_ms
from cdc_users.step.note import notes
from cdc_users.step.state import Facts, StepState
from cdc_users.step.verdict import judge

HARNESS_SERIES, SINK_SERIES = series.of_side("generator"), series.of_side("sink")
EVENT_SERIES = series.names(one for one in series.SERIES if one.of_events)
FROM_INTENDED = series.names(one for one in series.SERIES if one.from_intended)
OPTIONAL_SERIES = series.names(one for one in series.SERIES if one.optional)
#: In a drain the time before the sink is a wait and no latency.
DRAIN_SERIES = series.names(one for one in series.SERIES if one.in_drain)
#: The ledger's class for each kind of difference in the final state.
FINAL_CLASSES = {
    "lost": "missing",
    "duplicated": "repeated",
    "stale": "stale",
    "undeleted": "undeleted",
    "resurrected": "resurrected",
    "corrupt": "corrupt",
    "phantom": "extra",
}
#: Shorter drains are compared with a note: their start is most of them.
COMPARABLE_S = 1.0
TALLY = ("offered", "started", "completed", "failed", "dropped", "late")


@dataclass(frozen=True, slots=True)
class RunRequest:
    """The request: a scenario, the run's id, the command line, and the options."""

    scenario: Scenario
    run: str
    command: str = ""
    options: Mapping[str, object] = field(default_factory=dict)


def conclude(request: RunRequest, states: Sequence[StepState], facts: Facts) -> Result:
    """The run's result."""
    scaling = request.scenario.scaling
    ran = [state for state in states if state.workers and state.step.mode != "null"]
    steps = [step_result(state, facts) for state in ran]
    verdict, reasons = judge(ran, steps, facts)
    return Result(
        scenario=request.scenario.name,
        run=request.run,
        verdict=verdict,
        reasons=reasons,
        steps=steps,
        harness=harness(ran),
        notes=[
            *notes(ran, facts),
            *(hasty(steps) if scaling else ()),
            *spread_notes(steps),
        ],
        command=request.command,
        options=request.options,
        scaling=summary(points(readings(steps))) if scaling else None,
        capacity=facts.course.summary,
        capacities=facts.course.comparison,
    )


def hasty(steps: Sequence[StepResult]) -> list[str]:
    """A note on drains that ended before they had started up: their rates compare starts."""
    names = [step.name for step in steps if step.drain_rate_per_s is not None and _is_hasty(step)]
    if not names:
        return []
    return [
        f"{', '.join(names)} took less than {COMPARABLE_S:g} s; give more --records before"
        " comparing their rates"
    ]


def _is_hasty(step: StepResult) -> bool:
    return step.duration_s < COMPARABLE_S


def readings(steps: Sequence[StepResult]) -> list[RateReading]:
    """The readings of a scaling run: each drain's rate, by its pipeline."""
    return [
        RateReading(
            # The slow sink is the one that waits.
            WAITING if step.pipeline["sink"] == "slow" else step.pipeline["sink"],
            step.pipeline["partitions"],
            step.pipeline["instances"],
            step.drain_rate_per_s,
            step.pressure["partition_events"],
            _is_hasty(step),
        )
        for step in steps
        if step.drain_rate_per_s is not None
    ]


def step_result(state: StepState, facts: Facts) -> StepResult:
    """One step's figures; none are published in smoke size."""
    sink = facts.sink.get(state.number, StepSnapshot())
    audits = facts.audits.get(state.number, {})
    drain = state.step.mode == "drain"
    duration_s = _lasted_us(state, sink) / 1e6
    figures = not facts.smoke and duration_s > 0
    rate = round(sink.delivered / duration_s, 1) if figures else None
    return StepResult(
        name=state.step.name,
        mode=state.step.mode,
        messages=None if state.number in facts.blind else sink.delivered,
        duration_s=round(duration_s, 3),
        throughput_per_s=None if drain else rate,
        drain_rate_per_s=rate if drain else None,
        bytes_per_s=round(sink.bytes / duration_s, 1) if figures else None,
        arrivals=ArrivalTally(**{name: state.total(name) for name in TALLY}),
        latency_ms={} if facts.smoke else latencies(state, sink, facts.source_clock),
        ledger=ledger(audits, _final_of(state.number, facts), facts.fenced),
        warm_up=state.step.warm_up,
        probe=state.step.probe,
        pipeline=as_json(state.step.pipeline),
        pressure=pressure(state, facts),
        fault=_fault(state, facts),
        cost=facts.costs.get(state.number, {}),
        taps=tap_figures(state, facts),
    )


def _lasted_us(state: StepState, sink: StepSnapshot) -> int:
    """From a step's begin until its last event was at the sink.

    A plan that was carried out counts with its planned duration, which is one interval longer than
    from the first arrival to the last: ten arrivals a second must not become eleven in the first
    second.
    """
    step = state.step
    lasted_us = max(0, sink.last_us - (state.drain_us if step.mode == "drain" else state.t0_us))
    if step.mode == "paced" and lasted_us and state.begun >= step.schedule.count:
        return max(lasted_us, round(step.schedule.duration_s * 1e6))
    return lasted_us


def _final_of(number: int, facts: Facts) -> Final | None:
    """The final state as it counts in one step. Steps of one rig share it; a row that the audit of
    one step misses does not count in the others.
    """
    lost = {
        other: max((audit.lost for audit in audits.values()), default=0)
        for other, audits in facts.audits.items()
    }
    return _own_part(number, facts.finals, lost)


def _own_part(number: int, finals: Mapping[int, Final], lost: Mapping[int, int]) -> Final | None:
    final = finals.get(number)
    if final is None:
        return None
    shared = [other for other, found in finals.items() if found is final]
    others = sum(lost.get(other, 0) for other in shared if other != number)
    return replace(final, missing=max(0, final.missing - others))


def _fault(state: StepState, facts: Facts) -> Mapping[str, object]:
    """The figures of the step's fault; empty if it has none."""
    planned = state.step.fault
    if planned is None:
        return {}
    return fault_figures(planned, state.fault, facts.samples.get(state.number, ()))


def pressure(state: StepState, facts: Facts) -> dict[str, object]:
    """The platform's inner figures during a step; those that need samples are empty if there are
    none.

    After an overload, *drain rate* and *time to drain* are those of the remaining backlog.
    """
    samples = facts.samples.get(state.number, ())
    loaded_s, sink = (
        (state.loaded_us - state.t0_us) / 1e6,
        facts.sink.get(state.number, StepSnapshot()),
    )
    high_water = facts.high_water.get(state.number)
    limit = state.step.pipeline.max_buffered_messages
    found: dict[str, object] = {
        "queue_high_water": high_water,
        "queue_high_water_share": None if high_water is None else round(high_water / limit, 4),
        "partition_events": list(facts.partition_events.get(state.number, ())),
    }
    if (use := facts.processors.get(state.number)) is not None:
        found |= {f"{name}_waited_share": share for name, share in use.waited.items()}
        found["others_share"] = use.others
    if samples:
        found |= figures(samples, _hold(state.step, loaded_s))
    if not state.step.steady and state.drained:
        time_to_drain_s = max(0.0, (sink.last_us - state.loaded_us) / 1e6)
        left = state.backlog_at_end
        found |= {
            "backlog_at_end": left,
            "time_to_drain_s": round(time_to_drain_s, 3),
            "drain_rate_per_s": round(left / time_to_drain_s, 1) if time_to_drain_s else None,
        }
    return found


def _hold(step: Step, loaded_s: float) -> tuple[float, float] | None:
    """The window of the step's last stage, in seconds from its start; None if it has no stages."""
    return (step.marks[-1].offset_s, loaded_s) if step.marks else None


def as_json(value: Any) -> dict[str, object]:
    """A dataclass's fields by name."""
    return {item.name: getattr(value, item.name) for item in fields(value)}


def latencies(
    state: StepState, sink: StepSnapshot, source_clock: ClockOffset = ONE_CLOCK
) -> dict[str, Mapping[str, float | int | None]]:
    """Every series' summary, by its name in result.json.

    Dropped arrivals count in every series that begins at the intended time.
    """
    step, harness_side, clock_ms = state.step, state.recorder(), clock_bound_ms(state)
    stages = DRAIN_SERIES if step.mode == "drain" else SINK_SERIES
    names = dict.fromkeys(stages, sink.recorder) | dict.fromkeys(HARNESS_SERIES, harness_side)
    dropped = harness_side.histogram("dropped")
    found: dict[str, Mapping[str, float | int | None]] = {}
    for name, recorder in names.items():
        histogram = recorder.histogram(name)
        if name in OPTIONAL_SERIES and not histogram.count:
            continue
        events = step.rows_per_arrival if name in EVENT_SERIES else 1
        # A part of the way that nobody records has nothing that a dropped arrival could change.
        reached = name in FROM_INTENDED and (histogram.count > 0 or name not in series.PARTS)
        # What is recorded of a commit still ends by the source's clock.
        apart_us = source_clock.offset_us if name == "commit" and not source_clock.same else 0
        censored = Censored(dropped.count * events * reached, dropped.min_us + apart_us)
        found[name] = histogram.summary_ms(censored)
    for name, ahead_us in (("commit", 1), ("capture", -1)):
        if name in found and not source_clock.same:
            histogram = sink.recorder.histogram(name)
            found[name] = corrected(found[name], histogram, source_clock, ahead_us)
    if "end_to_end" in found:
        paced = harness_side if step.mode == "paced" else None
        late = lateness_ms(sink.recorder, paced)
        clock = {"clock": clock_ms} if clock_ms and clock_ms > 0 else {}
        found["end_to_end"] = {**found["end_to_end"], **late, **clock}
    return found


def ledger(audits: Mapping[str, Audit], final: Final | None, fenced: bool) -> dict[str, int | str]:
    """A step's audit for result.json: delivered at the last tap, and in each class the worst of all
    taps.

    The final state counts too: a row that the sink misses is lost; a further row of a key
    duplicated; an older row stale; a different row corrupt; a row whose key was deleted undeleted
    or resurrected; and a row that nobody wrote a phantom. Empty if there was no audit; audit.json
    has each tap's own.
    """
    if not audits:
        return {}
    last = list(audits.values())[-1]
    worst = {name: max(int(getattr(audit, name)) for audit in audits.values()) for name in CLASSES}
    for name, finding in FINAL_CLASSES.items():
        worst[name] = max(worst[name], getattr(final, finding, 0))
    fences = "complete" if fenced else "incomplete"
    # Under load a tap checks the columns of some rows; `checked` says of how many.
    looked = max(audits.values(), key=lambda audit: (audit.corrupt, audit.checked))
    return {
        "sent": last.sent,
        "delivered": last.delivered,
        **worst,
        "checked": looked.checked,
        "uncheckable": looked.uncheckable,
        "fences": fences,
    }


#: A tap that sees states alone has no audit of its events.
NOT_AUDITED = Audit(0, 0, 0, 0, 0, 0, 0, 0)


def tap_figures(state: StepState, facts: Facts) -> dict[str, TapFigures]:
    """Each tap where events come out, if there are several; empty for one."""
    audits, seen = facts.audits.get(state.number, {}), facts.taps.get(state.number, {})
    found: dict[str, TapFigures] = {}
    for name, sink in seen.items():
        audit = audits.get(name)
        kept = {other: finals[name] for other, finals in facts.tap_finals.items() if name in finals}
        lost = {other: found[name].lost for other, found in facts.audits.items() if name in found}
        final = _own_part(state.number, kept, lost)
        own = ledger({name: audit or NOT_AUDITED}, final, facts.fenced)
        series = {} if sink is None else latencies(state, sink, facts.source_clock)
        found[name] = {
            "messages": None if audit is None else audit.delivered,
            "latency_ms": {} if facts.smoke else series.get("end_to_end", {}),
            "ledger": {kind: int(own[kind]) for kind in CLASSES},
            "lost_at": {} if audit is None else audit.lost_at,
        }
    return found


def harness(states: Sequence[StepState]) -> dict[str, float | None]:
    """The cost and the punctuality of the generator itself."""
    merged = Recorder()
    for state in states:
        merged.merge(state.recorder())
    cpu_s = sum(report.cpu_s for state in states for report in state.reports.values())
    loaded_s = sum(state.loaded_us - state.t0_us for state in states) / 1e6
    rows = sum(state.total("rows") for state in states)
    return {
        "send_delay_p99_ms": merged.histogram("send_delay").summary_ms()["p99"],
        "loop_lag_p99_ms": merged.histogram("loop_lag").summary_ms()["p99"],
        "cpu_cores": round(cpu_s / loaded_s, 2) if loaded_s > 0 else None,
        "overhead_us_per_event": round(cpu_s / rows * 1e6, 1) if rows else None,
    }
