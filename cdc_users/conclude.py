"""From what a run has gathered to its result: figures, ledger, verdict and reasons. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from cdc_users.measure import validity
from cdc_users.measure.ledger import CLASSES, Audit, Outcomes
from cdc_users.measure.pressure import Sample, figures
from cdc_users.measure.recorder import Recorder
from cdc_users.measure.result import Arrivals, Result, StepResult, Verdict, step_json, verdict_of
from cdc_users.measure.scaling import Reading, points, summary
from cdc_users.measure.threshold import Threshold, failures
from cdc_users.measure.validity import HarnessFacts, Look, StepFacts
from cdc_users.scenario import Scenario, Step
from cdc_users.telemetry import StepSnapshot

HARNESS_SERIES = ("response", "service", "send_delay")
SINK_SERIES = ("end_to_end", "commit", "capture", "fetch", "queue", "sink_write")
DRAIN_SERIES = ("queue", "sink_write")
#: So many causes of failed arrivals are named.
CAUSES_TOLD = 5
#: What a difference of the final state counts as in the ledger.
FINAL_CLASSES = {"lost": "missing", "phantom": "extra", "stale": "stale", "corrupt": "corrupt"}
TALLY = ("offered", "started", "completed", "failed", "dropped", "late")


@dataclass(slots=True)
class StepState:
    """One step while it runs and after: what the processes with lanes reported, and when things happened (wall us)."""

    number: int
    step: Step
    workers: tuple[str, ...] = ()
    t0_us: int = 0
    loaded_us: int = 0
    #: When the platform began to read, in a drain step.
    drain_us: int = 0
    #: When it had been drained, or its time was over.
    ended_us: int = 0
    #: How many of the step's marks have been announced.
    marked: int = 0
    drained: bool = False
    #: Events that had been sent and not delivered when the load ended.
    backlog_at_end: int = 0
    #: Sent and delivered while the load lasted, once a second.
    looks: list[Look] = field(default_factory=list)
    reports: dict[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def loaded(self) -> bool:
        """Whether every process has worked through its share."""
        return bool(self.workers) and all(self.reports.get(worker, {}).get("done") for worker in self.workers)

    def total(self, name: str) -> int:
        """The sum of one tally over all processes."""
        return sum(int(report["tally"][name]) for report in self.reports.values())

    @property
    def sent(self) -> int:
        """Events that must arrive: the acknowledged sequences of all writers."""
        return sum(last - first + 1 for item in self.outcomes().values() for first, last in item.acked)

    def outcomes(self) -> dict[int, Outcomes]:
        """How each writer's sequences ended."""
        return {
            int(writer): Outcomes(**{name: [(first, last) for first, last in runs] for name, runs in ranges.items()})
            for report in self.reports.values()
            for writer, ranges in report["ranges"].items()
        }

    def recorder(self) -> Recorder:
        """The series of all processes, merged without loss."""
        merged = Recorder()
        for report in self.reports.values():
            merged.merge(Recorder.from_json(report["recorder"]))
        return merged


@dataclass(slots=True)
class Facts:
    """What a run has gathered besides its steps."""

    stop_reason: str = ""
    workers_lost: int = 0
    #: By how much the wall clock left the monotonic one during the run.
    clock_step_ms: float = 0.0
    #: Events that the topic no longer had when the consumer came to them.
    retention_lost: int = 0
    #: What ended and began again without being asked.
    restarts: list[str] = field(default_factory=list)
    #: What must hold: the scenario's, the user's, and the ledger's classes at 0.
    thresholds: Sequence[Threshold] = ()
    smoke: bool = False
    profile: str | None = None
    #: Whether every pipeline's fences have come out of all its taps, as far as that was looked at.
    fenced: bool = True
    #: What broke the run, and the exit code that it means.
    broken: list[tuple[str, int]] = field(default_factory=list)
    #: What was wrong without spoiling a number.
    notes: list[str] = field(default_factory=list)
    #: By step, then by tap in the order in which events pass them.
    audits: dict[int, Mapping[str, Audit]] = field(default_factory=dict)
    sink: dict[int, StepSnapshot] = field(default_factory=dict)
    #: By step: the final state of the sink against the source's, where the sink keeps one (final.Final as plain data).
    finals: dict[int, Mapping[str, Any]] = field(default_factory=dict)
    platform_errors: list[str] = field(default_factory=list)
    #: By step: samples of the platform and the gauges, the most events it ever held, and the events of each partition.
    samples: dict[int, Sequence[Sample]] = field(default_factory=dict)
    high_water: dict[int, int] = field(default_factory=dict)
    partition_events: dict[int, Sequence[int]] = field(default_factory=dict)


def conclude(
    scenario: Scenario, run: str, states: Sequence[StepState], facts: Facts, command: str, options: Mapping[str, Any]
) -> Result:
    """The run's result."""
    ran = [state for state in states if state.workers]
    steps = [step_result(state, facts) for state in ran]
    verdict, reasons = judge(ran, steps, facts)
    return Result(
        scenario=scenario.name,
        run=run,
        verdict=verdict,
        reasons=reasons,
        steps=steps,
        harness=harness(ran),
        notes=[*facts.notes, *load_notes(ran)],
        command=command,
        options=options,
        scaling=summary(points(readings(steps))) if scenario.scaling else None,
    )


