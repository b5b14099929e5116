"""What a terminal shows of results: the consolidated table, the verdict and its reasons."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cdc_users.measure.judgement.result import Result, StepResult, Verdict
from cdc_users.measure.judgement.scaling import Point, surface
from cdc_users.pipeline.declaration import sinks
from cdc_users.report.capacity import physics, search_table, sentence
from cdc_users.report.faults import faults_table

TITLE = "CONSOLIDATED BENCHMARK RESULTS"


@dataclass(frozen=True, slots=True)
class TableColumn:
    """One column of the table; an INVALID run's `figure`s are not to be used, and are shown as
    such.
    """

    title: str
    width: int
    read: Callable[[StepResult], str]
    figure: bool = True


def _latency_of(name: str, series: str = "end_to_end") -> Callable[[StepResult], str]:
    return lambda step: _ms(step.latency_ms.get(series, {}).get(name))


def _throughput(step: StepResult) -> str:
    if step.drain_rate_per_s is not None:
        return f"{step.drain_rate_per_s:.0f}/s drain"
    return "-" if step.throughput_per_s is None else f"{step.throughput_per_s:.0f}/s"


def _lost(step: StepResult) -> str:
    return (
        str(step.ledger.get("lost", "-")) if step.ledger.get("fences") == "complete" else "unseen"
    )


#: As in the specification, ours to their right.
COLUMNS = (
    TableColumn("Test", 35, lambda step: step.name, figure=False),
    TableColumn("Msgs", 8, lambda step: "-" if step.messages is None else str(step.messages)),
    TableColumn("Duration", 10, lambda step: f"{step.duration_s:.2f}s"),
    TableColumn("Throughput", 14, _throughput),
    TableColumn("Bytes/s", 12, lambda step: _bytes(step.bytes_per_s)),
    TableColumn("e2e p50", 11, _latency_of("p50")),
    TableColumn("p95", 11, _latency_of("p95")),
    TableColumn("p99", 11, _latency_of("p99")),
    TableColumn("Lost", 6, _lost, figure=False),
    TableColumn("Dup", 6, lambda step: str(step.ledger.get("duplicated", "-")), figure=False),
)
#: Shown only where a step has any.
WHERE_ANY = (
    # A tap that looks now and then sees an event somewhat after it came.
    TableColumn("late by", 10, lambda step: _bound(step, "late"), figure=False),
    TableColumn("clocks +-", 10, lambda step: _bound(step, "clock"), figure=False),
    TableColumn("Failed", 8, lambda step: str(step.arrivals.failed), figure=False),
    TableColumn("Dropped", 8, lambda step: str(step.arrivals.dropped), figure=False),
    # In a burst every arrival but the first few is late by its nature.
    TableColumn(
        "Late", 8, lambda step: str(step.arrivals.late if step.mode == "paced" else 0), figure=False
    ),
)
#: How long a sink takes to write; shown where a sink does something.
WRITES = (
    TableColumn("write p50", 11, _latency_of("p50", "sink_write")),
    TableColumn("w. p95", 11, _latency_of("p95", "sink_write")),
    TableColumn("w. p99", 11, _latency_of("p99", "sink_write")),
)
VERDICT_WIDTH = 8


def _real(sink: object) -> bool:
    """Whether this is a sink that somebody uses; one that this installation does not know is."""
    declared = sinks().by_name.get(str(sink))
    return bool(sink) and (declared is None or declared.real)


def columns(steps: Sequence[StepResult]) -> list[TableColumn]:
    """The table's columns for these steps."""
    writes = WRITES if any(_real(step.pipeline.get("sink")) for step in steps) else ()
    others = [column for column in WHERE_ANY if any(column.read(step) != "0" for step in steps)]
    return [*COLUMNS[:-2], *writes, *COLUMNS[-2:], *others]


def usable(verdict: Verdict) -> bool:
    """Whether a run's numbers may be used."""
    return verdict in (Verdict.PASS, Verdict.FAIL)


class BenchmarkReport:
    """Collects steps of one or more runs and prints them as one table."""

    def __init__(self) -> None:
        self._rows: list[tuple[StepResult, Verdict]] = []

    def add(self, result: Result) -> None:
        """Add every step of a run."""
        self._rows += [(step, result.verdict) for step in result.steps]

    def table(self) -> str:
        """The table. An INVALID run's numbers are in brackets."""
        shown = columns([step for step, _ in self._rows])
        widths = [column.width for column in shown] + [VERDICT_WIDTH]
        head = _line([column.title for column in shown] + ["Verdict"], widths)
        body = [
            _line([*_cells(step, verdict, shown), verdict.value], widths)
            for step, verdict in self._rows
        ]
        return "\n".join([TITLE, head, " ".join("-" * width for width in widths), *body])


def _cells(step: StepResult, verdict: Verdict, shown: Sequence[TableColumn]) -> list[str]:
    texts = [(column, column.read(step)) for column in shown]
    return [
        f"[{text}]" if column.figure and not usable(verdict) and text != "-" else text
        for column, text in texts
    ]


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    first = f"{cells[0]:<{widths[0]}}"
    return " ".join(
        [first, *(f"{cell:>{width}}" for cell, width in zip(cells[1:], widths[1:], strict=True))]
    ).rstrip()


def _ms(value: float | int | None) -> str:
    return "-" if value is None else f"{value:.1f}ms"


def _bound(step: StepResult, name: str) -> str:
    """How far a step's end-to-end latency may be off; 0 where it is not."""
    bound_ms = step.latency_ms.get("end_to_end", {}).get(name)
    return f"<={bound_ms:.1f}ms" if bound_ms else "0"


def _bytes(value: float | None) -> str:
    return "-" if value is None else f"{value / 1e6:.2f}MB/s"


def line(step: StepResult) -> Mapping[str, object]:
    """One step as the fields of the event `benchmark.result`."""
    latency = step.latency_ms.get("end_to_end", {})
    return {
        "test": step.name,
        "messages": step.messages,
        "duration_s": step.duration_s,
        "throughput_per_s": step.throughput_per_s,
        "drain_rate_per_s": step.drain_rate_per_s,
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
    end = [
        *(
            [surface([Point(**point) for point in result.scaling["points"]]), ""]
            if result.scaling
            else []
        ),
        *([*faults_table(result), ""] if faults_table(result) else []),
        *(
            [
                search_table(result.capacity),
                "",
                sentence(result.capacity),
                *physics(result.capacity),
                "",
            ]
            if result.capacity
            else []
        ),
        f"verdict: {result.verdict.value}",
        *reasons,
        *notes,
        f"results: {place}",
        f"report:  {place / 'report.html'}",
    ]
    return "\n".join(["", report.table(), "", *end])
