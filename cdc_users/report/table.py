"""A run's results on the terminal: the consolidated table, the verdict and its reasons."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cdc_users.measure.judgement.result import Result, StepResult, Verdict
from cdc_users.measure.judgement.scaling import Point, surface
from cdc_users.pipeline.declaration import sinks
from cdc_users.report import quantity
from cdc_users.report.capacity import sections
from cdc_users.report.faults import faults_table
from cdc_users.report.taps import taps_table

TITLE = "CONSOLIDATED BENCHMARK RESULTS"


@dataclass(frozen=True, slots=True)
class TableColumn:
    """One column of the table; the `figure`s of an INVALID run are marked as unusable. `short` is
    the cell's name in a line without a head.
    """

    title: str
    read: Callable[[StepResult], str]
    figure: bool = True
    short: str = ""


def _latency_of(name: str, series: str = "end_to_end") -> Callable[[StepResult], str]:
    return lambda step: quantity.duration(step.latency_ms.get(series, {}).get(name))


def _throughput(step: StepResult) -> str:
    if step.drain_rate_per_s is not None:
        return f"{quantity.per_second(step.drain_rate_per_s)} drain"
    return quantity.per_second(step.throughput_per_s)


def _counted(step: StepResult, name: str) -> str:
    found = step.ledger.get(name)
    return quantity.count(found) if isinstance(found, int) else quantity.UNKNOWN


def _lost(step: StepResult) -> str:
    return _counted(step, "lost") if step.ledger.get("fences") == "complete" else "unseen"


#: The specification's columns, and ours to their right.
COLUMNS = (
    TableColumn("Test", lambda step: step.name, figure=False),
    TableColumn("Msgs", lambda step: quantity.count(step.messages), short="msgs"),
    TableColumn("Duration", lambda step: quantity.duration(step.duration_s * 1000), short="in"),
    TableColumn("Throughput", _throughput),
    TableColumn("Bytes/s", lambda step: quantity.byte_rate(step.bytes_per_s)),
    TableColumn("e2e p50", _latency_of("p50"), short="p50"),
    TableColumn("p95", _latency_of("p95"), short="p95"),
    TableColumn("p99", _latency_of("p99"), short="p99"),
    TableColumn("Lost", _lost, figure=False, short="lost"),
    TableColumn("Dup", lambda step: _counted(step, "duplicated"), figure=False, short="dup"),
)
#: Shown only if a step has such a value.
WHERE_ANY = (
    # A tap that looks at intervals sees an event somewhat after it came.
    TableColumn("seen +-", lambda step: _bound(step, "late"), figure=False, short="seen +-"),
    TableColumn("clocks +-", lambda step: _bound(step, "clock"), figure=False, short="clocks +-"),
    TableColumn(
        "Failed", lambda step: quantity.count(step.arrivals.failed), figure=False, short="failed"
    ),
    TableColumn(
        "Dropped", lambda step: quantity.count(step.arrivals.dropped), figure=False, short="dropped"
    ),
    # In a burst every arrival but the first few is late, by design.
    TableColumn(
        "Late",
        lambda step: quantity.count(step.arrivals.late if step.mode == "paced" else 0),
        figure=False,
        short="late",
    ),
)
#: How long a sink takes to write; shown for sinks whose writes take time.
WRITES = (
    TableColumn("write p50", _latency_of("p50", "sink_write"), short="write p50"),
    TableColumn("w. p95", _latency_of("p95", "sink_write"), short="w. p95"),
    TableColumn("w. p99", _latency_of("p99", "sink_write"), short="w. p99"),
)
WARM_UP = "warm-up"
GLUE = "\N{NO-BREAK SPACE}"
#: The width if nothing says how wide the output is.
USUAL_WIDTH = 120
#: The most lines for reasons; the report has the others, so that the verdict stays on the screen.
MOST_ROWS = 16


def terminal_width() -> int:
    """The terminal's width in columns, otherwise the width for logs."""
    return shutil.get_terminal_size((USUAL_WIDTH, 0)).columns


def _real(sink: object) -> bool:
    """Whether the sink is meant for use and not only for measuring; unknown sinks count as real."""
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
        self._rows: list[tuple[StepResult, Result]] = []

    def add(self, result: Result) -> None:
        """Add every step of a run."""
        self._rows += [(step, result) for step in result.steps]

    def lines(self) -> tuple[list[TableColumn], list[ReportRow]]:
        """The columns, and a row for each step with a name of its own."""
        shown = columns([step for step, _ in self._rows])
        names = distinct_names(self._rows)
        return shown, [
            ReportRow(
                (name, *(column.read(step) for column in shown[1:])),
                WARM_UP if step.warm_up else result.verdict_at(step.name).value,
                usable(result.verdict),
            )
            for name, (step, result) in zip(names, self._rows, strict=True)
        ]

    def table(self, width: int = USUAL_WIDTH) -> str:
        """The table, folded if it is wider than `width`. The numbers of an INVALID run are in
        brackets.
        """
        shown, rows = self.lines()
        cells = [
            [column.title for column in shown] + ["Verdict"],
            *([*_bracketed(row, shown), row.verdict] for row in rows),
        ]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        if sum(widths) + len(widths) - 1 > width:
            return "\n".join([TITLE, *_folded(rows, shown, width)])
        head, *body = (_line(line, widths) for line in cells)
        return "\n".join([TITLE, head, " ".join("-" * width for width in widths), *body])


