"""What the documentation says of options and thresholds, from the code: docs/options.md, and a
table of docs/ci.md.

`python -m cdc_users.options` prints the page. Locust's own `--help` cannot: it is printed before a
locustfile is read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from cdc_users.measure.judgement.threshold import (
    METRICS,
    SERIES,
    STATISTICS,
    UNITS,
    parse_thresholds,
)
from cdc_users.measure.schedule.plan import parse_duration, parse_rate, parse_stages
from cdc_users.options import parse
from cdc_users.options.groups import NOT_IN_FORM, grouped
from cdc_users.options.ignored import LEAVE
from cdc_users.options.options import OPTIONS, Option
from cdc_users.options.proposal import ShapeDeclaration
from cdc_users.users.workload.workload import parse_mix, parse_skew

LOCUSTFILES = Path(__file__).parents[2] / "locustfiles"
HEAD = """# Options

Made by `python -m cdc_users.options > docs/options.md`. Beside these there are Locust's own
(`locust --help`), of which `--users`, `--spawn-rate` and `--run-time` have no meaning here: a run's
plan says how many lanes there are and when it ends.

Every option can also stand in a file (`--config FILE`, a line `rate = 1000`) or in the environment
(`CDC_RATE=1000`), and most of them in the web form. An option that does nothing is refused."""
#: What the readers take that do not say it themselves.
TAKES: Mapping[Any, str] = {
    parse_rate: "arrivals per second",
    parse_duration: "a time in ms, s, m or h",
    parse.durations: "times in ms, s, m or h, several by comma",
    parse_stages: "RATE:DURATION, several by comma",
    parse.late: "catch-up, drop or drop:DURATION",
    parse_mix: "weights by operation",
    parse_skew: "uniform or zipf:S",
    parse_thresholds: "METRIC < VALUE, several by semicolon",
    parse.flag: "yes or no",
    parse.factor: "a number above 1, up to 1000",
    parse.port: "0 to 65,535",
    parse.sinks: "names, several by comma",
    parse.words: "HOST:PORT, several by comma",
    parse.directory: "a path",
    parse.platform: "reference, none or a command line",
    parse.topic: "a topic",
    parse.table: "SCHEMA.TABLE",
    parse.sink_tap: "KIND:PLACE",
    parse.kinesis_endpoint: "a URL",
    parse.pubsub_endpoint: "HOST:PORT",
    str: "a name",
}


def options_page(shapes: Sequence[ShapeDeclaration]) -> str:
    """Every option by group: what it takes, its default in each scenario, what it does, and where
    it does nothing.
    """
    alone = {
        "Only on the command line": [option for option in OPTIONS if option.name in NOT_IN_FORM]
    }
    parts = [HEAD]
    for title, options in {**grouped(), **alone}.items():
        parts += [f"\n## {title}\n", *(_entry(option, shapes) for option in options)]
    return "\n".join(parts)


def _entry(option: Option, shapes: Sequence[ShapeDeclaration]) -> str:
    lines = [
        f"- **`{option.flag}`**: {takes(option)}. {_default(option, shapes)}",
        f"  {option.help}",
    ]
    idle = {
        shape.scenario.name: shape.idle[option.name]
        for shape in shapes
        if option.name in shape.idle
    }
    told = [name if remedy == LEAVE else f"{name} ({remedy})" for name, remedy in idle.items()]
    return "\n".join(lines + ([f"  Not in {', '.join(told)}."] if told else []))


def takes(option: Option) -> str:
    """What may be written for it, with its unit and bounds."""
    match option.read:
        case parse.Count(most=most, least=least):
            return f"{least:,} to {most:,}"
        case parse.Counts(most=most):
            return f"1 to {most:,}, several by comma"
        case parse.Choice(allowed=allowed):
            return f"one of {', '.join(allowed)}"
    return TAKES[option.read]


def _default(option: Option, shapes: Sequence[ShapeDeclaration]) -> str:
    own = [
        f"{shape.scenario.defaults[option.name]} in {shape.scenario.name}"
        for shape in shapes
        if shape.scenario.defaults.get(option.name, option.default) != option.default
    ]
    return f"Default: {'; '.join([option.default or 'none', *own])}."


def metric_table() -> str:
    """What a threshold can name, by unit, as Markdown."""
    rows = ["| figure | unit, the first where none is written |", "|---|---|"]
    for kind, units in UNITS.items():
        names: dict[tuple[str, ...], str] = {}
        for name, metric in METRICS.items():
            if metric.kind == kind and metric.path[0] != "latency_ms":
                names[metric.path] = min(names.get(metric.path, name), name, key=len)
        found = [f"`{name}`" for name in names.values()]
        found += [
            f"`SERIES.{name}`"
            for name in (*STATISTICS, "count")
            if METRICS[f"{SERIES[0]}.{name}"].kind == kind
        ]
        rows.append(f"| {', '.join(found)} | {', '.join(unit or 'none' for unit in units)} |")
    return "\n".join(
        [*rows, "", f"`SERIES` is one of {', '.join(f'`{name}`' for name in SERIES)}."]
    )


def scenario_shapes() -> list[Any]:
    """The shapes that the locustfiles of this checkout declare; imports Locust, which patches the
    standard library.
    """
    modules = [
        import_module(f"locustfiles.{path.stem}") for path in sorted(LOCUSTFILES.glob("[a-z]*.py"))
    ]
    found = [item for module in modules for item in vars(module).values()]
    return [item for item in found if isinstance(item, type) and "scenario" in vars(item)]
