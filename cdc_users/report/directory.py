"""The result directory: written once, at the end, so a directory with a result.json is complete."""

from __future__ import annotations

import csv
import glob
import json
import os
import platform
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from html import escape
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psutil
from msgspec import to_builtins

from cdc_users.error import ResultError
from cdc_users.measure.judgement.result import Result
from cdc_users.measure.latency.heat_map import HeatMap
from cdc_users.measure.latency.recorder import Recorder
from cdc_users.measure.ledger.ledger import Audit
from cdc_users.options.options import Options
from cdc_users.pipeline.samples import COLUMNS
from cdc_users.pipeline.telemetry import StepSnapshot
from cdc_users.report import csv as statistic
from cdc_users.report.file import write_whole
from cdc_users.step.result import as_json
from cdc_users.step.state import Facts, StepState
from cdc_users.step.timeline_row import TimelineRow
from infra.client.environment import for_server, in_effect

PACKAGES = (
    "locust",
    "gevent",
    "confluent-kafka",
    "fastavro",
    "psycopg2-binary",
    "numpy",
    "hdrhistogram",
)

#: With this limit a checkout on a disk that does not answer cannot block a result.
REVISION_S = 10.0
LINK = (
    '\n<p style="margin: 8px 24px; font-family: sans-serif"><a href="{address}">CDC report of this'
    " run</a></p>"
)


def directory(root: Path, scenario: str, run: str, now: datetime) -> Path:
    """A new directory for a run's results; raises ResultError if it cannot be made."""
    place = root / f"{now.astimezone(UTC):%Y%m%dT%H%M%SZ}-{scenario}-{run}"
    try:
        place.mkdir(parents=True)
        (place / "logs").mkdir()
    except OSError as error:
        raise ResultError(
            f"results cannot be written to {root}: {error.strerror}; name another place with"
            " --results"
        ) from error
    return place


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Turn a failed write into a ResultError that names the file and the cause."""
    try:
        yield
    except OSError as error:
        raise ResultError(
            f"{path} cannot be written: {error.strerror}; make room there or name another place,"
            " and run again"
        ) from error


def write_json(path: Path, data: Mapping[str, object]) -> None:
    """Write it whole or not at all; raises ResultError."""
    with _writing(path):
        write_whole(path, json.dumps(data, indent=2, default=str) + "\n")


def timeline(moments: Sequence[TimelineRow]) -> str:
    """One row a second, as CSV."""
    return statistic.timeline_csv(moments, [item.name for item in fields(TimelineRow)])


def write_timeline(path: Path, moments: Sequence[TimelineRow]) -> None:
    """One row a second."""
    with _writing(path):
        path.write_text(timeline(moments), encoding="utf-8")


def write_heat(path: Path, heat: HeatMap) -> None:
    """Write how latencies were spread over time, if there were any."""
    if heat.columns:
        write_json(path, heat.to_json())


def write_beside(csv_prefix: str | None, result: Result, moments: Sequence[TimelineRow]) -> None:
    """The CDC statistics and timeline beside Locust's own files, where `--csv PREFIX` asks for
    them.
    """
    if csv_prefix:
        with _writing(Path(f"{csv_prefix}_cdc_stats.csv")):
            statistic.write_beside(csv_prefix, statistic.statistics_csv(result), timeline(moments))


def write_samples(path: Path, rows: Sequence[Mapping[str, object]]) -> None:
    """The raw samples of the platform and the gauges, ten a second."""
    with _writing(path), path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)


def write_histograms(place: Path, step: str, recorder: Recorder) -> None:
    """Each series' percentile distribution, for HdrHistogram's plotters."""
    for name, histogram in recorder.series.items():
        if histogram.count:
            path = place / f"{step}.{name}.hgrm"
            with _writing(path):
                path.write_text(histogram.hgrm(), encoding="utf-8")


def write_gathered(place: Path, states: Sequence[StepState], facts: Facts) -> None:
    """Write the plan as carried out, each tap's audit, and every series of each step."""
    write_json(place / "plan.json", {"steps": [_plan(state) for state in states]})
    write_json(
        place / "audit.json", {"taps": _by_tap(facts.audits), "final": to_builtins(facts.finals)}
    )
    for state in states:
        if state.number in facts.audits and not facts.smoke:
            write_histograms(place, state.step.name, state.recorder())
            for name, figures in facts.taps.get(state.number, {}).items():
                if figures is not None:
                    write_histograms(place, f"{state.step.name}.{name}", figures.recorder)
            write_histograms(
                place, state.step.name, facts.sink.get(state.number, StepSnapshot()).recorder
            )