def readings(steps: Sequence[StepResult]) -> list[Reading]:
    """What a scaling run compares: each drain's rate by its pipeline."""
    return [
        Reading(
            step.pipeline["sink"],
            step.pipeline["partitions"],
            step.pipeline["instances"],
            step.drain_rate_per_s,
            step.pressure["partition_events"],
        )
        for step in steps
        if step.drain_rate_per_s is not None
    ]


def load_notes(states: Sequence[StepState]) -> list[str]:
    """Why arrivals failed, and how often a producer's local queue was full."""
    notes = []
    for state in states:
        causes: Counter[str] = Counter()
        for report in state.reports.values():
            causes.update(report["tally"].get("errors", {}))
        notes += [f"{state.step.name}: {count} x {cause}" for cause, count in causes.most_common(CAUSES_TOLD)]
        full = state.recorder().histogram("backpressure").count
        if full:
            notes.append(f"{state.step.name}: a producer's local queue was full {full} times")
    return notes


def step_result(state: StepState, facts: Facts) -> StepResult:
    """One step's figures; none are published in smoke size."""
    sink = facts.sink.get(state.number, StepSnapshot())
    audits = facts.audits.get(state.number, {})
    drain = state.step.mode == "drain"
    duration_s = max(0, sink.last_us - (state.drain_us if drain else state.t0_us)) / 1e6
    figures = not facts.smoke and duration_s > 0
    rate = round(sink.delivered / duration_s, 1) if figures else None
    return StepResult(
        name=state.step.name,
        mode=state.step.mode,
        messages=sink.delivered,
        duration_s=round(duration_s, 3),
        throughput_per_s=None if drain else rate,
        drain_rate_per_s=rate if drain else None,
        bytes_per_s=round(sink.bytes / duration_s, 1) if figures else None,
        arrivals=Arrivals(**{name: state.total(name) for name in TALLY}),
        latency_ms={} if facts.smoke else latencies(state.recorder(), sink.recorder, drain=drain),
        ledger=ledger(audits, facts.finals.get(state.number), facts.fenced),
        warm_up=state.step.warm_up,
        pipeline=as_json(state.step.pipeline),
        pressure=pressure(state, facts),
    )


def pressure(state: StepState, facts: Facts) -> dict[str, Any]:
    """What happened inside the platform during a step; what takes samples is empty where there were none.

    After a load that was more than the sink can take, *drain rate* and *time to drain* are those of what was left.
    """
    samples = facts.samples.get(state.number, ())
    loaded_s, sink = (state.loaded_us - state.t0_us) / 1e6, facts.sink.get(state.number, StepSnapshot())
    high_water = facts.high_water.get(state.number)
    limit = state.step.pipeline.max_buffered_messages
    found: dict[str, Any] = {
        "queue_high_water": high_water,
        "queue_high_water_share": None if high_water is None else round(high_water / limit, 4),
        "partition_events": list(facts.partition_events.get(state.number, ())),
    }
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
    """The window of the step's last stage, in seconds from its start; None where it has no stages."""
    return (step.marks[-1].offset_s, loaded_s) if step.marks else None


def as_json(value: Any) -> dict[str, Any]:
    """A dataclass's fields by name."""
    return {item.name: getattr(value, item.name) for item in fields(value)}


def latencies(
    harness_side: Recorder, sink_side: Recorder, *, drain: bool
) -> dict[str, Mapping[str, float | int | None]]:
    """Every series' summary, by its name in result.json. In a drain the way to the sink is no latency but a wait."""
    names = dict.fromkeys(DRAIN_SERIES if drain else SINK_SERIES, sink_side) | dict.fromkeys(
        HARNESS_SERIES, harness_side
    )
    return {name: recorder.histogram(name).summary_ms() for name, recorder in names.items()}


def ledger(audits: Mapping[str, Audit], final: Mapping[str, Any] | None, fenced: bool) -> dict[str, int | str]:
    """A step's audit as result.json has it: delivered at the last tap, and in each class the worst of all taps.

    The final state counts as well: a row that the sink misses is lost, an older one stale, another one corrupt, and one
    that the source does not have a phantom. Empty where there was no audit; audit.json has each tap's own.
    """
    if not audits:
        return {}
    last = list(audits.values())[-1]
    worst = {name: max(int(getattr(audit, name)) for audit in audits.values()) for name in CLASSES}
    for name, finding in FINAL_CLASSES.items():
        worst[name] = max(worst[name], int((final or {}).get(finding, 0)))
    fences = "complete" if fenced else "incomplete"
    return {"sent": last.sent, "delivered": last.delivered, **worst, "fences": fences}


