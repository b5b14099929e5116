"""The pages about options and thresholds, made from the code: docs/options.md, and a table of
docs/ci.md.

`python -m cdc_users.options` prints the page. Locust's own `--help` cannot, because it is printed
before a locustfile is read.
locustfile is read.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from cdc_users.measure.judgement.threshold import (
    METRICS,
    SERIES,
    STATISTICS,
    UNITS,
)
from cdc_users.options.groups import grouped
from cdc_users.options.ignored import idle_in
from cdc_users.options.proposal import ShapeDeclaration
from cdc_users.options.table.record import LEAVE, Option

LOCUSTFILES = Path(__file__).parents[2] / "locustfiles"
#: The widest line of a page.
COLUMNS = 110
HEAD = """# Options

Made by `python -m cdc_users.options > docs/options.md`. Beside these there are Locust's own
(`locust --help`; `locust -f FILE --help` shows those of a scenario as well). Of Locust's,
`--users`, `--spawn-rate` and `--host` have no meaning here and are refused: a run's plan says how
many lanes there are and when it ends. `--run-time` is the `--duration` of a `--rate` that has none.
Numbers may be written as 10k, 1.5M, 1e6 or 1_000.

Every option can also stand in a file (`--config FILE`, a line `rate = 1000`) or in the environment
(`CDC_RATE=1000`), and most of them in the web form. An option that does nothing is refused, and so
is an empty one."""


def options_page(shapes: Sequence[ShapeDeclaration]) -> str:
    """Every option by group: what it takes, its default in each scenario, its meaning, and where it
    has no effect.
    """
    parts = [HEAD]
    for title, options in grouped().items():
        parts += [f"\n## {title}\n", *(_entry(option, shapes) for option in options)]
    return "\n".join(parts)


def _entry(option: Option, shapes: Sequence[ShapeDeclaration]) -> str:
    lines = [
        f"- **`{option.flag}`**: {option.takes}. {_default(option, shapes)}",
        f"  {option.help}",
    ]
    idle = {
        shape.scenario.name: remedy
        for shape in shapes
        if (remedy := idle_in(shape).get(option.name))
    }
    left_out = [name if remedy == LEAVE else f"{name} ({remedy})" for name, remedy in idle.items()]
    if left_out:
        lines.append(f"  Not in {', '.join(left_out)}.")
    if option.kept_from_form:
        lines.append(f"  Not in the web form: {option.kept_from_form}.")
    return "\n".join(lines)


def _default(option: Option, shapes: Sequence[ShapeDeclaration]) -> str:
    own = [
        f"{shape.scenario.defaults[option.name]} in {shape.scenario.name}"
        for shape in shapes
        if shape.scenario.defaults.get(option.name, option.default) != option.default
    ]
    return f"Default: {'; '.join([option.default or 'none', *own])}."


def metric_table() -> str:
    """The figures that a threshold can name, by unit, as Markdown."""
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
    one_of = f"`SERIES` is one of {', '.join(f'`{name}`' for name in SERIES)}."
    return "\n".join([*rows, "", textwrap.fill(one_of, COLUMNS)])


def scenario_shapes() -> list[Any]:
    """The shapes that the locustfiles of this checkout declare; imports Locust, which patches the
    standard library.
    """
    modules = [
        import_module(f"locustfiles.{path.stem}") for path in sorted(LOCUSTFILES.glob("[a-z]*.py"))
    ]
    found = [item for module in modules for item in vars(module).values()]
    return [item for item in found if isinstance(item, type) and "scenario" in vars(item)]
