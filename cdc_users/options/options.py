"""The command line, the web form and the environment, read once into a frozen value.

Every option reaches Locust as a string, because argparse would stop at the first mistake; `resolve`
reads all texts and reports all mistakes together. Locust also reads them from its configuration
file, and from environment variables (`CDC_RATE` for `--rate`).
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cdc_users.error import OptionsError
from cdc_users.options.conflict.rule import OptionValues
from cdc_users.options.table.capacity import CapacityOptions
from cdc_users.options.table.command_line import CommandLineOptions
from cdc_users.options.table.load import LoadOptions
from cdc_users.options.table.own import OwnPipelineOptions, ScenarioOptions, VerdictOptions
from cdc_users.options.table.part import of_parts, of_scenario
from cdc_users.options.table.pipeline import PipelineOptions, SinkOptions
from cdc_users.options.table.record import Option, records
from cdc_users.options.table.rows import RowOptions
from cdc_users.pipeline.declaration import plugin_mistakes
from cdc_users.scenario import OwnValue, Scenario
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

    Durations are in seconds. `own` has the values of options that sinks, transports and the
    scenario declare, by name.
    """

    own: Mapping[str, OwnValue] = field(default_factory=dict)


#: The options of the table by group; `Options` consists of these groups.
_TABLE = tuple(item for group in Options.__bases__ for item in records(group))
_BROUGHT = of_parts({item.name for item in _TABLE})
#: The options of all scenarios: those of the table, and those that sinks and transports declare.
OPTIONS: tuple[Option, ...] = (*_TABLE, *_BROUGHT.options)
BY_NAME: Mapping[str, Option] = {option.name: option for option in OPTIONS}
LOADS = ("rows", "rate", "duration", "stages")


def options_of(scenario: Scenario) -> tuple[Option, ...]:
    """All options, with those that the scenario declares."""
    return (*OPTIONS, *of_scenario(scenario, BY_NAME).options)


def given_texts(
    source: Mapping[str, object], options: Sequence[Option] = OPTIONS
) -> dict[str, str]:
    """The texts of the given options, from Locust's namespace or a form."""
    found = {option.name: str(source.get(option.name) or "").strip() for option in options}
    return {name: text for name, text in found.items() if text}


def texts(
    source: Mapping[str, object],
    defaults: Mapping[str, str],
    options: Sequence[Option] = OPTIONS,
) -> dict[str, str]:
    """The texts of all options: the given text, else the scenario's default, else the option's."""
    given = given_texts(source, options)
    fallback = {option.name: defaults.get(option.name, option.default) for option in options}
    # The scenario's default load is dropped as a whole, or a given `--rate` would contradict a
    # default `--rows`.
    if any(name in given for name in (*LOADS, "at")):
        fallback.update(dict.fromkeys(LOADS, ""))
    return fallback | given


def command_line(scenario: Scenario, argv: Sequence[str], source: Mapping[str, object]) -> str:
    """The command that repeats a run: as it was given or, for a run from the web form, one that
    does the same.

    `source` is Locust's namespace, with the form's texts in it.
    """
    if "--headless" in argv or "--autostart" in argv:
        return shlex.join(["locust", *argv])
    options = options_of(scenario)
    given = given_texts(source, options)
    flags = [
        part
        for option in options
        if option.name in given
        for part in (option.flag, given[option.name])
    ]
    file = str(source.get("locustfile", ""))
    if not file.endswith(".py") or "," in file:
        file = f"locustfiles/{scenario.name}.py"
    return shlex.join(["locust", "-f", file, "--headless", *flags])


def resolve(
    given: Mapping[str, str], known: Sequence[str] = (), options: Sequence[Option] = OPTIONS
) -> Options:
    """Read every option's text (by name); raises OptionsError with the mistakes in `known` and all
    others.
    """
    values: dict[str, Any] = {}
    mistakes = [*plugin_mistakes(), *_BROUGHT.mistakes, *known]
    for option in options:
        try:
            values[option.name] = option.value(given.get(option.name, option.default))
        except ValueError as error:
            mistakes.append(f"{option.flag}: {error}")
    contradictions = [
        mistake
        for option in options
        for rule in option.rules
        for one in _captures_apart(values)
        for mistake in rule(one)
    ]
    mistakes += dict.fromkeys(contradictions)
    if mistakes:
        raise OptionsError(mistakes)
    of_table = {option.name for option in _TABLE}
    own = {name: value for name, value in values.items() if name not in of_table}
    return Options(**{name: values[name] for name in of_table}, own=own)


def _captures_apart(values: OptionValues) -> Sequence[OptionValues]:
    """The values with one capture at a time: a rule may hold for one and not for another."""
    return [{**values, "capture": name} for name in values.get("capture", ())] or [values]


def read_alone(name: str, text: str) -> Any:
    """The value of one option, for callers that need it before all others; raises OptionsError."""
    option = BY_NAME[name]
    try:
        return option.value(text or option.default)
    except ValueError as error:
        raise OptionsError([f"{option.flag}: {error}"]) from error


def workload_of(options: Options) -> Workload:
    """The workload of every writer."""
    return Workload(
        mix=options.mix,
        skew=options.key_skew,
        live_keys=options.live_keys,
        tables=len(options.table.split(",")) if options.table else options.tables,
        row_bytes=options.row_bytes,
        insert_method=options.insert_method,
        seed=options.seed,
    )
