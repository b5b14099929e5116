"""The course of a search: from the figures of its probes to the next probe, and to the answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from cdc_users.measure.capacity.probe import (
    ProbeFigures,
    hopeless,
    judge_probe,
    slo_spent,
)
from cdc_users.measure.capacity.search import (
    Evidence,
    SearchAnswer,
    SearchPlan,
    Trial,
    next_trial,
)
from cdc_users.measure.judgement.result import step_json
from cdc_users.measure.judgement.search_summary import SearchSummary
from cdc_users.measure.judgement.threshold import Threshold, failures
from cdc_users.measure.schedule.fault_plan import PlannedFault
from cdc_users.measure.schedule.plan import LoadStage, Schedule
from cdc_users.options.conflict.capacity import WARM_UP_S
from cdc_users.options.options import Options
from cdc_users.scenario import CourseOutcome, Step, StepProgress, StepShown
from cdc_users.shapes.course_answer import (
    ProbeRecord,
    bottleneck_row,
    cost_row,
    prediction_row,
    probe_row,
)
from cdc_users.shapes.schedule import schedule_of

#: The search stays below this share of the rate that the harness reaches without a pipeline.
CEILING_SHARE = 0.6
#: If the generator had too few lanes, it gets this many times as many.
MORE_LANES = 4
#: The fault of the outage (docs/faults.md), the steady load before it in seconds, and the longest
#: wait for its end as a multiple of the outage.
PAUSE, STEADY_S, PATIENCE = "pause-connector", 10.0, 4.0
#: Each probe is two steps: a warm-up, and the probe itself.
STEPS_PER_PROBE = 2


@dataclass(frozen=True, slots=True)
class CapacityCourse:
    """Searches the highest rate that a pipeline holds: first the harness's ceiling, then probes,
    each behind its warm-up.

    `pattern` is a step with everything that the probes share; `planned` are the certain steps.
    """

    options: Options
    pattern: Step
    planned: Sequence[Step]
    #: The harness's ceiling (events a second), if another search of the run has measured it.
    known_ceiling_per_s: float | None = None

    @property
    def undecided_s(self) -> float:
        """The search's budget."""
        return self.options.budget

    def next_step(self, shown: Sequence[StepShown]) -> Step | None:
        """The next warm-up or probe; None when the search has its answer."""
        if len(shown) < len(self.planned):
            return self.planned[len(shown)]
        probes = shown[self._before :]
        made = self.records(shown)
        if made and not made[-1].shown.drained:
            return None  # events left over would count for the next probe
        following = next_trial(self.plan(shown), [one.outcome for one in made])
        if isinstance(following, SearchAnswer):
            return self._outage_step(following, probes, made)
        pair = probe_steps(self.options, self.pattern, following, len(made) + 1)
        return pair[len(probes) % STEPS_PER_PROBE]

    def _outage_step(
        self, answer: SearchAnswer, probes: Sequence[StepShown], made: Sequence[ProbeRecord]
    ) -> Step | None:
        """A step with the connector's pause at half the rate that holds; None if not wanted, or
        done.
        """
        outage_s, low = self.options.outage, answer.low_per_s
        if outage_s is None or low is None or len(probes) > STEPS_PER_PROBE * len(made):
            return None
        return outage_step(self.options, self.pattern, low, outage_s)

    def give_up(self, progress: StepProgress) -> str:
        """A probe is cut short if its backlog grows without end, or if its SLO is out of reach."""
        if progress.step.mode == "null" or progress.step.fault is not None:
            return ""
        if reason := hopeless(progress.looks):
            return reason
        if progress.step.warm_up:
            return ""
        planned = progress.step.schedule.count * progress.step.rows_per_arrival
        return next(
            (
                f"{threshold.text} is out of reach: more events exceed it already than the"
                " percentile allows of all"
                for threshold in self.options.slo
                if _out_of_reach(threshold, progress, planned)
            ),
            "",
        )

    def outcome(self, shown: Sequence[StepShown]) -> CourseOutcome:
        """The answer, with everything that it is based on."""
        made = self.records(shown)
        if not made:
            return CourseOutcome(invalid=["no probe was completed"])
        plan = self.plan(shown)
        outcomes = [one.outcome for one in made]
        following, evidence = next_trial(plan, outcomes), Evidence.of(outcomes)
        ended = (
            "the pipeline did not drain within --drain-timeout after it"
            if not made[-1].shown.drained
            else "the run was ended"
        )
        answer = following if isinstance(following, SearchAnswer) else _unfinished(ended)
        summary: SearchSummary = {
            "kind": answer.kind,
            "low_per_s": answer.low_per_s,
            "high_per_s": answer.high_per_s,
            "confirmed": answer.confirmed,
            "limit": answer.limit,
            "why": answer.why,
            "held_per_s": evidence.low,
            "failed_per_s": evidence.high,
            "width": answer.width,
            "ceiling_per_s": self.ceiling_per_s(shown),
            "slo": [threshold.text for threshold in self.options.slo],
            "bottleneck": bottleneck_row(answer, made),
            "cost": cost_row(answer, made),
            "predictions": prediction_row(self.options, answer, made, shown[-1]),
            "probes": [probe_row(one) for one in made],
        }
        if answer.kind == "nothing_holds":
            why = f"nothing holds: at {answer.high_per_s:g}/s {answer.why}"
            return CourseOutcome(failed=[why], summary=summary)
        if answer.kind == "undecided":
            return CourseOutcome(invalid=[answer.why], summary=summary)
        return CourseOutcome(summary=summary)

    def records(self, shown: Sequence[StepShown]) -> list[ProbeRecord]:
        """The probes that were made, each with its trial."""
        plan, probes = self.plan(shown), shown[self._before :]
        made: list[ProbeRecord] = []
        for warm_up, probe in zip(probes[::2], probes[1::2], strict=False):
            trial = next_trial(plan, [one.outcome for one in made])
            assert isinstance(trial, Trial)
            judged = judge_probe(self._figures(trial, warm_up, probe))
            made.append(ProbeRecord(trial, probe, judged, warm_up.took_s + probe.took_s))
        return made

    def plan(self, shown: Sequence[StepShown]) -> SearchPlan:
        """The plan of the search, below the harness's ceiling."""
        options, ceiling = self.options, self.ceiling_per_s(shown)
        bound = options.most if ceiling is None else min(options.most, CEILING_SHARE * ceiling)
        needed = max((one.samples_needed for one in options.slo), default=0.0)
        return SearchPlan(
            from_per_s=options.from_,
            most_per_s=bound,
            probe_s=options.probe,
            confirm_s=options.confirm,
            warm_up_s=warm_up_of(options),
            precision=options.precision,
            budget_s=options.budget,
            limit="most" if bound == options.most else "ceiling",
            needed_per_s=needed / options.probe,
        )

    @property
    def _before(self) -> int:
        """The number of steps before the first probe's warm-up."""
        return sum(step.mode == "null" for step in self.planned)

    def ceiling_per_s(self, shown: Sequence[StepShown]) -> float | None:
        """The harness's rate without a pipeline; None where it was not measured."""
        null = next((one for one in shown if one.step.mode == "null"), None)
        if null is None or not null.took_s:
            return self.known_ceiling_per_s
        events = null.result.arrivals.completed * null.step.rows_per_arrival
        return round(events / null.took_s, 1)

    def _figures(self, trial: Trial, warm_up: StepShown, probe: StepShown) -> ProbeFigures:
        row = {**step_json(probe.result), "warm_up": False}
        cut = probe.cut or (f"in its warm-up, {warm_up.cut}" if warm_up.cut else "")
        slo = [] if cut else [failure.reason for failure in failures(self.options.slo, [row])]
        prefix = f"{probe.step.name}: "
        crowded = () if trial.repeat else probe.crowded
        return ProbeFigures(
            trial.rate_per_s,
            probe.looks,
            backlogs=probe.backlogs,
            slo=[reason.removeprefix(prefix) for reason in slo],
            generator=[*probe.generator, *crowded],
            cut=cut,
            failed=probe.result.arrivals.failed,
            drained=probe.drained,
        )


