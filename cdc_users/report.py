"""From results to what people read: the consolidated table, the verdict and its reasons.

`python -m cdc_users.report RESULT_DIR...` prints them again, and makes statistics.csv and report.html anew, from the
files of the directory alone.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cdc_users import page, statistic
from cdc_users.error import ResultError
from cdc_users.measure.ledger import CLASSES
from cdc_users.measure.result import SCHEMA, Result, StepResult, Verdict
from cdc_users.measure.scaling import Point, surface

TITLE = "CONSOLIDATED BENCHMARK RESULTS"
#: What the audit may find wrong with an event.
AUDITED = tuple(name for name in CLASSES if name != "unseen")


@dataclass(frozen=True, slots=True)
class Column:
    """One column of the table; an INVALID run's `figure`s are not to be used, and are shown as such."""

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
    return str(step.ledger.get("lost", "-")) if step.ledger.get("fences") == "complete" else "unseen"


#: As in the specification, ours to their right.
COLUMNS = (
    Column("Test", 35, lambda step: step.name, figure=False),
    Column("Msgs", 8, lambda step: "-" if step.messages is None else str(step.messages)),
    Column("Duration", 10, lambda step: f"{step.duration_s:.2f}s"),
    Column("Throughput", 14, _throughput),
    Column("Bytes/s", 12, lambda step: _bytes(step.bytes_per_s)),
    Column("e2e p50", 11, _latency_of("p50")),
    Column("p95", 11, _latency_of("p95")),
    Column("p99", 11, _latency_of("p99")),
    Column("Lost", 6, _lost, figure=False),
    Column("Dup", 6, lambda step: str(step.ledger.get("duplicated", "-")), figure=False),
)
#: Shown only where a step has any.
WHERE_ANY = (
    Column("Failed", 8, lambda step: str(step.arrivals.failed), figure=False),
    Column("Dropped", 8, lambda step: str(step.arrivals.dropped), figure=False),
    # In a burst every arrival but the first few is late by its nature.
    Column("Late", 8, lambda step: str(step.arrivals.late if step.mode == "paced" else 0), figure=False),
)
#: How long a sink takes to write; shown where a sink does something.
WRITES = (
    Column("write p50", 11, _latency_of("p50", "sink_write")),
    Column("w. p95", 11, _latency_of("p95", "sink_write")),
    Column("w. p99", 11, _latency_of("p99", "sink_write")),
)
REAL_SINKS = ("webhook", "postgres", "iceberg")
VERDICT_WIDTH = 8


def columns(steps: Sequence[StepResult]) -> list[Column]:
    """The table's columns for these steps."""
    writes = WRITES if any(step.pipeline.get("sink") in REAL_SINKS for step in steps) else ()
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
        body = [_line([*_cells(step, verdict, shown), verdict.value], widths) for step, verdict in self._rows]
        return "\n".join([TITLE, head, " ".join("-" * width for width in widths), *body])


def _cells(step: StepResult, verdict: Verdict, shown: Sequence[Column]) -> list[str]:
    texts = [(column, column.read(step)) for column in shown]
    return [f"[{text}]" if column.figure and not usable(verdict) and text != "-" else text for column, text in texts]


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    first = f"{cells[0]:<{widths[0]}}"
    return " ".join([first, *(f"{cell:>{width}}" for cell, width in zip(cells[1:], widths[1:], strict=True))]).rstrip()


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
        *([surface([Point(**point) for point in result.scaling["points"]]), ""] if result.scaling else []),
        f"verdict: {result.verdict.value}",
        *reasons,
        *notes,
        f"results: {place}",
        f"report:  {place / 'report.html'}",
    ]
    return "\n".join(["", report.table(), "", *end])


def answer(result: Result) -> str:
    """The run's answer in one sentence, or that there is none; why stands in its reasons."""
    if result.verdict is Verdict.INVALID:
        return "This run answers nothing: its numbers may not be used."
    if result.verdict not in (Verdict.PASS, Verdict.FAIL) or not result.steps:
        return "This run did not come to an answer."
    judged = [step for step in result.steps if not step.warm_up] or result.steps
    step = max(judged, key=lambda step: step.messages or 0)
    moved = _scaled(result.scaling["points"]) if result.scaling and result.scaling["points"] else _moved(step)
    return f"{moved}{_latency(step)}{_bounded(step)}; {_audited(result)}."


def _scaled(points: Sequence[Mapping[str, Any]]) -> str:
    best = max(points, key=lambda point: point["rate_per_s"])
    return (
        f"{_many(best['partitions'], 'partition')} and {_many(best['instances'], 'instance')} "
        f"drained {best['rate_per_s']:,.0f}/s into the {best['sink']} sink, "
        f"{best['speed_up']:.2f} times the first configuration"
    )


def _many(count: int, thing: str) -> str:
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"


def _bounded(step: StepResult) -> str:
    """How far the platform filled up under more load than its sink could take."""
    share, growth = step.pressure.get("queue_high_water_share"), step.pressure.get("memory_growth_mb")
    if step.pressure.get("time_to_drain_s") is None or share is None:
        return ""
    grew = f" and grew by {growth:,.1f} MB" if growth is not None else ""
    return f", while the platform held at most {share:.0%} of its bound{grew}"


def _moved(step: StepResult) -> str:
    if step.messages is None:
        return f"What {step.name} brought to the sink was compared as it stands there in the end"
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
    """A result directory's result; raises ResultError where there is none that this version can read."""
    path = place / "result.json"
    try:
        return Result.from_json(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise ResultError(f"{place} holds no result.json; name the directory of a run that has ended") from None
    except OSError as error:
        raise ResultError(f"{path} cannot be read: {error.strerror}") from error
    except json.JSONDecodeError as error:
        raise ResultError(f"{path} is not JSON ({error}); run the scenario again") from error
    except ValueError as error:
        raise ResultError(f"{path}: {error}") from error
    except (KeyError, TypeError, AttributeError) as error:
        raise ResultError(f"{path} is not a result of schema {SCHEMA}: {error!r}; run the scenario again") from error


def write(place: Path, result: Result) -> Path:
    """Make the statistics and report.html from a result and the files beside it; returns the report's path."""
    try:
        (place / "statistics.csv").write_text(statistic.statistics_csv(result), encoding="utf-8")
        shown = columns(result.steps)
        rows = [[column.read(step) for column in shown] for step in result.steps]
        return page.write(place, result, page.Digest(answer(result), usable(result.verdict), shown, rows))
    except OSError as error:
        raise ResultError(f"the report cannot be written to {place}: {error.strerror}") from error


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(
        prog="python -m cdc_users.report",
        description="Print the tables of runs that have ended, and make their report.html and statistics.csv anew.",
        epilog="for example: python -m cdc_users.report results/*/",
    )
    top.add_argument("place", metavar="DIR", nargs="+", type=Path, help="a run's directory: the one with result.json")
    return top


def main(arguments: Sequence[str]) -> int:
    """Print the reports of result directories, and make their files anew."""
    try:
        for place in parser().parse_args(arguments).place:
            result = read(place)
            write(place, result)
            print(render(result, place))
    except ResultError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
