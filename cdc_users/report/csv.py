"""The CDC statistics as rows: one for each step and series, with the step's own totals beside it.

They are made only from a result. So the file beside Locust's CSV, the download and the file in the
result directory agree with result.json in every figure.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import astuple, fields
from pathlib import Path
from typing import Any

from cdc_users.measure.judgement.result import ArrivalTally, Result, StepResult
from cdc_users.measure.ledger.ledger import CLASSES
from cdc_users.step.timeline_row import TimelineRow

#: What a text begins with that a spreadsheet takes for a formula (OWASP, "CSV Injection").
FORMULA = ("=", "+", "-", "@", "\t")
LATENCY = ("count", "mean", "p50", "p95", "p99", "max")
LEDGER = ("sent", "delivered", *CLASSES, "fences")
ARRIVALS = tuple(item.name for item in fields(ArrivalTally))
TOTALS = ("messages", "duration_s", "throughput_per_s", "drain_rate_per_s", "bytes_per_s")
HEAD = (
    "scenario",
    "run",
    "verdict",
    "step",
    "mode",
    "series",
    "count",
    *(f"{name}_ms" for name in LATENCY[1:]),
    *TOTALS,
    *ARRIVALS,
    *LEDGER,
)


def rows(result: Result) -> list[tuple[Any, ...]]:
    """Every step's series; a step without latencies (smoke size) has one row with an empty
    series.
    """
    return [
        (
            result.scenario,
            result.run,
            result.verdict.value,
            step.name,
            step.mode,
            name,
            *latency,
            *_totals(step),
        )
        for step in result.steps
        for name, latency in _series(step)
    ]


def _series(step: StepResult) -> list[tuple[str, list[Any]]]:
    found = [
        (name, [summary.get(key) for key in LATENCY]) for name, summary in step.latency_ms.items()
    ]
    return found or [("", [None] * len(LATENCY))]


def _totals(step: StepResult) -> list[Any]:
    return [
        *(getattr(step, name) for name in TOTALS),
        *(getattr(step.arrivals, name) for name in ARRIVALS),
        *(step.ledger.get(name) for name in LEDGER),
    ]


def statistics_csv(result: Result) -> str:
    """The statistics as CSV."""
    return as_csv(HEAD, rows(result))


def statistics_of_all(results: Sequence[Result]) -> str:
    """The statistics of several runs as one CSV."""
    return as_csv(HEAD, [row for result in results for row in rows(result)])


def timeline_csv(moments: Sequence[TimelineRow], head: Sequence[str]) -> str:
    """The seconds of a run as CSV, under their fields' names."""
    return as_csv(head, map(astuple, moments))


def as_csv(head: Iterable[str], lines: Iterable[Sequence[Any]]) -> str:
    """Rows under a head; a spreadsheet takes none of their texts for a formula."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(head)
    writer.writerows([_safe(cell) for cell in line] for line in lines)
    return text.getvalue()


def _safe(cell: Any) -> Any:
    """The cell, marked as text if a spreadsheet would take it for a formula."""
    if not isinstance(cell, str):
        return cell
    text = cell.replace("\r", " ")  # the writer does not quote it, and readers end a row there
    return f"'{text}" if text.startswith(FORMULA) else text


def write_beside(prefix: str, statistics: str, timeline: str) -> None:
    """The two files beside Locust's own, as `--csv PREFIX` asks."""
    for name, text in (("stats", statistics), ("timeline", timeline)):
        path = Path(f"{prefix}_cdc_{name}.csv")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