def harness(states: Sequence[StepState]) -> dict[str, float | None]:
    """What the generator itself cost and how punctual it was."""
    merged = Recorder()
    for state in states:
        merged.merge(state.recorder())
    cpu_s = sum(float(report["cpu_s"]) for state in states for report in state.reports.values())
    loaded_s = sum(state.loaded_us - state.t0_us for state in states) / 1e6
    rows = sum(state.total("rows") for state in states)
    return {
        "send_delay_p99_ms": merged.histogram("send_delay").summary_ms()["p99"],
        "loop_lag_p99_ms": merged.histogram("loop_lag").summary_ms()["p99"],
        "cpu_cores": round(cpu_s / loaded_s, 2) if loaded_s > 0 else None,
        "overhead_us_per_event": round(cpu_s / rows * 1e6, 1) if rows else None,
    }


def judge(states: Sequence[StepState], steps: Sequence[StepResult], facts: Facts) -> tuple[Verdict, list[str]]:
    """The verdict and why. What broke the run comes first, then INVALID, then FAIL."""
    if facts.broken:
        reason, code = facts.broken[0]
        return verdict_of(code), [reason]
    invalid = invalid_reasons(states, facts)
    failed = fail_reasons(steps, facts)
    if invalid:
        return Verdict.INVALID, invalid + failed
    return (Verdict.FAIL, failed) if failed else (Verdict.PASS, [])


def invalid_reasons(states: Sequence[StepState], facts: Facts) -> list[str]:
    """Why the numbers may not be used, if they may not."""
    reasons = []
    if facts.profile == "test" and not facts.smoke:
        reasons.append("the stack runs with the profile 'test', which is slower; `make stack-down` and run again")
    return [*reasons, *validity.invalid_reasons(harness_facts(states, facts))]


def harness_facts(states: Sequence[StepState], facts: Facts) -> HarnessFacts:
    """What validity is judged by."""
    ended_us = max((state.ended_us for state in states), default=0)
    began_us = min((state.t0_us for state in states), default=0)
    return HarnessFacts(
        steps=[_step_facts(state, facts) for state in states],
        stop_reason=facts.stop_reason,
        fenced=facts.fenced,
        workers_lost=facts.workers_lost,
        clock_step_ms=facts.clock_step_ms,
        duration_s=max(0, ended_us - began_us) / 1e6,
        # What was deleted after everybody had read it is no loss.
        retention_lost=facts.retention_lost if _missing(facts) else 0,
        restarts=facts.restarts,
    )


def _missing(facts: Facts) -> bool:
    return any(audit.lost or audit.unseen for audits in facts.audits.values() for audit in audits.values())


def _step_facts(state: StepState, facts: Facts) -> StepFacts:
    recorder, step = state.recorder(), state.step
    loaded_s = max(0, state.loaded_us - state.t0_us) / 1e6
    cpu_s = sum(float(report["cpu_s"]) for report in state.reports.values())
    # In smoke size nothing is published, so a machine that is busy with other tests spoils nothing.
    return StepFacts(
        name=step.name,
        mode="burst" if facts.smoke else step.mode,
        planned=step.schedule.count,
        **{name: state.total(name) for name in ("offered", "started", "completed", "failed", "dropped")},
        samples=recorder.histogram("response").count + recorder.histogram("failed").count,
        drained=state.drained,
        steady=step.steady,
        warm_up=step.warm_up,
        send_delay_ms=recorder.histogram("send_delay").summary_ms(),
        loop_lag_ms={} if facts.smoke else recorder.histogram("loop_lag").summary_ms(),
        cpu_cores=cpu_s / loaded_s if loaded_s > 0 else None,
        processes=max(1, len(state.workers)),
        looks=state.looks,
    )


def lane_notes(states: Sequence[StepState], facts: Facts) -> list[str]:
    """What to say where arrivals had to wait for a free lane."""
    found = []
    for state in states:
        loaded_s = max(0, state.loaded_us - state.t0_us) / 1e6
        rate_per_s = state.step.schedule.count / loaded_s if loaded_s > 0 else 0.0
        mean_ms = state.recorder().histogram("service").summary_ms()["mean"]
        step, exhausted = _step_facts(state, facts), state.total("exhausted")
        note = validity.lanes_note(step, exhausted, state.step.lanes, round(rate_per_s, 1), mean_ms)
        found += [note] if note is not None else []
    return found


def fail_reasons(steps: Sequence[StepResult], facts: Facts) -> list[str]:
    """What the system under test did wrong, if anything: thresholds, the ledger's among them, and failed arrivals."""
    reasons = [f"the platform reports: {error}" for error in facts.platform_errors]
    rows = [step_json(step) for step in steps]
    # What a warm-up loses is lost all the same; its figures are not judged.
    ledger_only = [threshold for threshold in facts.thresholds if threshold.metric.path[0] == "ledger"]
    for row in rows:
        chosen = ledger_only if row["warm_up"] else facts.thresholds
        judged = failures(chosen, [{**row, "warm_up": False}], counts_only=facts.smoke)
        # Without an audit there is nothing to judge it by, and `fences incomplete` says so.
        reasons += [
            failure.reason for failure in judged if row["ledger"] or "it was not measured" not in failure.reason
        ]
    for step in steps:
        if step.arrivals.failed:
            reasons.append(f"{step.name}: {step.arrivals.failed} of {step.arrivals.started} arrivals failed")
    return reasons
