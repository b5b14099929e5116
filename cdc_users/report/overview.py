"""The overview of several runs, which `make bench` prints and writes (bench.html, bench.csv,
bench.json).
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from cdc_users.measure.judgement.result import Result, Verdict, verdict_of
from cdc_users.report import csv as statistic
from cdc_users.report import html as page
from cdc_users.report.answer import answer
from cdc_users.report.remake import read
from cdc_users.report.table import BenchmarkReport, ReportRow, TableColumn

FILES = ("bench.html", "bench.csv", "bench.json")


@dataclass(frozen=True, slots=True)
class FoundRun:
    """One run of a module: its result, and the name of its directory."""

    result: Result
    place: str

    @property
    def report(self) -> str:
        """The path of its report, relative to the overview."""
        return f"./{quote(self.place)}/report.html"

    @property
    def answer(self) -> str:
        """Its answer."""
        return answer(self.result)


@dataclass(frozen=True, slots=True)
class ModuleRuns:
    """The runs of one module, and its exit code."""

    name: str
    exit_code: int
    runs: Sequence[FoundRun]
    left_out: Sequence[str]

    @property
    def verdict(self) -> Verdict:
        """The worst verdict of its runs, by the exit code."""
        return verdict_of(self.exit_code)


def module_of(
    name: str, exit_code: int, places: Sequence[Path], left_out: Sequence[str]
) -> ModuleRuns:
    """Read the result directories of one module."""
    runs = [FoundRun(read(place), place.name) for place in places]
    notes = [
        note for run in runs for note in run.result.notes if "left out" in note or "skipped" in note
    ]
    return ModuleRuns(name, exit_code, runs, [*left_out, *dict.fromkeys(notes)])


@dataclass(frozen=True, slots=True)
class Overview:
    """All modules of one `make bench`."""

    exit_code: int
    modules: Sequence[ModuleRuns]
    #: When and where the runs were, as pairs of name and text.
    facts: Sequence[tuple[str, str]] = ()

    @property
    def verdict(self) -> Verdict:
        """The worst verdict of all modules."""
        return verdict_of(self.exit_code)

    @property
    def results(self) -> list[Result]:
        """Every run's result."""
        return [run.result for module in self.modules for run in module.runs]

    def report(self) -> BenchmarkReport:
        """All steps in one table."""
        made = BenchmarkReport()
        for result in self.results:
            made.add(result)
        return made

    def lines(self) -> tuple[list[TableColumn], list[ReportRow]]:
        """The table's columns and rows."""
        return self.report().lines()

    def to_json(self) -> dict[str, object]:
        """bench.json."""
        return {
            "schema": 1,
            "exit_code": self.exit_code,
            "modules": [
                {
                    "module": module.name,
                    "exit_code": module.exit_code,
                    "results": [run.place for run in module.runs],
                    "left_out": list(module.left_out),
                }
                for module in self.modules
            ],
        }

    def csv(self) -> str:
        """bench.csv: the statistics of all runs below one head."""
        return statistic.statistics_of_all(self.results)


def facts_of(places: Sequence[Path]) -> list[tuple[str, str]]:
    """When and where the first of these runs was."""
    first = min(places, key=lambda place: place.name, default=None)
    if first is None:
        return []
    return [
        (name, value) for name, value in page.facts_of_run(first) if name not in ("took", "results")
    ]


def html(overview: Overview) -> str:
    """bench.html."""
    columns, rows = overview.lines()
    return (
        page.environment()
        .get_template("bench.html")
        .render(
            overview=overview,
            columns=columns,
            rows=rows,
            styles=page.styles(),
            facts=overview.facts,
        )
    )


def text(overview: Overview, results: Path, width: int) -> str:
    """The end of the output: the table, what was left out, the files, and each module's verdict."""
    left_out = [
        line
        for module in overview.modules
        for reason in module.left_out
        for line in textwrap.wrap(
            f"left out: {module.name}: {reason}", width, subsequent_indent="  "
        )
    ]
    longest = max((len(module.name) for module in overview.modules), default=0)
    verdicts = [
        f"{module.name:<{longest}}  {module.verdict.value}{'' if module.runs else ' (no result)'}"
        for module in overview.modules
    ]
    return "\n".join(
        [
            overview.report().table(width),
            "",
            *left_out,
            *(f"{Path(name).suffix[1:].upper():<5} {results / name}" for name in FILES),
            "",
            *verdicts,
            f"verdict: {overview.verdict.value}",
        ]
    )
