"""The figures of faults as rows, for faults.csv and for the end of a run's output."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cdc_users.measure.judgement.result import Result, StepResult
from cdc_users.measure.ledger.ledger import CLASSES
from cdc_users.report import quantity
from cdc_users.report.csv import as_csv
from cdc_users.step.fault import FIGURES

HEAD = ("scenario", "run", "verdict", "step", *FIGURES, "sent", "delivered", *CLASSES)
#: The columns on the terminal: heading, field, unit.
SHOWN = (
    ("detected", "detected_s", "s"),
    ("own state", "own_state_s", "s"),
    ("outage", "outage_s", "s"),
    ("first", "first_delivery_s", "s"),
    ("recovered", "recovered_s", "s"),
    ("best", "best_s", "s"),
    ("backlog", "most_backlog", ""),
    ("p99 before", "baseline_p99_ms", "ms"),
    ("p99 after", "p99_ms", "ms"),
)
OF_LEDGER = ("duplicated", "lost", "unseen", "stale", "torn", "reordered")


def with_faults(result: Result) -> Sequence[StepResult]:
    """The steps that have a fault."""
    return [step for step in result.steps if step.fault]


def faults_csv(result: Result) -> str:
    """One row for each fault."""
    return as_csv(HEAD, [_row(result, step) for step in with_faults(result)])


def _row(result: Result, step: StepResult) -> list[Any]:
    return [
        result.scenario,
        result.run,
        result.verdict_at(step.name).value,
        step.name,
        *(step.fault.get(name) for name in FIGURES),
        *(step.ledger.get(name) for name in ("sent", "delivered", *CLASSES)),
    ]


def faults_table(result: Result) -> list[str]:
    """A line for each fault under a heading; empty if there were no faults."""
    steps = with_faults(result)
    if not steps:
        return []
    head = [title for title, _, _ in SHOWN] + list(OF_LEDGER)
    return [
        quantity.line("Fault", head),
        *(quantity.line(str(step.fault["name"]), _cells(step)) for step in steps),
    ]


def _cells(step: StepResult) -> list[str]:
    figures = [_shown(step.fault.get(name), unit) for _, name, unit in SHOWN]
    return figures + [str(step.ledger.get(name, "-")) for name in OF_LEDGER]


def _shown(value: Any, unit: str) -> str:
    if value is None:
        return "-"
    return f"{value:.1f}{unit}" if unit else str(value)