@dataclass(frozen=True, slots=True)
class ReportRow:
    """One step's cells, its verdict, and whether its figures may be used."""

    cells: tuple[str, ...]
    verdict: str
    usable: bool


def _bracketed(row: ReportRow, shown: Sequence[TableColumn]) -> list[str]:
    return [
        f"[{text}]" if column.figure and not row.usable and text != quantity.UNKNOWN else text
        for column, text in zip(shown, row.cells, strict=True)
    ]


def _folded(rows: Sequence[ReportRow], shown: Sequence[TableColumn], width: int) -> Iterator[str]:
    """Each step in lines of its own: its name and verdict, and its known figures below."""
    for row in rows:
        name, *cells = _bracketed(row, shown)
        yield f"{name} {row.verdict:>{max(0, width - len(name) - 1)}}"
        known = [
            f"{column.short} {text}".strip()
            for column, text in zip(shown[1:], cells, strict=True)
            if text != quantity.UNKNOWN
        ]
        # A figure and its unit stay on one line.
        text = " · ".join(part.replace(" ", GLUE) for part in known)
        for folded in textwrap.wrap(text, width, initial_indent="  ", subsequent_indent="  "):
            yield folded.replace(GLUE, " ")


def distinct_names(rows: Sequence[tuple[StepResult, Result]]) -> list[str]:
    """A name for each row: the step's, with a distinction from other rows of that name."""
    groups: dict[str, list[tuple[StepResult, Result]]] = {}
    for step, result in rows:
        groups.setdefault(step.name, []).append((step, result))
    return [_name(step, result, groups[step.name]) for step, result in rows]


def _name(step: StepResult, result: Result, same: Sequence[tuple[StepResult, Result]]) -> str:
    if len(same) == 1:
        return step.name
    differing = [
        key
        for key, value in step.pipeline.items()
        if any(other.pipeline.get(key) != value for other, _ in same)
    ]
    settings = ", ".join(str(step.pipeline[key]) for key in differing)
    alike = [
        other
        for other, _ in same
        if all(other.pipeline.get(key) == step.pipeline[key] for key in differing)
    ]
    if len(alike) > 1:
        settings = ", ".join(filter(None, (settings, f"run {result.run}")))
    return f"{step.name} ({settings})"


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    first = f"{cells[0]:<{widths[0]}}"
    return " ".join(
        [first, *(f"{cell:>{width}}" for cell, width in zip(cells[1:], widths[1:], strict=True))]
    ).rstrip()


def _bound(step: StepResult, name: str) -> str:
    """How far a step's end-to-end latency may be off; 0 if it is exact."""
    bound_ms = step.latency_ms.get("end_to_end", {}).get(name)
    return f"<={quantity.duration(bound_ms)}" if bound_ms else "0"


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


def render(result: Result, place: Path, width: int = USUAL_WIDTH) -> str:
    """The output at the end of a run; the verdict comes last, so that it stays on the screen."""
    report = BenchmarkReport()
    report.add(result)
    notes = [f"note: {note}" for note in result.notes]
    return "\n".join(
        [
            "",
            report.table(width),
            "",
            *_sections(result),
            *notes,
            f"results: {place}",
            f"report:  {place / 'report.html'}",
            *concluding(result, width),
        ]
    )


def concluding(result: Result, width: int) -> list[str]:
    """The verdict with as many of its reasons as fit on a small screen."""
    lines, rows = [f"verdict: {result.verdict.value}"], 0
    for reason in result.reasons:
        rows += -(-(len(reason) + 2) // width)
        if rows > MOST_ROWS and len(lines) > 1:
            return [*lines, "  and more: see the report"]
        lines.append(f"  {reason}")
    return lines


def _sections(result: Result) -> Iterator[str]:
    """A scenario's further sections behind the table, each followed by a blank line."""
    if result.scaling:
        yield from (surface([Point(**point) for point in result.scaling["points"]]), "")
    if any(step.taps for step in result.steps):
        yield from (*taps_table(result), "")
    if faults := faults_table(result):
        yield from (*faults, "")
    yield from sections(result)
