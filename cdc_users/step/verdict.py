"""Turns what a run has gathered into its verdict: reasons for INVALID, and thresholds that fail.
Pure.
"""

from __future__ import annotations

from collections.abc import Sequence

from cdc_users.measure.judgement import validity
from cdc_users.measure.judgement.result import StepResult, Verdict, step_json, verdict_of
from cdc_users.measure.judgement.threshold import (
    DEFAULTS,
    Threshold,
    ThresholdFailure,
    failures,
)
from cdc_users.step.fault import allowances
from cdc_users.step.harness_facts import harness_facts, has_lost
from cdc_users.step.state import Facts, StepState

#: A pause ends within milliseconds after a queue is empty, on a busy machine within a second or
#: two.
STALL_LIMIT_S = 5.0
#: Classes that change when somebody else writes to the run's rows; the verdict names that instead.
OF_OTHERS = ("duplicated", "reordered", "corrupt", "stale")
#: The ledger's counts that are no defects; those of a warm-up belong to the plan only.
AMOUNTS = frozenset({"sent", "delivered", "checked"})
#: A system from which nothing has come for so long, while the rest is awaited, stands still.
STANDSTILL_S = 10.0


def judge(
    states: Sequence[StepState], steps: Sequence[StepResult], facts: Facts
) -> tuple[Verdict, list[str]]:
    """The verdict and its reasons: first what broke the run, then INVALID, then FAIL."""
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


def died_of_its_fault(state: StepState, facts: Facts) -> bool:
    """Whether the system under test, and nothing else, broke in a step whose fault nothing can
    repair. That is a failure of this step; the next one has a pipeline of its own.
    """
    died = bool(facts.broken) and {broken.exit_code for broken in facts.broken} == {
        Verdict.FAIL.exit_code
    }
    return died and state.step.alone and state.fault is not None


def stall_reasons(steps: Sequence[StepResult]) -> list[str]:
    """A platform that has stopped reading is at fault, however well it was measured."""
    return [
        f"{step.name}: partitions stayed paused for {step.pressure['stalled_s']:g} s with nothing"
        " held"
        for step in steps
        if step.pressure.get("stalled_s", 0) > STALL_LIMIT_S
    ]


def gone_reasons(states: Sequence[StepState], facts: Facts) -> list[str]:
    """A system has failed if a part of it is permanently gone, or if nothing comes out any more,
    however well it was measured.
    """
    found = [
        f"{state.step.name}: {gone.what}; {_last_sign(states[:number], facts)}"
        for gone in facts.gone
        for number, state in enumerate(states, start=1)
        if state.number == gone.step
    ]
    if found or facts.fenced or facts.stop_reason:
        return found
    return [
        f"{state.step.name}: the system stands still: {_last_sign([state], facts)}, and in"
        f" {state.quiet_s:.0f} s not one more came, nor any fence"
        for state in states
        if not state.drained and state.quiet_s >= STANDSTILL_S and not facts.fences_seen
    ]


def unrecovered_reasons(states: Sequence[StepState], facts: Facts) -> list[str]:
    """A pipeline has failed if it has not delivered everything long after a fault was healed: the
    fault explains a delay, but not that there is no end.
    """
    return [
        f"{state.step.name}: the pipeline has not recovered from {state.step.fault.name}:"
        f" {_last_sign([state], facts)}; the fault was undone"
        f" {(state.ended_us - state.fault.healed_us) / 1e6:.0f} s before the wait ended"
        for state in states
        if state.step.fault is not None and state.fault is not None and not state.drained
        if not facts.stop_reason and state.ended_us and not has_lost(facts, state.number)
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
    """Why the numbers may not be used; empty if they may."""
    reasons = []
    if facts.profile == "test" and not facts.smoke:
        reasons.append(
            "the stack runs with the profile 'test', which is slower; `make stack-down` and run"
            " again"
        )
    reasons += [
        f"{state.step.name}: the fault was not done: {state.fault.refused}"
        for state in states
        if state.fault is not None and state.fault.refused
    ]
    return [*reasons, *validity.invalid_reasons(harness_facts(states, facts))]


def fail_reasons(
    states: Sequence[StepState], steps: Sequence[StepResult], facts: Facts
) -> list[str]:
    """What the system under test did wrong: thresholds that fail, those of the ledger included, and
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
    return (fault := state.done_fault) is not None and fault.stops_writers


def undecided_reasons(
    states: Sequence[StepState], steps: Sequence[StepResult], facts: Facts
) -> list[str]:
    """Thresholds for which the figures are not exact enough."""
    found = _threshold_failures(states, steps, facts, undecided=True)
    return [failure.reason for failure in found]


def _thresholds(state: StepState, facts: Facts) -> Sequence[Threshold]:
    """The thresholds of a step: the run's, and its fault's allowances in place of the ledger's
    zeros.

    A threshold that the user has given for a metric also holds under a fault.
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
    """Whether it is about a defect in the ledger, and not about an amount."""
    place, *rest = threshold.metric.path
    return place == "ledger" and AMOUNTS.isdisjoint(rest)


def _threshold_failures(
    states: Sequence[StepState], steps: Sequence[StepResult], facts: Facts, *, undecided: bool
) -> list[ThresholdFailure]:
    found = []
    # What a warm-up loses counts as lost; its figures are not judged.
    for state, step in zip(states, steps, strict=True):
        row, chosen = step_json(step), _thresholds(state, facts)
        if step.warm_up or step.probe:
            chosen = [threshold for threshold in chosen if _is_of_losses(threshold)]
        judged = failures(chosen, [{**row, "warm_up": False}], counts_only=facts.smoke)
        # Without an audit there is nothing to judge; `fences incomplete` reports that.
        found += [
            failure
            for failure in judged
            if failure.undecided is undecided
            and not (facts.disturbed and failure.threshold.split()[0] in OF_OTHERS)
            and (row["ledger"] or "it was not measured" not in failure.reason)
        ]
    return found