def _plan(state: StepState) -> dict[str, object]:
    step = state.step
    return {
        "number": state.number,
        "name": step.name,
        "mode": step.mode,
        "schedule": step.schedule.to_json(),
        "pipeline": as_json(step.pipeline),
        "lanes": step.lanes,
        "rows_per_arrival": step.rows_per_arrival,
        "t0_us": state.t0_us,
        "loaded_us": state.loaded_us,
    }


def _by_tap(audits: Mapping[int, Mapping[str, Audit]]) -> dict[str, dict[str, object]]:
    """Each tap's audit of each step."""
    taps: dict[str, dict[str, object]] = {}
    for number, found in audits.items():
        for name, audit in found.items():
            taps.setdefault(name, {})[str(number)] = asdict(audit)
    return taps


def plain(options: Options) -> dict[str, object]:
    """The options as JSON values."""
    values = as_json(options)
    return {
        name: list(value) if isinstance(value, tuple) else _word(value)
        for name, value in values.items()
    }


def _word(value: Any) -> Any:
    return value if isinstance(value, (int, float, str, type(None))) else str(value)


@dataclass(frozen=True, slots=True)
class RunTime:
    """When a run began, how long it took, and how busy the machine was at its begin."""

    began: datetime
    took_s: float
    load_average: float


def when(time: RunTime) -> dict[str, object]:
    """When and where, as environment.json has it."""
    return {
        "began": f"{time.began.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC",
        "took_s": round(time.took_s, 1),
        "host": socket.gethostname(),
        "load_average": {
            "begin": round(time.load_average, 2),
            "end": round(os.getloadavg()[0], 2),
        },
    }


def environment(versions: Mapping[str, str], options: Mapping[str, object]) -> dict[str, object]:
    """Everything that the numbers depend on: machine, kernel, versions, revision, options.

    Of the environment's variables that clients obey, only the names.
    """
    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
        "kernel": platform.platform(),
        "python": platform.python_version(),
        "packages": {name: version(name) for name in PACKAGES},
        "servers": dict(versions),
        "revision": _revision(),
        "options": dict(options),
        "variables": in_effect(os.environ),
    }


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next(
        (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")),
        platform.processor(),
    )


def _revision() -> str | None:
    command = [
        "git",
        "-C",
        str(Path(__file__).parent),
        "describe",
        "--always",
        "--dirty",
        "--abbrev=12",
    ]
    try:
        done = subprocess.run(
            command,
            env=for_server(os.environ),  # GIT_DIR would name another repository; no secrets for git
            capture_output=True,
            text=True,
            check=False,
            timeout=REVISION_S,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None


def write_result(place: Path, result: Result) -> None:
    """Add a link to our report, in the result directory, to Locust's own HTML report."""
    write_json(place / "result.json", result.to_json())


def link_report(html: str, place: Path) -> None:
    """Have Locust's own HTML report lead to ours, which lies in the result directory.

    Without room for the link the report stays as Locust has written it.
    """
    path = Path(html)
    if not path.is_file():
        return
    address = quote(os.path.relpath(place.resolve() / "report.html", path.resolve().parent))
    link = LINK.format(address=escape(address))
    text = path.read_text(encoding="utf-8").replace("<body>", f"<body>{link}", 1)
    try:
        write_whole(path, text)
    except OSError as error:
        print(f"{path} gets no link to the CDC report: {error.strerror}", file=sys.stderr)


def copy_locust_files(place: Path, csv_prefix: str | None, html: str | None) -> None:
    """Copy Locust's own files from where the user asked for them; ours are in the directory
    already.

    Called at the exit, so a file that cannot be copied is a line of text and no error.
    """
    sources = [Path(html)] if html else []
    if csv_prefix:
        prefix = Path(csv_prefix)
        sources += [
            path
            for path in sorted(prefix.parent.glob(f"{glob.escape(prefix.name)}_*.csv"))
            if not path.name.startswith(f"{prefix.name}_cdc_")
        ]
    for source in sources:
        copied = place / f"locust-{source.name}"
        if not source.is_file():
            continue
        try:
            shutil.copy2(source, copied)
        except OSError as error:
            with suppress(OSError):  # a part of a file would look like the whole
                copied.unlink(missing_ok=True)
            print(f"{source} cannot be copied to {place}: {error.strerror}", file=sys.stderr)
