"""From what a run has gathered to its verdict: reasons for INVALID, thresholds that fail, and
notes. Pure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from cdc_users.measure.judgement import validity
from cdc_users.measure.judgement.result import StepResult, Verdict, step_json, verdict_of
from cdc_users.measure.judgement.run_facts import HarnessFacts, StepFacts
from cdc_users.measure.judgement.threshold import (
    DEFAULTS,
    Threshold,
    ThresholdFailure,
    failures,
)
from cdc_users.measure.judgement.validity import crowded_note
from cdc_users.measure.latency.lateness import lateness_ms
from cdc_users.measure.latency.series import DURABLE
from cdc_users.measure.ledger.probe import LANES_PER_STEP
from cdc_users.pipeline.telemetry import StepSnapshot
from cdc_users.scenario import Step
from cdc_users.step.fault import allowances, fault_of
from cdc_users.step.state import Facts, StepState

#: Pauses end within milliseconds of a queue's becoming empty, on a busy machine within a second or
#: two.
STALL_LIMIT_S = 5.0
#: Classes that others who write the run's rows put things into; the verdict names them instead.
OF_OTHERS = ("duplicated", "reordered", "corrupt", "stale")
#: What of a ledger says how much there was, which of a warm-up is a part of the plan only.
AMOUNTS = frozenset({"sent", "delivered", "checked"})
#: More than this part of the lanes busy, and a burst finds none free.
LANES_SHARE = 0.7
#: A system that lets nothing through for so long, while the rest is waited for, stands still.
STANDSTILL_S = 10.0
#: Two witnesses have seen the same events if their counts differ by no more than this part.
SAME_EVENTS = 0.01
#: So many causes of failed arrivals are named.
CAUSES_TOLD = 5


def judge(
    states: Sequence[StepState], steps: Sequence[StepResult], facts: Facts
) -> tuple[Verdict, list[str]]:
    """The verdict and why. What broke the run comes first, then INVALID, then FAIL."""
    if facts.broken:
        reason, code = facts.broken[0]
        return verdict_of(code), [reason]
    invalid = [
        *invalid_reasons(states, facts),
        *undecided_reasons(states, steps, facts),
        *facts.course.invalid,
    ]
    failed = [*fail_reasons(states, steps, facts), *facts.course.failed]
    if dead := [
        *stall_reasons(steps),
        *gone_reasons(states, facts),
        *unrecovered_reasons(states, facts),
    ]:
        return Verdict.FAIL, dead + failed
    if invalid:
        return Verdict.INVALID, invalid + failed
    return (Verdict.FAIL, failed) if failed else (Verdict.PASS, [])


def stall_reasons(steps: Sequence[StepResult]) -> list[str]:
    """A platform that has stopped taking in is at fault itself, and no matter of how it was
    measured.
    """
    return [
        f"{step.name}: partitions stayed paused for {step.pressure['stalled_s']:g} s with nothing"
        " held"
        for step in steps
        if step.pressure.get("stalled_s", 0) > STALL_LIMIT_S
    ]


def gone_reasons(states: Sequence[StepState], facts: Facts) -> list[str]:
    """A system of which a part is permanently gone, or out of which nothing comes any more, has
    failed, however it was measured.
    """
    found = [f"{what}; {since}" for what in facts.gone for since in [_last_sign(states, facts)]]
    if found or facts.fenced or facts.stop_reason:
        return found
    return [
        f"{state.step.name}: the system stands still: {_last_sign([state], facts)}, and in"
        f" {state.quiet_s:.0f} s not one more came, nor any fence"
        for state in states
        if not state.drained and state.quiet_s >= STANDSTILL_S and not facts.fences_seen
    ]


def unrecovered_reasons(states: Sequence[StepState], facts: Facts) -> list[str]:
    """A pipeline that has not delivered everything long after a fault was undone has failed: the
    fault explains why it took long, and not that it never ended.
    """
    return [
        f"{state.step.name}: the pipeline has not recovered from {state.step.fault.name}:"
        f" {_last_sign([state], facts)}; the fault was undone"
        f" {(state.ended_us - state.fault.healed_us) / 1e6:.0f} s before the wait ended"
        for state in states
        if state.step.fault is not None and state.fault is not None and not state.drained
        if not facts.stop_reason and state.ended_us and not _lost(facts, state.number)
    ]


def _last_sign(states: Sequence[StepState], facts: Facts) -> str:
    """When the last event came out, and how many are missing."""
    for state in reversed(states):
        sink = facts.sink.get(state.number)
        if sink is not None and sink.last_us:
            after_s = (sink.last_us - state.t0_us) / 1e6
            return (
                f"the last of {sink.delivered} events (of {state.sent} sent) came"
                f" {after_s:.1f} s after {state.step.name} began"
            )
    return "no event had come"


def invalid_reasons(states: Sequence[StepState], facts: Facts) -> list[str]:
    """Why the numbers may not be used, if they may not."""
    reasons = []
    if facts.profile == "test" and not facts.smoke:
        reasons.append(
            "the stack runs with the profile 'test', which is slower; `make stack-down` and run"
            " again"
        )
    return [*reasons, *validity.invalid_reasons(harness_facts(states, facts))]


def harness_facts(states: Sequence[StepState], facts: Facts) -> HarnessFacts:
    """What validity is judged by."""
    return HarnessFacts(
        steps=[_step_facts(state, facts) for state in states],
        stop_reason=facts.stop_reason,
        fenced=facts.fenced,
        workers_lost=facts.workers_lost,
        workers=facts.workers,
        clock_step_ms=facts.clock_step_ms,
        writers_twice=writers_twice(states),
        # What was deleted after everybody had read it is no loss.
        retention_lost=facts.retention_lost if _missing(facts) else 0,
        restarts=facts.restarts,
        disturbed=facts.disturbed,
        unreadable=facts.unreadable,
    )


def writers_twice(states: Sequence[StepState]) -> int:
    """How many writer numbers two processes have reported, or one process in a step that they do
    not belong to.
    """
    told = Counter(
        (writer, writer // LANES_PER_STEP == state.number)
        for state in states
        for report in state.reports.values()
        for writer in report.outcomes
    )
    return sum(times > 1 or not own for (_, own), times in told.items())


def generator_reasons(state: StepState, facts: Facts) -> tuple[list[str], list[str]]:
    """Why the generator itself did not offer a step's load, and that it had too few lanes for
    it.
    """
    step = _step_facts(state, facts)
    own = [
        *validity.loop_stalled(step),
        *validity.cpu_saturated(step),
        *validity.behind_plan(replace(step, lanes_short=False)),
    ]
    return own, [] if own else list(validity.behind_plan(step))


def _missing(facts: Facts, *steps: int) -> bool:
    chosen = [facts.audits.get(step, {}) for step in steps or facts.audits]
    return any(audit.lost or audit.unseen for audits in chosen for audit in audits.values())


def clock_bound_ms(state: StepState) -> float | None:
    """How far the clocks of the step's workers may be off the master's; None where all have one
    clock, -1 where one is not known.
    """
    bounds = [report.clock_bound_us for report in state.reports.values()]
    known = [bound_us for bound_us in bounds if bound_us is not None]
    if not known:
        return None
    return -1.0 if min(known) < 0 else round(max(known) / 1000, 3)


def _lanes_short(step: Step, usual_us: float | None) -> bool:
    """Whether the load needs about as many lanes as there are when the system takes its usual time
    (Little's law); else it was a stall of the system's that kept them all waiting.
    """
    if usual_us is None or not step.schedule.duration_s:
        return True
    rate_per_s = step.schedule.count / step.schedule.duration_s
    return rate_per_s * usual_us / 1e6 >= LANES_SHARE * step.lanes


def _lost(facts: Facts, step: int) -> bool:
    return any(audit.lost for audit in facts.audits.get(step, {}).values())


def _step_facts(state: StepState, facts: Facts) -> StepFacts:
    recorder, step = state.recorder(), state.step
    use = facts.processors.get(state.number)
    # What is seen as a state alone is no witness of when each event came.
    sink = None if state.number in facts.blind else facts.sink.get(state.number)
    loaded_s = max(0, state.loaded_us - state.t0_us) / 1e6
    wanted_s = sum(report.wanted_cpu_s for report in state.reports.values())
    # In smoke size nothing is published, so a machine that is busy with other tests spoils nothing.
    return StepFacts(
        name=step.name,
        mode="burst" if facts.smoke else step.mode,
        planned=state.total("offered") if step.fault and state.cut else step.schedule.count,
        **{
            name: state.total(name)
            for name in ("offered", "started", "completed", "failed", "dropped")
        },
        samples=recorder.histogram("response").count + recorder.histogram("failed").count,
        # What is proved to be lost cannot arrive: that the wait for it ran out is no reason of its
        # own.
        drained=state.drained or (facts.fenced and _missing(facts, state.number)),
        # What is lost never comes out, and is no backlog that grows.
        steady=step.steady and step.fault is None and not _lost(facts, state.number),
        warm_up=step.warm_up,
        probe=step.probe,
        send_delay_ms=recorder.histogram("send_delay").summary_ms(),
        loop_lag_ms={} if facts.smoke else recorder.histogram("loop_lag").summary_ms(),
        clock_bound_ms=None if facts.smoke else clock_bound_ms(state),
        least_ms=None if sink is None else sink.recorder.histogram("end_to_end").min_us / 1000,
        own_delay_ms={} if facts.smoke else recorder.histogram("own_delay").summary_ms(),
        lanes_short=_lanes_short(step, recorder.histogram("service").percentile_us(50)),
        cpu_cores=wanted_s / loaded_s if loaded_s > 0 else None,
        processes=max(1, len(state.workers)),
        witness_early_ms=None if facts.smoke or sink is None else _witness_early_ms(sink),
        others_share=None if facts.smoke or use is None else use.others,
        waited_share={} if use is None else use.waited,
        looks=state.looks,
        loaded_s=loaded_s or None,
        left_s=max(0, sink.last_us - state.loaded_us) / 1e6 if sink is not None else None,
        end_to_end_p50_ms=(
            sink.recorder.histogram("end_to_end").summary_ms()["p50"] if sink is not None else None
        ),
    )


def _witness_early_ms(sink: StepSnapshot) -> float | None:
    """How much earlier the platform says that its events are durable than our tap saw them, in
    the mean over the same events, beyond what the tap's rhythm explains.
    """
    seen, told = (sink.recorder.histogram(name) for name in ("end_to_end", DURABLE.name))
    if not told.count or abs(seen.count - told.count) > SAME_EVENTS * told.count:
        return None
    late_ms = lateness_ms(sink.recorder).get("late", 0.0)
    early_us = seen.sum_us / seen.count - told.sum_us / told.count - late_ms * 1000
    return round(early_us / 1000, 3)


def notes(states: Sequence[StepState], facts: Facts) -> list[str]:
    """What is worth knowing and spoils nothing; of a search its answer is enough."""
    judged = [state for state in states if not state.step.probe]
    return [
        *facts.notes,
        *facts.course.notes,
        *clock_notes(facts),
        *stranger_notes(facts),
        *bound_notes(judged, facts),
        *load_notes(judged),
        *lane_notes(judged),
        *(
            note
            for state in judged
            if (note := crowded_note(_step_facts(state, facts))) is not None
        ),
    ]


def clock_notes(facts: Facts) -> list[str]:
    """That the source's clock is another one, and what was done about it."""
    clock = facts.source_clock
    if clock.same:
        return []
    return [
        f"PostgreSQL's clock is {clock.offset_us / 1000:+.1f} ms off this machine's (within"
        f" {clock.bound_us / 1000:.2f} ms); commit and capture are corrected by it"
    ]


def bound_notes(states: Sequence[StepState], facts: Facts) -> list[str]:
    """How exact the end-to-end latency is, where it is not exact, and what came again."""
    found = []
    for state in states:
        sink = facts.sink.get(state.number)
        if sink is None:
            continue
        paced = state.recorder() if state.step.mode == "paced" else None
        late_ms = lateness_ms(sink.recorder, paced).get("late")
        if late_ms and not facts.smoke:
            found.append(
                f"{state.step.name}: each end-to-end figure may be too high by up to"
                f" {late_ms:.1f} ms (a tap that looks only now and then, or moments in which the"
                " generator did not run)"
            )
        if sink.duplicated:
            found.append(
                f"{state.step.name}: {sink.duplicated} events came again; latency is that of each"
                " one's first arrival"
            )
    return found


def stranger_notes(facts: Facts) -> list[str]:
    """Processes that knocked and were sent away."""
    if not facts.strangers:
        return []
    some = "1 worker" if facts.strangers == 1 else f"{facts.strangers} workers"
    return [f"{some} that did not belong to the run: told to quit, and nothing of it was counted"]


def load_notes(states: Sequence[StepState]) -> list[str]:
    """Why arrivals failed, and how often a producer's local queue was full."""
    notes = []
    for state in states:
        causes: Counter[str] = Counter()
        for report in state.reports.values():
            causes.update(report.tally.errors)
        notes += [
            f"{state.step.name}: {count} x {cause}"
            for cause, count in causes.most_common(CAUSES_TOLD)
        ]
        full = state.recorder().histogram("backpressure").count
        if full:
            notes.append(f"{state.step.name}: a producer's local queue was full {full} times")
    return notes


def lane_notes(states: Sequence[StepState]) -> list[str]:
    """What to say where arrivals had to wait for a free lane."""
    found = []
    for state in states:
        schedule = state.step.schedule
        rate_per_s = schedule.count / schedule.duration_s if schedule.duration_s else 0.0
        mean_ms = state.recorder().histogram("service").summary_ms()["mean"]
        step, exhausted = _step_facts(state, Facts()), state.total("exhausted")
        note = validity.lanes_note(step, exhausted, state.step.lanes, round(rate_per_s, 1), mean_ms)
        found += [note] if note is not None else []
    return found


def fail_reasons(
    states: Sequence[StepState], steps: Sequence[StepResult], facts: Facts
) -> list[str]:
    """What the system under test did wrong, if anything: thresholds, the ledger's among them, and
    failed arrivals.
    """
    reasons = [f"the pipeline reports: {error}" for error in facts.platform_errors]
    reasons += [
        failure.reason for failure in _threshold_failures(states, steps, facts, undecided=False)
    ]
    for state, step in zip(states, steps, strict=True):
        if step.arrivals.failed and not step.probe and not _stops_writers(state):
            reasons.append(
                f"{step.name}: {step.arrivals.failed} of {step.arrivals.started} arrivals failed"
            )
    return reasons


def _stops_writers(state: StepState) -> bool:
    planned = state.step.fault
    return planned is not None and state.fault is not None and fault_of(planned).stops_writers


def undecided_reasons(
    states: Sequence[StepState], steps: Sequence[StepResult], facts: Facts
) -> list[str]:
    """Thresholds that the figures are not exact enough for."""
    found = _threshold_failures(states, steps, facts, undecided=True)
    return [failure.reason for failure in found]


def _thresholds(state: StepState, facts: Facts) -> Sequence[Threshold]:
    """What a step must hold: the run's, and what its fault allows instead of the ledger's zeros.

    What the user has named for a metric holds beside a fault too.
    """
    planned, schedule = state.step.fault, state.step.schedule
    if planned is None:
        return facts.thresholds
    rate_per_s = schedule.count / schedule.duration_s * state.step.rows_per_arrival
    allowed = allowances(planned, rate_per_s)
    named = {item.metric for item in facts.thresholds if item.text not in DEFAULTS}
    instead = [item for item in allowed if item.metric not in named]
    metrics = {item.metric for item in instead}
    return [*(item for item in facts.thresholds if item.metric not in metrics), *instead]


def _is_of_losses(threshold: Threshold) -> bool:
    """Whether it is about what the ledger finds wrong, and not about how much there was."""
    place, *rest = threshold.metric.path
    return place == "ledger" and AMOUNTS.isdisjoint(rest)


def _threshold_failures(
    states: Sequence[StepState], steps: Sequence[StepResult], facts: Facts, *, undecided: bool
) -> list[ThresholdFailure]:
    found = []
    # What a warm-up loses is lost all the same; its figures are not judged.
    for state, step in zip(states, steps, strict=True):
        row, chosen = step_json(step), _thresholds(state, facts)
        if step.warm_up or step.probe:
            chosen = [threshold for threshold in chosen if _is_of_losses(threshold)]
        judged = failures(chosen, [{**row, "warm_up": False}], counts_only=facts.smoke)
        # Without an audit there is nothing to judge it by, and `fences incomplete` says so.
        found += [
            failure
            for failure in judged
            if failure.undecided is undecided
            and not (facts.disturbed and failure.threshold.split()[0] in OF_OTHERS)
            and (row["ledger"] or "it was not measured" not in failure.reason)
        ]
    return found
