"""The command line, the web form and the environment, read once into a frozen value.

Every option reaches Locust as a string, because argparse would stop at the first bad one;
`resolve` reads them all and reports all mistakes together. Locust also takes them from its
configuration file, and from environment variables (`CDC_RATE` for `--rate`).
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cdc_users.error import OptionsError
from cdc_users.options.table.capacity import CapacityOptions
from cdc_users.options.table.command_line import CommandLineOptions
from cdc_users.options.table.load import LoadOptions
from cdc_users.options.table.own import OwnPipelineOptions, ScenarioOptions, VerdictOptions
from cdc_users.options.table.pipeline import PipelineOptions, SinkOptions
from cdc_users.options.table.record import Option, records
from cdc_users.options.table.rows import RowOptions
from cdc_users.pipeline.declaration import plugin_mistakes
from cdc_users.users.workload.workload import Workload


@dataclass(frozen=True)
class Options(
    LoadOptions,
    RowOptions,
    PipelineOptions,
    SinkOptions,
    ScenarioOptions,
    CapacityOptions,
    VerdictOptions,
    OwnPipelineOptions,
    CommandLineOptions,
):
    """One run's settings, validated: the groups of cdc_users.options.table together.

    Durations are in seconds.
    """


#: All options, group by group; the groups are those of which `Options` is made.
OPTIONS: tuple[Option, ...] = tuple(item for group in Options.__bases__ for item in records(group))
BY_NAME: Mapping[str, Option] = {option.name: option for option in OPTIONS}
LOADS = ("rows", "rate", "duration", "stages")


def given_texts(source: Mapping[str, object]) -> dict[str, str]:
    """The texts of the options that were given, out of Locust's namespace or a form."""
    found = {option.name: str(source.get(option.name) or "").strip() for option in OPTIONS}
    return {name: text for name, text in found.items() if text}


def texts(source: Mapping[str, object], defaults: Mapping[str, str]) -> dict[str, str]:
    """The texts of all options: what was given, else the scenario's default, else ours."""
    given = given_texts(source)
    fallback = {option.name: defaults.get(option.name, option.default) for option in OPTIONS}
    # The scenario's default load gives way as a whole, or `--rate` would contradict a default
    # `--rows`.
    if any(name in given for name in (*LOADS, "at")):
        fallback.update(dict.fromkeys(LOADS, ""))
    return fallback | given


def command_line(scenario: str, argv: Sequence[str], source: Mapping[str, object]) -> str:
    """The command that repeats a run: as it was given, or, for one started from the web form, what
    would do the same.

    `source` is Locust's namespace, with the form's texts in it.
    """
    if "--headless" in argv or "--autostart" in argv:
        return shlex.join(["locust", *argv])
    given = given_texts(source)
    flags = [
        part
        for option in OPTIONS
        if option.name in given
        for part in (option.flag, given[option.name])
    ]
    file = str(source.get("locustfile", ""))
    if not file.endswith(".py") or "," in file:
        file = f"locustfiles/{scenario}.py"
    return shlex.join(["locust", "-f", file, "--headless", *flags])


def resolve(given: Mapping[str, str], known: Sequence[str] = ()) -> Options:
    """Read every option's text (by name); raises OptionsError with all mistakes, those `known`
    before first.
    """
    values: dict[str, Any] = {}
    mistakes = [*plugin_mistakes(), *known]
    for option in OPTIONS:
        try:
            values[option.name] = option.value(given.get(option.name, option.default))
        except ValueError as error:
            mistakes.append(f"{option.flag}: {error}")
    told = [
        mistake
        for option in OPTIONS
        for rule in option.rules
        for one in _captures_apart(values)
        for mistake in rule(one)
    ]
    mistakes += dict.fromkeys(told)
    if mistakes:
        raise OptionsError(mistakes)
    return Options(**values)


def _captures_apart(values: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """The values with each of their captures: what holds for one need not hold for another."""
    return [{**values, "capture": name} for name in values.get("capture", ())] or [values]


def read_alone(name: str, text: str) -> Any:
    """What one option's text says, for what is needed before all are read; raises OptionsError."""
    option = BY_NAME[name]
    try:
        return option.value(text or option.default)
    except ValueError as error:
        raise OptionsError([f"{option.flag}: {error}"]) from error


def workload_of(options: Options) -> Workload:
    """What every writer writes."""
    return Workload(
        mix=options.mix,
        skew=options.key_skew,
        live_keys=options.live_keys,
        tables=len(options.table.split(",")) if options.table else options.tables,
        row_bytes=options.row_bytes,
        insert_method=options.insert_method,
        seed=options.seed,
    )
