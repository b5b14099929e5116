"""The options for the command line alone; each record says why the web form may not set it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from cdc_users.options import fault_load, parse
from cdc_users.options.conflict import pipeline as conflict
from cdc_users.options.table.record import FAULTS, option

_HOW_THE_PAGE_IS_SERVED = "it decides how the page itself is served"


@dataclass(frozen=True)
class CommandLineOptions:
    """Options that a person with access to the page alone must not set."""

    TITLE: ClassVar = "Only on the command line"

    pipeline: str = option(
        str,
        "A pipeline of your own in one file (docs/pipeline.md), or the name of one that comes with"
        " this project; other options override the file.",
        unset="",
        takes="a path, or a name",
        kept_from_form="it names servers",
    )
    platform: str = option(
        parse.platform,
        "reference, none (your own runs already), or a command line that takes the reference's"
        " options.",
        default="reference",
        takes="reference, none or a command line",
        kept_from_form="it runs a command",
        rules=(conflict.the_reader_is_the_platform,),
    )
    results: Path = option(
        parse.directory,
        "Where result directories go.",
        default="results",
        takes="a path",
        kept_from_form="it names a place to write to",
    )
    capacity: float | None = option(
        fault_load.measured_capacity,
        "Faults: what --at is a share of: events per second, or the result.json of a run of the"
        " scenario capacity with this pipeline.",
        unset=None,
        takes="a rate, or a path that ends with .json",
        kept_from_form="it names a file to read",
        only_in=(FAULTS,),
    )
    allow_target: tuple[str, ...] = option(
        parse.targets,
        "HOST:PORT outside loopback that may be loaded, named exactly; several by comma.",
        unset=(),
        takes="HOST:PORT, several by comma",
        kept_from_form="it permits another host to be loaded",
    )
    allow_fault: tuple[str, ...] = option(
        parse.words,
        "HOST:PORT outside loopback that faults may be done to, named exactly; several by comma.",
        unset=(),
        takes="HOST:PORT, several by comma",
        kept_from_form="it permits another host to be disturbed",
        only_in=(FAULTS,),
    )
    quiet: bool = option(
        parse.flag,
        "yes prints no progress, only the table, the verdict and what is wrong.",
        default="no",
        takes=parse.YES_OR_NO,
        kept_from_form="the terminal is open already",
    )
    metrics_port: int | None = option(
        parse.port,
        "Headless runs serve Prometheus metrics on 127.0.0.1 at this port.",
        unset=None,
        takes="0 to 65,535",
        kept_from_form=_HOW_THE_PAGE_IS_SERVED,
    )
    web_names: tuple[str, ...] = option(
        parse.words,
        "Names under which browsers may reach the web UI, besides addresses, localhost and"
        " this machine's name.",
        unset=(),
        takes="names, by comma",
        kept_from_form=_HOW_THE_PAGE_IS_SERVED,
    )
    allow_web_host: bool = option(
        parse.flag,
        "yes lets the web UI listen outside loopback without a login.",
        default="no",
        takes=parse.YES_OR_NO,
        kept_from_form=_HOW_THE_PAGE_IS_SERVED,
    )
