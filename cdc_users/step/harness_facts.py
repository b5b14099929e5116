"""Turns what a run has gathered into the facts from which validity is judged. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from cdc_users.measure.judgement import validity
from cdc_users.measure.judgement.run_facts import HarnessFacts, StepFacts
from cdc_users.measure.latency.lateness import lateness_ms
from cdc_users.measure.latency.series import DURABLE
from cdc_users.measure.ledger.probe import LANES_PER_STEP
from cdc_users.pipeline.telemetry import StepSnapshot
from cdc_users.scenario import Step
from cdc_users.step.state import Facts, StepState

#: With more than this share of the lanes busy, a burst finds none free.
LANES_SHARE = 0.7
#: Two witnesses saw the same events if their counts differ by no more than this share.
SAME_EVENTS = 0.01


def harness_facts(states: Sequence[StepState], facts: Facts) -> HarnessFacts:
    """The facts from which validity is judged."""
    return HarnessFacts(
        steps=[step_facts(state, facts) for state in states],
        stop_reason=facts.stop_reason,
        fenced=facts.fenced,
        workers_lost=facts.workers_lost,
        workers=facts.workers,
        clock_step_ms=facts.clock_step_ms,
        writers_twice=writers_twice(states),
        # Records that were deleted after all had been read are no loss.
        retention_lost=facts.overtaken() if is_incomplete(facts) else 0,
        restarts=facts.restarts,
        disturbed=facts.disturbed,
        unreadable=facts.unreadable,
    )


def writers_twice(states: Sequence[StepState]) -> int:
    """How many writer numbers two processes have reported, or one process in a step to which they
    do not belong.
    """
    told = Counter(
        (writer, writer // LANES_PER_STEP == state.number)
        for state in states
        for report in state.reports.values()
        for writer in report.outcomes
    )
    return sum(times > 1 or not own for (_, own), times in told.items())


def generator_reasons(state: StepState, facts: Facts) -> tuple[list[str], list[str]]:
    """Why the generator itself did not offer a step's load, and whether it had too few lanes for
    it.
    """
    step = step_facts(state, facts)
    own = [
        *validity.loop_stalled(step),
        *validity.cpu_saturated(step),
        *validity.behind_plan(replace(step, lanes_short=False)),
    ]
    return own, [] if own else list(validity.behind_plan(step))


def is_incomplete(facts: Facts, *steps: int) -> bool:
    """Whether an audit of these steps (of any, if none is named) found events lost or unseen."""
    chosen = [facts.audits.get(step, {}) for step in steps or facts.audits]
    return any(audit.lost or audit.unseen for audits in chosen for audit in audits.values())


def clock_bound_ms(state: StepState) -> float | None:
    """How far the clocks of the step's workers may be off the master's: None if all have one clock,
    -1 if one is not known.
    """
    bounds = [report.clock_bound_us for report in state.reports.values()]
    known = [bound_us for bound_us in bounds if bound_us is not None]
    if not known:
        return None
    return -1.0 if min(known) < 0 else round(max(known) / 1000, 3)


def _lanes_short(step: Step, usual_us: float | None) -> bool:
    """Whether the load needs about as many lanes as there are, at the system's usual service time
    (Little's law); otherwise a stall of the system kept all lanes waiting.
    """
    if usual_us is None or not step.schedule.duration_s:
        return True
    rate_per_s = step.schedule.count / step.schedule.duration_s
    return rate_per_s * usual_us / 1e6 >= LANES_SHARE * step.lanes


def has_lost(facts: Facts, step: int) -> bool:
    """Whether an audit of this step found events lost."""
    return any(audit.lost for audit in facts.audits.get(step, {}).values())


def step_facts(state: StepState, facts: Facts) -> StepFacts:
    """The facts of one step."""
    recorder, step = state.recorder(), state.step
    use = facts.processors.get(state.number)
    # A sink that is seen as a state is no witness of when each event came.
    sink = None if state.number in facts.blind else facts.sink.get(state.number)
    loaded_s = max(0, state.loaded_us - state.t0_us) / 1e6
    wanted_s = sum(report.wanted_cpu_s for report in state.reports.values())
    # A smoke run publishes no figures, so a busy machine spoils nothing.
    return StepFacts(
        name=step.name,
        mode="burst" if facts.smoke else step.mode,
        planned=state.total("offered") if step.fault and state.cut else step.schedule.count,
        **{
            name: state.total(name)
            for name in ("offered", "started", "completed", "failed", "dropped")
        },
        samples=recorder.histogram("response").count + recorder.histogram("failed").count,
        # A proved loss cannot arrive, so the end of the wait for it is no reason of its own.
        drained=state.drained or (facts.fenced and is_incomplete(facts, state.number)),
        # Lost events never come out, and are not a growing backlog.
        steady=step.steady and step.fault is None and not has_lost(facts, state.number),
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
    """How much earlier the platform reports events as durable than our tap saw them, in the mean
    over the same events, beyond the time between the tap's looks.
    """
    seen, told = (sink.recorder.histogram(name) for name in ("end_to_end", DURABLE.name))
    if not told.count or abs(seen.count - told.count) > SAME_EVENTS * told.count:
        return None
    late_ms = lateness_ms(sink.recorder).get("late", 0.0)
    early_us = seen.sum_us / seen.count - told.sum_us / told.count - late_ms * 1000
    return round(early_us / 1000, 3)
