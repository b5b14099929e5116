"""What can be said of a run while it goes on: its stages, where it is narrow, its verdict so far.

Pure.

The page, the terminal and the metrics all read a run through `RunView` and say the same of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from cdc_users.measure.judgement.result import Result
from cdc_users.measure.latency.recorder import Recorder
from cdc_users.measure.latency.series import BOXES, PARTS, WAY
from cdc_users.options.options import Options
from cdc_users.pipeline.declaration import captures, transports
from cdc_users.pipeline.telemetry import PipelineSnapshot
from cdc_users.scenario import Pipeline, Scenario
from cdc_users.step.state import StepState
from cdc_users.step.timeline_row import TimelineRow

#: The parts of an event's end-to-end latency, in the order of their happening.
#: How many of the last seconds "now" means.
RECENT = 5
#: Below this mean a pipeline without a growing backlog has no bottleneck worth the name.
QUICK_MS = 100.0
#: A backlog grows when it gains more than this share of what is sent meanwhile, and was never
#: higher.
GROWTH = 0.05


class RunView(Protocol):
    """What is read of a run (cdc_users.run.run.Run); nothing here changes it."""

    @property
    def id(self) -> str:
        """The run's eight characters."""

    @property
    def scenario(self) -> Scenario:
        """What is asked."""

    @property
    def options(self) -> Options:
        """Its settings."""

    @property
    def directory(self) -> Path:
        """Where its results will be."""

    @property
    def moments(self) -> Sequence[TimelineRow]:
        """What was seen so far, one a second."""

    @property
    def marks(self) -> Sequence[Mapping[str, Any]]:
        """Steps and stages as they began: elapsed_s, name and step."""

    @property
    def states(self) -> Sequence[StepState]:
        """The steps with what their writers reported."""

    @property
    def look(self) -> PipelineSnapshot:
        """The pipeline as it was last seen."""

    @property
    def result(self) -> Result | None:
        """What it came to; None until it has concluded."""

    @property
    def over(self) -> bool:
        """Whether it has ended, if only because the harness crashed."""


@dataclass(frozen=True, slots=True)
class StageView:
    """One stage of the pipeline now: its rate, its part of the latency in this step, and what
    waits in it.
    """

    key: str
    name: str
    what: str
    rate: float | None
    mean_ms: float | None
    p50_ms: float | None
    p99_ms: float | None
    backlog: str
    share: float
    bottleneck: bool


@dataclass(frozen=True, slots=True)
class Bottleneck:
    """The narrowest stage, None when the pipeline keeps up, and the sentence that says why."""

    stage: str | None
    words: str


def current(run: RunView) -> StepState | None:
    """The step that is going on, or the last one."""
    begun = [state for state in run.states if state.workers]
    return begun[-1] if begun else None


def recent(moments: Sequence[TimelineRow]) -> Sequence[TimelineRow]:
    """The last seconds of the current step."""
    step = moments[-1].step if moments else ""
    return [moment for moment in moments[-RECENT:] if moment.step == step]


def means_ms(moments: Sequence[TimelineRow]) -> dict[str, float]:
    """Mean milliseconds in each part, over what arrived in these seconds; empty when nothing
    did.
    """
    arrived = [moment for moment in moments if moment.mean_ms is not None]
    # A second's means weigh as much as what arrived in it.
    weights = [moment.delivered_per_s or 1.0 for moment in arrived]
    if not arrived:
        return {}
    total = sum(weights)
    return {
        part: (
            sum(
                weight * (getattr(moment, f"{part}_ms") or 0.0)
                for weight, moment in zip(weights, arrived, strict=True)
            )
            / total
        )
        for part in PARTS
    }


def grows(moments: Sequence[TimelineRow]) -> bool:
    """Whether the backlog of these seconds grows by more than a trifle of what is sent."""
    if len(moments) < 2:
        return False
    sent = moments[-1].sent - moments[0].sent
    last = moments[-1].backlog
    return last - moments[0].backlog > max(1.0, GROWTH * sent) and last == max(
        moment.backlog for moment in moments
    )


def narrowest(run: RunView) -> Bottleneck:
    """Where the run is narrow now; once it has concluded, where its last step was."""
    if run.result is None:
        return bottleneck(recent(run.moments))
    step = run.moments[-1].step if run.moments else ""
    return bottleneck([moment for moment in run.moments if moment.step == step])


