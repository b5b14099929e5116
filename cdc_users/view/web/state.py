"""The data of the CDC tab, once a second: one run as plain data. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import TypedDict

from cdc_users.measure.judgement.result import StepResult
from cdc_users.measure.latency.heat_map import HeatChart
from cdc_users.measure.ledger.ledger import CLASSES as LEDGER_CLASSES
from cdc_users.pipeline.telemetry import StepSnapshot
from cdc_users.report import chart, quantity
from cdc_users.report.answer import answer
from cdc_users.report.table import usable
from cdc_users.step.state import StepState
from cdc_users.step.timeline_row import TimelineRow, TimelineValue
from cdc_users.view.concern import concerns, warnings
from cdc_users.view.headline import headline
from cdc_users.view.narrow_stage import narrowest
from cdc_users.view.run_view import RunView, last_mark
from cdc_users.view.stages import split_ms, stages

#: The columns that the charts need of each second.
COLUMNS = chart.columns()
#: The audit's counts; while a run goes on only the first three are known.
CLASSES = (
    "sent",
    "delivered",
    "duplicated",
    *(name for name in LEDGER_CLASSES if name != "duplicated"),
)


class ActivityRow(TypedDict):
    """An activity of the harness, and its duration."""

    name: str
    took_s: float


class RunHead(TypedDict):
    """The run's identity and progress."""

    id: str
    scenario: str
    question: str
    directory: str
    step: str
    stage: str
    steps: int
    begun: int
    elapsed_s: float
    concluded: bool
    activities: list[ActivityRow]


class LedgerRow(TypedDict):
    """One step's counts, one for each class; None until the audit."""

    name: str
    counts: list[int | str | None]
    fences: str


class LedgerTable(TypedDict):
    """The ledger of all steps."""

    classes: Sequence[str]
    rows: list[LedgerRow]


class VerdictView(TypedDict):
    """The verdict with its reasons, or the problems so far."""

    verdict: str | None
    reasons: list[str]
    notes: list[str]
    warnings: list[str]
    answer: str
    usable: bool
    command: str


class RunPage(TypedDict, total=False):
    """One run for the page's script; empty if there is no run."""

    run: RunHead | None
    first: int
    count: int
    columns: dict[str, list[TimelineValue]]
    marks: list[dict[str, float | str]]
    tiles: list[dict[str, object]]
    heat: HeatChart
    figures: list[dict[str, object]]
    stages: list[dict[str, object]]
    words: str
    split: list[dict[str, str | dict[str, float]]]
    ledger: LedgerTable
    verdict: VerdictView


def state(run: RunView | None, known: str, since: int) -> RunPage:
    """The run at present; only its seconds from number `since` on, if the page knows this run
    already.
    """
    if run is None:
        return {"run": None}
    moments = run.moments
    first = since if known == run.id and since <= len(moments) else 0
    narrow = narrowest(run)
    return {
        "run": head(run),
        "first": first,
        "count": len(moments),
        "columns": columns(moments[first:]),
        # Every step's name begins with the scenario's, which would only take space in the charts.
        "marks": [
            {
                "x": mark.elapsed_s,
                "name": mark.name.removeprefix(f"{run.scenario.name}-"),
            }
            for mark in run.marks
        ],
        "tiles": [asdict(tile) for tile in headline(run)],
        "heat": run.heat.to_json(
            max(0, int(moments[first - 1].elapsed_s / run.heat.width_s)) if first else 0
        ),
        "figures": figures(run),
        "stages": [asdict(stage) for stage in stages(run, narrow)],
        "words": narrow.words,
        "split": [{"name": name, "values": parts} for name, parts in split_ms(run)],
        "ledger": ledger(run),
        "verdict": verdict(run),
    }


def figures(run: RunView) -> list[dict[str, object]]:
    """The charts of the run's own figures; for a search that goes on, those so far."""
    if run.result is not None:
        return chart.of_result(run.result)
    return chart.so_far(run.course_so_far.summary, run.course_so_far.comparison)


def head(run: RunView) -> RunHead:
    """The run's identity and progress."""
    begun = last_mark(run)
    return {
        "id": run.id,
        "scenario": run.scenario.name,
        "question": run.scenario.question,
        "directory": run.directory.name,
        "step": begun.step,
        "stage": begun.name or "starting",
        "steps": len(run.states),
        "begun": sum(1 for item in run.states if item.workers),
        "elapsed_s": run.elapsed_s,
        "concluded": run.result is not None,
        "activities": activities(run),
    }


def activities(run: RunView) -> list[ActivityRow]:
    """The harness's activities, the last one until now; empty for a run that has just been made."""
    begun = list(run.activities)
    if not begun:
        return []
    ends = [*(one.began_s for one in begun[1:]), run.elapsed_s]
    return [
        {"name": one.name, "took_s": round(end - one.began_s, 1)}
        for one, end in zip(begun, ends, strict=True)
    ]


def columns(moments: Sequence[TimelineRow]) -> dict[str, list[TimelineValue]]:
    """The seconds as columns."""
    return {name: [getattr(moment, name) for moment in moments] for name in COLUMNS}


def ledger(run: RunView) -> LedgerTable:
    """Each step's counts; None until the audit."""
    if run.result is not None:
        rows = [row for step in run.result.steps for row in _audited(step)]
    else:
        rows = [row for item in run.states if item.workers for row in _so_far(item, run)]
    return {"classes": CLASSES, "rows": rows}


def _audited(step: StepResult) -> Iterator[LedgerRow]:
    """The step's row, and one for each tap if events come out at several."""
    fences = str(step.ledger.get("fences", "not sent"))
    rows: dict[str, Mapping[str, int | str | None]] = {step.name: step.ledger}
    for name, tap in step.taps.items():
        title = _at(step.name, name, tap["latency_ms"])
        rows[title] = {**tap["ledger"], "delivered": tap["messages"]}
    for title, counts in rows.items():
        yield {
            "name": title,
            "counts": [counts.get(name) for name in CLASSES],
            "fences": fences,
        }


def _at(step: str, tap: str, latency_ms: Mapping[str, float | int | None]) -> str:
    """A tap's row, with its end-to-end latency as far as it is known."""
    known = [
        f"{point} {quantity.duration(latency_ms[point])}"
        for point in ("p50", "p99")
        if latency_ms.get(point) is not None
    ]
    return ", ".join([f"{step} at {tap}", *known])


def _so_far(item: StepState, run: RunView) -> Iterator[LedgerRow]:
    look, name, number = run.look, item.step.name, item.number
    rows = {name: look.sink.steps.get(number, StepSnapshot())}
    for tap in look.ends:
        seen = look.taps[tap].steps.get(number, StepSnapshot())
        rows[_at(name, tap, seen.recorder.histogram("end_to_end").summary_ms())] = seen
    for title, seen in rows.items():
        known = {
            "sent": item.sent,
            "delivered": seen.delivered,
            "duplicated": seen.duplicated,
        }
        yield {
            "name": title,
            "counts": [known.get(name) for name in CLASSES],
            "fences": "after the load",
        }


def verdict(run: RunView) -> VerdictView:
    """The verdict with its reasons, or the problems so far."""
    result = run.result
    if result is None:
        return {
            "verdict": None,
            "reasons": concerns(run),
            "notes": [],
            "warnings": warnings(run),
            "answer": "",
            "usable": True,
            "command": "",
        }
    return {
        "verdict": result.verdict.value,
        "reasons": list(result.reasons),
        "notes": list(result.notes),
        "warnings": [],
        "answer": answer(result),
        "usable": usable(result.verdict),
        "command": result.command,
    }