def _unfinished(why: str) -> SearchAnswer:
    return SearchAnswer("undecided", why=f"the search did not come to its end: {why}")


def warm_up_of(options: Options) -> float:
    """The length of each probe's warm-up, in seconds."""
    return WARM_UP_S if options.warm_up is None else options.warm_up


def outage_step(options: Options, pattern: Step, capacity_per_s: float, outage_s: float) -> Step:
    """A load of half the capacity, during which the connector is paused for `outage_s`."""
    rate_per_s = capacity_per_s / 2
    fault = PlannedFault(
        name=PAUSE,
        round=1,
        steady_from_s=warm_up_of(options),
        inject_at_s=warm_up_of(options) + STEADY_S,
        hold_s=outage_s,
        recover_s=PATIENCE * outage_s + STEADY_S,
    )
    return replace(
        pattern,
        name=f"{pattern.name}-outage-{rate_per_s:.4g}-per-s",
        schedule=_schedule(options, rate_per_s, fault.duration_s),
        probe=True,
        fault=fault,
    )


def probe_steps(options: Options, pattern: Step, trial: Trial, number: int) -> tuple[Step, Step]:
    """A probe's warm-up and the probe itself."""
    kind = "confirm" if trial.long else "probe"
    name = f"{pattern.name}-{number}-{kind}-{trial.rate_per_s:g}-per-s"
    lanes = pattern.lanes * (MORE_LANES if trial.repeat else 1)
    duration_s = options.confirm if trial.long else options.probe
    warm_up_s = warm_up_of(options)
    common = replace(pattern, lanes=lanes)
    return (
        replace(
            common,
            name=f"{name}-warm-up",
            schedule=_schedule(options, trial.rate_per_s, warm_up_s),
            warm_up=True,
            # If a load is too much for a probe, it is too much for the probe's warm-up as well.
            probe=True,
        ),
        replace(
            common,
            name=name,
            schedule=_schedule(options, trial.rate_per_s, duration_s),
            probe=True,
        ),
    )


def _schedule(options: Options, rate_per_s: float, duration_s: float) -> Schedule:
    """A load of this many events a second, in transactions of the options' size."""
    arrivals_per_s = rate_per_s / options.rows_per_transaction
    return schedule_of(options, (LoadStage(arrivals_per_s, arrivals_per_s, duration_s),))


def _out_of_reach(threshold: Threshold, progress: StepProgress, planned: int) -> bool:
    """Whether a percentile of all planned events can no longer be below its limit."""
    percentile = threshold.percentile
    if percentile is None or not threshold.comparison.startswith("<"):
        return False
    buckets = progress.recorder.histogram(threshold.metric.path[1]).buckets()
    over = sum(count for value_us, count in buckets if value_us > threshold.value * 1000)
    return slo_spent(over, planned, percentile)