def bottleneck(last: Sequence[TimelineRow]) -> Bottleneck:
    """Where events spend their time in these seconds, and so which stage holds the others up."""
    means = means_ms(last)
    if not means:
        return Bottleneck(None, "Nothing has arrived at the sink in the last seconds.")
    total = sum(means.values())
    part = max(means, key=lambda name: means[name])
    share = means[part] / total if total > 0 else 0.0
    growing = grows(last)
    tail = f"{means[part]:,.1f} of {total:,.1f} ms end to end ({share:.0%})"
    if total < QUICK_MS and not growing:
        return Bottleneck(
            None, f"The pipeline keeps up. Its longest stage is {_SPOKEN[part]}: {tail}."
        )
    stage, why = _cause(part, last[-1])
    trend = f", and the backlog of {last[-1].backlog:,} events grows" if growing else ""
    return Bottleneck(stage, f"The bottleneck is {_ARTICLE[stage]}: {why}, {tail}{trend}.")


_SPOKEN = {part.series.name: part.spoken for part in WAY}
_ARTICLE = {
    "source": "the source",
    "capture": "capture",
    "platform": "the platform",
    "sink": "the sink",
}


def _cause(part: str, moment: TimelineRow) -> tuple[str, str]:
    """The stage that makes events wait there.

    A queue waits for the sink behind it, and so does a paused partition.
    """
    if part == "commit":
        return "source", "events wait to be written and committed"
    if part == "capture":
        return "capture", "committed events wait to be captured"
    if part == "fetch" and moment.paused_partitions:
        paused = (
            "1 partition is"
            if moment.paused_partitions == 1
            else f"{moment.paused_partitions} partitions are"
        )
        return "sink", f"{paused} paused for it and events wait in the topic"
    if part == "fetch":
        return "platform", "events wait in the topic until it fetches them"
    if part == "queue":
        return "sink", "events wait for it in the platform's queues"
    return "sink", "its writes take the time"


def series(run: RunView) -> Recorder:
    """The current step's series at the sink, so far."""
    state = current(run)
    seen = run.look.sink.steps.get(state.number) if state is not None else None
    return seen.recorder if seen is not None else Recorder()


def stages(run: RunView, narrow: str | None) -> list[StageView]:
    """The pipeline's five stages as they are now."""
    state = current(run) or (run.states[0] if run.states else None)
    pipeline = state.step.pipeline if state is not None else Pipeline()
    moments = recent(run.moments)
    means = (
        means_ms(moments)
        if run.result is None
        else dict(split_ms(run)).get(state.step.name, {})
        if state
        else {}
    )
    longest = max(means.values(), default=0.0)
    recorder = series(run)
    flows, waits = flow(moments), backlog(moments)

    def stage(key: str, part: str) -> StageView:
        histogram = recorder.histogram(part)
        mean = means.get(part)
        return StageView(
            key=key,
            name=key.capitalize(),
            what=what(key, pipeline),
            rate=flows.get(key),
            mean_ms=_rounded(mean),
            p50_ms=_ms(histogram.percentile_us(50)),
            p99_ms=_ms(histogram.percentile_us(99)),
            backlog=waits[key],
            share=max(0.0, mean or 0.0) / longest if longest > 0 else 0.0,
            bottleneck=key == narrow,
        )

    return [stage(key, part) for key, part in zip(BOXES, PARTS, strict=True)]


def what(key: str, pipeline: Pipeline) -> str:
    """What a stage is in this pipeline."""
    many = f"{pipeline.partitions} partitions" if pipeline.partitions > 1 else "1 partition"
    if pipeline.source == "topic":
        direct = {"source": "Avro producer", "capture": "none: records go straight to the topic"}
        if key in direct:
            return direct[key]
    names = {
        "source": "PostgreSQL, write and commit",
        "capture": f"{captures().by_name[pipeline.capture].label}, commit to append",
        "topic": f"{transports().by_name[pipeline.transport].label}, {many}, append to fetch",
        "platform": (
            f"{pipeline.instances} instance{'s' if pipeline.instances > 1 else ''}, wait in queues"
        ),
        "sink": f"{pipeline.sink}, write until durable",
    }
    return names[key]


def waiting(moment: TimelineRow) -> int | None:
    """Events that wait in the topic.

    The group's lag counts from committed offsets, so what is delivered and not yet committed is in
    it; no more can wait than were sent and are neither held nor delivered.
    """
    if moment.consumer_lag is None:
        return None
    return max(0, min(moment.consumer_lag, moment.backlog - held(moment)))


