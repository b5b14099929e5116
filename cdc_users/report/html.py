"""report.html: one self-contained file, made from a result directory alone.

The template escapes every text. The charts' data is JSON that cannot end its script element. The
module that draws the charts is the CDC tab's.
"""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict, cast

from jinja2 import Environment, FileSystemLoader

from cdc_users.measure.judgement.result import Result
from cdc_users.measure.latency import series
from cdc_users.measure.latency.histogram import BEYOND
from cdc_users.report import chart, quantity, taps
from cdc_users.report.file import write_whole
from cdc_users.report.table import TableColumn
from cdc_users.step.timeline_row import TimelineValue

WEB = Path(__file__).parents[1] / "view" / "web"
STYLES = ("uplot/uPlot.min.css", "chart.css", "report.css")
SCRIPTS = ("uplot/uPlot.iife.min.js", "element.js", "chart.js", "pipeline.js", "report.js")
#: The most rows of the timeline in a report; for a longer run one row in several is kept.
MOST_ROWS = 3000
#: The percentile plot's points: decades of 1 / (1 - p), up to p99.99.
DECADES = 4
POINTS_PER_DECADE = 40
MOST_EXAMPLES = 50
SERIES = series.JUDGED

#: The platform's inner figures: keys of a step's `pressure`, and their headings.
PRESSURES = (
    ("queue_high_water", "most events held"),
    ("queue_high_water_share", "of the bound"),
    ("memory_growth_mb", "memory growth MB"),
    ("memory_slope_mb_per_million", "MB per million events"),
    ("sink_busy_share", "sink busy"),
    ("backlog_at_end", "backlog at the load's end"),
    ("time_to_drain_s", "time to drain s"),
    ("drain_rate_per_s", "drain rate /s"),
    ("servers_waited_share", "servers waited for a processor"),
    ("platform_waited_share", "platform waited"),
    ("harness_waited_share", "harness waited"),
    ("others_share", "of the machine used by others"),
)


#: The cost of each process: keys of a step's `cost`, and their headings.
COSTS = (
    ("cpu_cores", "cores"),
    ("rss_mb", "resident MB"),
    ("uss_mb", "unique MB"),
    ("written_mb_per_s", "written MB/s"),
)


@dataclass(frozen=True, slots=True)
class Digest:
    """The report's summary: the answer, whether the numbers may be used, and the table's cells."""

    answer: str
    usable: bool
    columns: Sequence[TableColumn]
    rows: Sequence[Sequence[str]]


def write(place: Path, result: Result, digest: Digest) -> Path:
    """Write report.html; returns its path. Raises OSError."""
    path = place / "report.html"
    write_whole(path, render(place, result, digest))
    return path


def render(place: Path, result: Result, digest: Digest) -> str:
    """The page as text."""
    template = environment().get_template("report.html")
    return template.render(
        result=result,
        digest=digest,
        facts=facts_of_run(place),
        machine=_json(place / "environment.json"),
        findings=findings(
            cast(AuditFile, _json(place / "audit.json")), [step.name for step in result.steps]
        ),
        files=files(place),
        pressures=PRESSURES,
        pressed=[
            step
            for step in result.steps
            if any(step.pressure.get(key) is not None for key, _ in PRESSURES)
        ],
        tap_head=("step", *taps.HEAD),
        tap_rows=taps.tap_rows(result.steps),
        costs=COSTS,
        costed=[step for step in result.steps if step.cost],
        data=data(place, result),
        styles=styles(),
        scripts=[_asset(name) for name in SCRIPTS],
    )


def environment() -> Environment:
    """The templates; every text in them is escaped."""
    return Environment(loader=FileSystemLoader(WEB / "templates"), autoescape=True)


def styles() -> list[str]:
    """The style sheets of a page that stands alone."""
    return [_asset(name) for name in STYLES]


def _asset(name: str) -> str:
    return (WEB / "static" / name).read_text(encoding="utf-8")


def facts_of_run(place: Path) -> list[tuple[str, str]]:
    """When, for how long and where the run was measured."""
    machine = _json(place / "environment.json")
    load = machine.get("load_average") or {}
    took_s = machine.get("took_s")
    return [
        ("date", str(machine.get("began") or _date_of(place.name))),
        ("took", "" if took_s is None else quantity.duration(took_s * 1000)),
        ("host", _host(machine)),
        ("revision", str(machine.get("revision") or "")),
        ("machine's load", " to ".join(f"{value:.2f}" for value in load.values())),
        ("results", place.name),
    ]


def _date_of(name: str) -> str:
    """The time in a result directory's name, in readable form."""
    found = re.match(r"(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z-", name)
    return "{}-{}-{} {}:{}:{} UTC".format(*found.groups()) if found else ""


