"""From results to what people read: the consolidated table, the verdict and its reasons.

`python -m cdc_users.report RESULT_DIR...` makes it anew from result.json alone.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cdc_users.measure.result import Result, StepResult, Verdict

TITLE = "CONSOLIDATED BENCHMARK RESULTS"
HEAD = ("Test", "Msgs", "Duration", "Throughput", "Bytes/s", "e2e p50", "p95", "p99", "Lost", "Dup", "Verdict")
#: What the audit may find wrong with an event.
AUDITED = ("lost", "duplicated", "reordered", "stale", "torn", "corrupt", "phantom", "unknown")
WIDTHS = (35, 8, 10, 14, 12, 11, 11, 11, 6, 6, 8)


class BenchmarkReport:
    """Collects steps of one or more runs and prints them as one table."""

    def __init__(self) -> None:
        self._rows: list[tuple[str, ...]] = []

    def add(self, result: Result) -> None:
        """Add every step of a run."""
        self._rows += [row(step, result.verdict) for step in result.steps]

    def table(self) -> str:
        """The table; columns as in the specification, ours to their right. An INVALID run's numbers are in brackets."""
        lines = [TITLE, _line(HEAD), " ".join("-" * width for width in WIDTHS)]
        return "\n".join([*lines, *map(_line, self._rows)])


def _line(cells: Sequence[str]) -> str:
    first, *rest = (
        f"{cells[0]:<{WIDTHS[0]}}",
        *(f"{cell:>{width}}" for cell, width in zip(cells[1:], WIDTHS[1:], strict=True)),
    )
    return " ".join([first, *rest]).rstrip()


def row(step: StepResult, verdict: Verdict) -> tuple[str, ...]:
    """One step as the table's cells."""
    latency = step.latency_ms.get("end_to_end", {})
    unusable = verdict not in (Verdict.PASS, Verdict.FAIL)

    def cell(text: str) -> str:
        return f"[{text}]" if unusable and text != "-" else text

    return (
        step.name,
        cell(str(step.messages)),
        cell(f"{step.duration_s:.2f}s"),
        cell(f"{step.throughput_per_s:.0f}/s" if step.throughput_per_s is not None else "-"),
        cell(_bytes(step.bytes_per_s)),
        *(cell(_ms(latency.get(name))) for name in ("p50", "p95", "p99")),
        str(step.ledger.get("lost", "-")) if step.ledger.get("fences") == "complete" else "unseen",
        str(step.ledger.get("duplicated", "-")),
        verdict.value,
    )


def _ms(value: float | int | None) -> str:
    return "-" if value is None else f"{value:.1f}ms"


def _bytes(value: float | None) -> str:
    return "-" if value is None else f"{value / 1e6:.2f}MB/s"


def line(step: StepResult) -> Mapping[str, Any]:
    """One step as the fields of the event `benchmark.result`."""
    latency = step.latency_ms.get("end_to_end", {})
    return {
        "test": step.name,
        "messages": step.messages,
        "duration_s": step.duration_s,
        "throughput_per_s": step.throughput_per_s,
        "p50_ms": latency.get("p50"),
        "p99_ms": latency.get("p99"),
        **{name: step.ledger.get(name) for name in ("sent", "lost", "duplicated")},
    }


def render(result: Result, place: Path) -> str:
    """What a run prints at its end."""
    report = BenchmarkReport()
    report.add(result)
    reasons = [f"  {reason}" for reason in result.reasons]
    notes = [f"  note: {note}" for note in result.notes]
    end = [f"verdict: {result.verdict.value}", *reasons, *notes, f"results: {place}"]
    return "\n".join(["", report.table(), "", *end])


def answer(result: Result) -> str:
    """The run's answer in one sentence, or that there is none; why stands in its reasons."""
    if result.verdict is Verdict.INVALID:
        return "This run answers nothing: its numbers may not be used."
    if result.verdict not in (Verdict.PASS, Verdict.FAIL) or not result.steps:
        return "This run did not come to an answer."
    step = max(result.steps, key=lambda step: step.messages)
    return f"{_moved(step)}{_latency(step)}; {_audited(result)}."


def _moved(step: StepResult) -> str:
    if step.throughput_per_s is None and step.drain_rate_per_s is None:
        return f"{step.messages:,} events of {step.name} came to the sink (a smoke run, which publishes no figure)"
    if step.drain_rate_per_s is not None:
        return f"{step.messages:,} waiting events were drained at {step.drain_rate_per_s:,.0f}/s ({step.name})"
    return (
        f"{step.messages:,} events came to the sink in {step.duration_s:,.2f} s, "
        f"{step.throughput_per_s:,.0f}/s ({step.name})"
    )


def _latency(step: StepResult) -> str:
    latency = step.latency_ms.get("end_to_end", {})
    known = [(name, latency.get(name)) for name in ("p50", "p99") if latency.get(name) is not None]
    return "".join(f", {name} {value:,.1f} ms" for name, value in known) + (" end to end" if known else "")


def _audited(result: Result) -> str:
    if any(step.ledger.get("fences") != "complete" for step in result.steps):
        return "what is missing is unseen, not lost, because the fences did not arrive"
    counts = {name: sum(int(step.ledger.get(name) or 0) for step in result.steps) for name in AUDITED}
    wrong = [f"{count:,} {name}" for name, count in counts.items() if count]
    return ", ".join(wrong) if wrong else "none was lost, doubled or reordered"


def read(place: Path) -> Result:
    """A result directory's result; raises ValueError for another schema, OSError where there is none."""
    return Result.from_json(json.loads((place / "result.json").read_text(encoding="utf-8")))


def main(arguments: Sequence[str]) -> int:
    """Print the reports of result directories."""
    if not arguments:
        print("usage: python -m cdc_users.report RESULT_DIR...", file=sys.stderr)
        return 2
    try:
        for argument in arguments:
            print(render(read(Path(argument)), Path(argument)))
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