def held(moment: TimelineRow) -> int:
    """Events that the platform holds in memory."""
    return (moment.queue_depth or 0) + (moment.in_flight or 0)


def positions(moment: TimelineRow) -> dict[str, int | None]:
    """How many of the step's events have passed each stage, as far as the figures of that second
    say.
    """
    polled = moment.delivered + held(moment) if moment.queue_depth is not None else None
    lag = waiting(moment)
    appended = polled + lag if polled is not None and lag is not None else None
    return {
        "source": moment.sent,
        "capture": appended,
        "topic": appended,
        "platform": polled,
        "sink": moment.delivered,
    }


def flow(moments: Sequence[TimelineRow]) -> dict[str, float | None]:
    """Events a second through each stage over these seconds; None where it is not known."""
    if len(moments) < 2:
        return {}
    first, last = positions(moments[0]), positions(moments[-1])
    span_s = moments[-1].elapsed_s - moments[0].elapsed_s
    rates: dict[str, float | None] = {}
    for key in BOXES:
        then, now = first[key], last[key]
        rates[key] = (
            None
            if then is None or now is None or span_s <= 0
            else round(max(0, now - then) / span_s, 1)
        )
    return rates


def backlog(moments: Sequence[TimelineRow]) -> dict[str, str]:
    """What waits at each stage, in words with units."""
    if not moments:
        return dict.fromkeys(BOXES, "–")
    now = moments[-1]
    appended = positions(now)["capture"]
    uncaptured = "–" if appended is None else f"{max(0, now.sent - appended):,} events"
    slot = "" if now.slot_lag_bytes is None else f", {now.slot_lag_bytes / 1e6:,.1f} MB"
    paused = f", {now.paused_partitions} paused" if now.paused_partitions else ""
    return {
        "source": f"{max(0, now.offered - now.completed - now.failed):,} arrivals",
        "capture": uncaptured + slot,
        "topic": _events(waiting(now)),
        "platform": _events(now.queue_depth) + paused,
        "sink": _events(now.in_flight),
    }


def _events(count: int | None) -> str:
    return "–" if count is None else f"{count:,} events"


def split_ms(run: RunView) -> list[tuple[str, dict[str, float]]]:
    """Each step's mean latency by part, from the result when there is one; means sum, percentiles
    would not.
    """
    if run.result is not None:
        return [
            (
                step.name,
                {
                    part: float(step.latency_ms[part]["mean"] or 0)
                    for part in PARTS
                    if part in step.latency_ms
                },
            )
            for step in run.result.steps
        ]
    names = {state.number: state.step.name for state in run.states}
    return [
        (
            names[number],
            {
                part: found.recorder.histogram(part).sum_us / found.delivered / 1000
                for part in PARTS
            },
        )
        for number, found in sorted(run.look.sink.steps.items())
        if number in names and found.delivered
    ]


def concerns(run: RunView) -> list[str]:
    """What is already known to be wrong, before the audit."""
    found = [f"the platform reports: {error}" for error in run.look.platform.errors]
    for state in run.states:
        failed = state.total("failed")
        seen = run.look.sink.steps.get(state.number)
        if failed:
            found.append(f"{state.step.name}: {failed} arrivals failed")
        if seen is not None and seen.duplicated:
            found.append(f"{state.step.name}: {seen.duplicated} events arrived more than once")
    return found


def verdict(run: RunView) -> str:
    """The verdict, or how it looks so far."""
    if run.result is not None:
        return run.result.verdict.value
    return "trouble so far" if concerns(run) else "good so far"


def remaining_s(run: RunView, now_us: int) -> float | None:
    """Seconds until the current step's last arrival is due; None in a burst or between steps."""
    state = current(run)
    if state is None or not state.step.schedule.duration_s or state.loaded_us:
        return None
    return max(0.0, state.t0_us / 1e6 + state.step.schedule.duration_s - now_us / 1e6)


def due(state: StepState, now_us: int) -> int:
    """How many of a step's arrivals the plan has asked for by now; the writers' tally counts the
    whole plan.
    """
    return state.step.schedule.number_at(max(0, now_us - state.t0_us) * 1000 + 1)


def _ms(value_us: float | None) -> float | None:
    return None if value_us is None else round(value_us / 1000, 3)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