def _host(machine: Mapping[str, object]) -> str:
    parts = [machine.get("host"), f"{machine['cores']} cores" if machine.get("cores") else None]
    return ", ".join(str(part) for part in parts if part)


#: The files beside a report by purpose; each group is known by the ends of its names.
FILE_GROUPS = (
    ("The result", ("result.json", "audit.json", "plan.json", "environment.json")),
    ("Tables", (".csv",)),
    ("Percentile distributions", (".hgrm",)),
    ("Other files", ("",)),
)


def files(place: Path) -> list[tuple[str, list[str]]]:
    """The files beside the report by group, with result.json, which a run writes only after the
    report.
    """
    found = {
        path.name for path in place.iterdir() if path.is_file() and not path.name.startswith(".")
    }
    left = sorted((found | {"result.json"}) - {"report.html"})
    groups = []
    for title, ends in FILE_GROUPS:
        mine = [name for name in left if name.endswith(ends)]
        left = [name for name in left if name not in mine]
        groups.append((title, mine))
    return [(title, names) for title, names in groups if names]


def data(place: Path, result: Result) -> dict[str, object]:
    """The data of the charts."""
    names = [step.name for step in result.steps]
    return {
        "scenario": result.scenario,
        "timeline": timeline(place / "timeline.csv"),
        "split": [
            {
                "name": step.name,
                "values": {name: step.latency_ms[name].get("mean") for name in step.latency_ms},
            }
            for step in result.steps
        ],
        "percentiles": [
            {"step": name, "series": found}
            for name in names
            if (found := distributions(place, name))
        ],
        "series": series.charted(),
        "charts": chart.over_time(),
        "heat": _json(place / "latency_heat.json"),
        "heat_chart": chart.HEAT,
        "figures": chart.of_result(result),
    }


def timeline(path: Path) -> dict[str, list[TimelineValue]]:
    """The seconds as columns; empty if there are none."""
    if not path.is_file():
        return {}
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    rows = rows[:: max(1, math.ceil(len(rows) / MOST_ROWS))]
    return {name: [_value(row[name]) for row in rows] for name in (rows[0] if rows else {})}


def _value(cell: str) -> float | str | None:
    try:
        return float(cell) if cell else None
    except ValueError:
        return cell


def distributions(place: Path, step: str) -> dict[str, list[float | None]]:
    """Each series' value at the plot's points; None if fewer than ten samples lie beyond."""
    found = {name: place / f"{step}.{name}.hgrm" for name in SERIES}
    return {
        name: spread(path.read_text(encoding="utf-8"))
        for name, path in found.items()
        if path.is_file()
    }


def spread(hgrm: str) -> list[float | None]:
    """A percentile distribution in HdrHistogram's text format, at evenly spaced points of log 1 /
    (1 - p).
    """
    rows = [
        (float(cells[0]), int(cells[2]))
        for line in hgrm.splitlines()
        if len(cells := line.split()) == 4 and cells[2].isdigit()
    ]
    total = rows[-1][1] if rows else 0
    values: list[float | None] = []
    row = 0
    for point in range(DECADES * POINTS_PER_DECADE + 1):
        beyond = total * 10 ** (-point / POINTS_PER_DECADE)
        while row < len(rows) - 1 and rows[row][1] < total - beyond - 1e-9:
            row += 1
        values.append(rows[row][0] if beyond >= BEYOND else None)
    return values


class AuditedStep(TypedDict, total=False):
    """The parts of a step in audit.json that the report shows."""

    examples: Sequence[Mapping[str, object]]


class AuditFile(TypedDict, total=False):
    """The parts of audit.json that the report shows: each tap's steps, by their numbers as text."""

    taps: Mapping[str, Mapping[str, AuditedStep]]


def findings(audit: AuditFile, names: Sequence[str]) -> list[dict[str, object]]:
    """The audit's located examples as rows, the first of each tap and step."""
    return [
        {"tap": tap, "step": _step_name(number, names), **_example(example)}
        for tap, steps in audit.get("taps", {}).items()
        for number, step in steps.items()
        for example in step.get("examples", ())[:MOST_EXAMPLES]
    ]


def _example(example: Mapping[str, object]) -> dict[str, object]:
    known = ("finding", "writer", "sequence", "key", "partition", "position")
    return {name: example.get(name, "") for name in known}


def _step_name(number: str, names: Sequence[str]) -> str:
    index = int(number) - 1 if number.isdigit() else -1
    return names[index] if 0 <= index < len(names) else number


def _json(path: Path) -> dict[str, Any]:
    """A file of the directory; empty if it is missing, because a report shows what there is."""
    read: Callable[[str], dict[str, Any]] = json.loads
    return read(path.read_text(encoding="utf-8")) if path.is_file() else {}
