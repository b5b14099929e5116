"""The figures of several taps where events come out, as rows, for the report and the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from cdc_users.measure.judgement.result import Result, StepResult, TapFigures
from cdc_users.report import quantity

OF_LEDGER = ("lost", "duplicated", "reordered", "stale", "corrupt", "phantom")
HEAD = ("Tap", "Received", "e2e p50", "p95", "p99", *OF_LEDGER, "first missing at")


def tap_rows(steps: Sequence[StepResult]) -> list[tuple[str, ...]]:
    """A row for each tap of each step, with the step's name first; empty if there is one tap."""
    return [(step.name, name, *_cells(tap)) for step in steps for name, tap in step.taps.items()]


def taps_table(result: Result) -> Iterator[str]:
    """The same as lines under a heading for each step."""
    for step in result.steps:
        if step.taps:
            yield quantity.line(f"{HEAD[0]} ({step.name})", HEAD[1:])
            yield from (quantity.line(name, row) for _, name, *row in tap_rows([step]))


def _cells(tap: TapFigures) -> Iterator[str]:
    latency: Mapping[str, float | int | None] = tap["latency_ms"]
    yield quantity.count(tap["messages"])
    yield from (quantity.duration(latency.get(point)) for point in ("p50", "p95", "p99"))
    yield from (quantity.count(tap["ledger"].get(name)) for name in OF_LEDGER)
    yield ", ".join(f"{name} {count}" for name, count in tap["lost_at"].items() if count)
