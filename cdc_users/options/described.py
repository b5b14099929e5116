"""Turns a pipeline file into options' texts, so that a file and a command line mean the same."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cdc_users.options.options import BY_NAME
from cdc_users.pipeline.declaration import outlets
from cdc_users.pipeline.outlets import sink_tap
from infra.client.environment import ROOT
from infra.stack.error import StackConfigError
from infra.stack.pipeline_file.read import did_you_mean, read_pipeline
from infra.stack.pipeline_file.section import PipelineFile, TapSection

#: Pipelines that come with this project, by name.
SHIPPED = ROOT / "infra" / "pipelines" / "shipped"


def pipeline_path(text: str) -> Path:
    """The file that `--pipeline` names: a path, or the name of a pipeline that comes with us.

    Raises StackConfigError.
    """
    shipped = {place.stem: place for place in sorted(SHIPPED.glob("*.toml"))}
    if Path(text).is_file():
        return Path(text).absolute()
    if text in shipped:
        return shipped[text]
    known = f", or one of {', '.join(shipped)}" if shipped else ""
    raise StackConfigError(f"--pipeline {text!r} is no file; name one{known} (docs/pipeline.md)")


def option_texts(file: PipelineFile, idle: Collection[str] = ()) -> dict[str, str]:
    """The options that a file's sections stand for. Options that are `idle` in a scenario are left
    out, so that one file serves several scenarios.
    """
    command = file.platform.command if file.platform else ""
    of_sections = {
        "source": "mariadb" if file.source and file.source.kind == "mariadb" else "",
        "table": file.source.table if file.source else "",
        "capture": file.capture.kind if file.capture else "",
        "connector": file.capture.connector if file.capture else "",
        "topic": file.kafka.topic if file.kafka else "",
        "group": file.platform.group if file.platform else "",
        # A file with a tap but without a platform describes a platform that runs already.
        "platform": command or ("none" if file.tap else ""),
        "sink_tap": sink_tap_text(file.tap),
    }
    if file.runs_already:
        of_sections |= {"capture": "none", "transport": "none"}
    used = {name: text for name, text in of_sections.items() if text and name not in idle}
    return used | own_options(file.options)


def sink_tap_text(taps: Sequence[TapSection]) -> str:
    """The sections [[tap]] as `--sink-tap` has them."""
    return "".join(
        (sink_tap.BEHIND if tap.behind else sink_tap.BESIDE) * bool(number)
        + (f"{tap.name}=" if tap.name else "")
        + f"{tap.kind}:{tap.place}"
        for number, tap in enumerate(taps)
    )


def tap_variables(file: PipelineFile, path: Path) -> dict[str, str]:
    """Variables for the observer: the guard of its receiver, or the login to a server that it
    watches.
    """
    known = outlets().by_name
    return {
        name: text
        for tap in file.tap
        if tap.kind in known and known[tap.kind].prefix
        for name, text in known[tap.kind].access(tap, path).items()
    }


def own_options(given: Mapping[str, object]) -> dict[str, str]:
    """The section [options] as texts."""
    return {name: _text(value) for name, value in given.items() if name in BY_NAME}


def option_mistakes(file: PipelineFile) -> list[str]:
    """Names in [options] that are no option, or may not stand in a file."""
    found = []
    for name in file.options:
        if name == "pipeline":
            found.append("[options] pipeline would name another file; leave it out")
        elif name not in BY_NAME:
            near = did_you_mean(name, BY_NAME)
            found.append(f"[options] {name} is no option{near}; docs/options.md lists all of them")
    return found


@dataclass(frozen=True, slots=True)
class Described:
    """A pipeline file for a run: texts of options, variables for the run's processes, and every
    mistake.
    """

    texts: Mapping[str, str] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)
    mistakes: Sequence[str] = ()


def read_described(path: Path, idle: Collection[str] = ()) -> Described:
    """Read a file; its sections leave out the options that are `idle` in a scenario."""
    try:
        file = read_pipeline(path)
    except StackConfigError as error:
        return Described(mistakes=str(error).splitlines())
    mistakes = [f"pipeline {path}: {mistake}" for mistake in option_mistakes(file)]
    return Described(option_texts(file, idle), tap_variables(file, path), mistakes)


def _text(value: object) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)
