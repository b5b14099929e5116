"""A run's pipeline at present, stage by stage. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypedDict

from cdc_users.measure.judgement.result import StepResult
from cdc_users.measure.latency.series import BOXES, PARTS
from cdc_users.pipeline.declaration import captures, transports
from cdc_users.report.answer import largest
from cdc_users.scenario import Pipeline
from cdc_users.step.timeline_row import TimelineRow
from cdc_users.view.backlog import backlog, positions
from cdc_users.view.narrow_stage import Bottleneck, means_ms, recent
from cdc_users.view.run_view import RunView, current, series


@dataclass(frozen=True, slots=True)
class StageView:
    """One stage of the pipeline now: its rate, its part of the latency in this step, and its
    backlog.
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


class _Figures(TypedDict):
    """The counted and measured figures of a stage."""

    rate: float | None
    mean_ms: float | None
    p50_ms: float | None
    p99_ms: float | None
    backlog: str


def stages(run: RunView, narrow: Bottleneck) -> list[StageView]:
    """The pipeline's five stages at present, or those of the run's largest step.

    Each stage's meter is the time that it costs an event, with the waits for it; the longest meter
    is the bottleneck's.
    """
    step = largest(run.result) if run.result is not None else None
    pipeline, seen = _now(run) if step is None else _ended(run, step)
    return [
        StageView(
            key=key,
            name=key.capitalize(),
            what=what(key, pipeline),
            share=share(narrow, key),
            bottleneck=key == narrow.stage,
            **figures,
        )
        for key, figures in zip(BOXES, seen, strict=True)
    ]


def _now(run: RunView) -> tuple[Pipeline, list[_Figures]]:
    """The current step's pipeline, and each stage's figures over the last seconds."""
    state = current(run) or (run.states[0] if run.states else None)
    moments = recent(run.moments)
    means, recorder = means_ms(moments), series(run)
    flows, waits = flow(moments), backlog(moments)
    return state.step.pipeline if state is not None else Pipeline(), [
        {
            "rate": flows.get(key),
            "mean_ms": _rounded(means.get(part)),
            "p50_ms": _ms(recorder.histogram(part).percentile_us(50)),
            "p99_ms": _ms(recorder.histogram(part).percentile_us(99)),
            "backlog": waits[key],
        }
        for key, part in zip(BOXES, PARTS, strict=True)
    ]


def _ended(run: RunView, step: StepResult) -> tuple[Pipeline, list[_Figures]]:
    """The pipeline and the figures of a step that has ended, without those of the last second."""
    made = [state.step.pipeline for state in run.states if state.step.name == step.name]
    rate = step.drain_rate_per_s if step.drain_rate_per_s is not None else step.throughput_per_s
    summaries = [step.latency_ms.get(part, {}) for part in PARTS]
    return made[0] if made else Pipeline(), [
        {
            "rate": rate,
            "mean_ms": _rounded(summary.get("mean")),
            "p50_ms": summary.get("p50"),
            "p99_ms": summary.get("p99"),
            "backlog": "–",
        }
        for summary in summaries
    ]


def share(narrow: Bottleneck, key: str) -> float:
    """The length of a stage's meter, from 0 to 1."""
    longest = max(narrow.costs_ms.values(), default=0.0)
    return max(0.0, narrow.costs_ms.get(key, 0.0)) / longest if longest > 0 else 0.0


def what(key: str, pipeline: Pipeline) -> str:
    """The description of a stage in this pipeline."""
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


def flow(moments: Sequence[TimelineRow]) -> dict[str, float | None]:
    """Events a second through each stage over these seconds; None if not known."""
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


def split_ms(run: RunView) -> list[tuple[str, dict[str, float]]]:
    """Each step's mean latency by part, from the result once there is one; means, because
    percentiles do not add up.
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


def _ms(value_us: float | None) -> float | None:
    return None if value_us is None else round(value_us / 1000, 3)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
