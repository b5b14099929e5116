"""Our options on Locust's command line, and the one check of everything on it.

Locust parses its command line before it forks, opens a file or listens. So all mistakes are
reported here, in one message with exit code 2, and options become a run's steps here. Later parts
use the values that were read here.
"""

from __future__ import annotations

import os
from argparse import SUPPRESS, Namespace
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any
from weakref import WeakSet

from locust.argument_parser import LocustArgumentParser

from cdc_users.error import OptionsError
from cdc_users.options.described import pipeline_path, read_described
from cdc_users.options.groups import NOT_IN_FORM, grouped
from cdc_users.options.ignored import idle_in
from cdc_users.options.options import BY_NAME, OPTIONS, read_alone
from cdc_users.options.parse import words
from cdc_users.options.proposal import Proposal, ShapeDeclaration, propose
from cdc_users.options.table.part import of_scenario
from cdc_users.options.table.record import Option
from cdc_users.pipeline.provision.allow_list import (
    fault_mistakes,
    outlet_mistakes,
    part_mistakes,
    stack_mistakes,
    stream_mistakes,
)
from cdc_users.run.locust import options as locust_options
from cdc_users.run.locust.own_port import give_forked_workers_a_port
from cdc_users.run.locust.refusal import refuse
from cdc_users.view.web import host
from infra.client.access import WEBHOOK_PREFIX, access_mistakes
from infra.client.environment import leave_out_access
from infra.stack.error import StackConfigError
from infra.stack.find.external import source
from infra.stack.pipeline_file.read import VARIABLE as PIPELINE
from infra.stack.supervise.state import CHECKOUT

#: Options with which Locust prints something and exits; nothing runs, so nothing is checked.
ONLY_PRINTS = ("list_commands", "show_task_ratio", "show_task_ratio_json")


class CommandLine:
    """The request to this process: the declared scenarios, and the run that the options make."""

    def __init__(self) -> None:
        #: The shapes that locustfiles declared, in order.
        self.shapes: list[Any] = []
        self._prepared: Proposal | None = None
        self._checked = False
        self._parsers: WeakSet[LocustArgumentParser] = WeakSet()

    def prepare(self, shape: ShapeDeclaration, source: Mapping[str, object]) -> Proposal:
        """Read the options of the next run, which will use exactly these values.

        Raises OptionsError with all mistakes.
        """
        self._prepared = None
        self._prepared = proposal = propose(shape, source)
        return proposal

    def proposal(self, shape: ShapeDeclaration, parsed: Namespace) -> Proposal:
        """The next run of a shape: the prepared one, else the one that the options make.

        Raises OptionsError with all mistakes.
        """
        prepared = self._prepared
        if prepared is None or prepared.scenario is not shape.scenario:
            return self.prepare(shape, vars(parsed))
        return prepared

    def take(self, shape: ShapeDeclaration, parsed: Namespace) -> Proposal:
        """`proposal` for the run that starts now; the next run may have other options."""
        proposal = self.proposal(shape, parsed)
        self._prepared = None
        return proposal

    def extend(self, parser: LocustArgumentParser) -> None:
        """Add our options to a parser, and have it check the values that it reads."""
        if parser in self._parsers:
            return
        self._parsers.add(parser)
        host.secure_defaults(parser)
        sole = self.shapes[0] if len(self.shapes) == 1 else None
        defaults = sole.scenario.defaults if sole is not None else {}
        idle = idle_in(sole) if sole is not None else {}
        for title, options in grouped().items():
            group = parser.add_argument_group(f"CDC: {title}")
            for option in options:
                _add(
                    group,
                    option,
                    defaults.get(option.name, option.default),
                    hidden=option.name in idle,
                )
        for title, options in grouped(self._brought()).items():
            group = parser.add_argument_group(f"CDC: {title}")
            for option in options:
                _add(group, option, defaults.get(option.name, option.default), hidden=False)
        setattr(parser, "parse_args", partial(self._parse, parser.parse_args))  # noqa: B010

    def _brought(self) -> Sequence[Option]:
        """The options that scenarios declare; several scenarios may share one by its name."""
        found = [
            option
            for shape in self.shapes
            for option in of_scenario(shape.scenario, BY_NAME).options
        ]
        return tuple({option.name: option for option in found}.values())

    def _parse(self, parse: Any, args: Sequence[str] | None = None, **known: Any) -> Namespace:
        """Read the command line; the first time, refuse it if it has any mistake.

        Locust parses it again for each page. A parse of given words is not one of the command line.
        """
        options = (*OPTIONS, *self._brought())
        known.setdefault("env_vars", _without_empty(os.environ, options))
        parsed: Namespace = parse(args, **known)
        empty = [option for option in options if _is_empty(getattr(parsed, option.name))]
        for option in options:
            # Locust converts the form's values to the types of these values.
            setattr(parsed, option.name, getattr(parsed, option.name) or "")
        give_forked_workers_a_port(parsed)
        wrong = self._describe(parsed)
        first = args is None and not self._checked
        self._checked = self._checked or first
        if first and not any(getattr(parsed, name) for name in ONLY_PRINTS):
            self._check(parsed, [*wrong, *(_needs_a_value(option) for option in empty)])
        return parsed

    def _describe(self, parsed: Namespace) -> list[str]:
        """Take from a pipeline file the options that were not given; returns the file's mistakes.

        The processes of a run find its servers by this variable.
        """
        if not parsed.pipeline:
            return []
        try:
            path = pipeline_path(parsed.pipeline)
        except StackConfigError as error:
            return [str(error)]
        os.environ[PIPELINE] = str(path)
        sole = self.shapes[0] if len(self.shapes) == 1 else None
        found = read_described(path, idle_in(sole) if sole is not None else ())
        os.environ.update(found.variables)
        for name, text in found.texts.items():
            if not getattr(parsed, name):
                setattr(parsed, name, text)
        return list(found.mistakes)

    def _check(self, parsed: Namespace, found: list[str]) -> None:
        if source(os.environ) is None:
            leave_out_access(os.environ)
        if not parsed.worker and (found := [*found, *self._mistakes(parsed)]):
            refuse(OptionsError(found))

    def _mistakes(self, parsed: Namespace) -> list[str]:
        """Every mistake that a run can have before it contacts its servers."""
        starts = locust_options.headless(parsed) or parsed.autostart
        found = []
        if len(self.shapes) > 1 and (starts or not parsed.class_picker):
            picker = "" if starts else "; or add --class-picker"
            found.append(f"{locust_options.several(self.shapes)}{picker}")
        elif starts or parsed.run_time is not None:
            found += self._run_mistakes(parsed, starts=starts)
        if not starts:
            found += _unreadable(parsed)
        found += locust_options.mistakes(parsed, self.shapes)
        found += stack_mistakes(CHECKOUT, os.environ, _allowed(parsed))
        found += access_mistakes(WEBHOOK_PREFIX, os.environ)
        return found

    def _run_mistakes(self, parsed: Namespace, *, starts: bool) -> Sequence[str]:
        """Mistakes of a run that begins by itself."""
        shape = self.shapes[0]
        if not starts:
            return ["--run-time does nothing in the web UI; its form has --duration"]
        found = locust_options.run_time(parsed, shape.scenario.name, idle_in(shape))
        try:
            made = self.prepare(shape, vars(parsed))
        except OptionsError as error:
            return [*found, *error.mistakes]
        found += locust_options.chosen_users(parsed, shape, made.user.__name__)
        pipelines = [step.pipeline for step in made.steps]
        found += part_mistakes(CHECKOUT, os.environ, pipelines)
        named = [step.fault.name for step in made.steps if step.fault is not None]
        found += fault_mistakes(CHECKOUT, os.environ, named, words(parsed.allow_fault or ""))
        found += outlet_mistakes(pipelines, _allowed(parsed), os.environ)
        return found + stream_mistakes(pipelines, _allowed(parsed))


def _add(group: Any, option: Option, default: str, *, hidden: bool) -> None:
    """Add one option; it is hidden in the help if the only scenario does not read it."""
    shown = f"{option.help} Takes {option.takes}; default: {default or 'none'}."
    action = group.add_argument(
        option.flag,
        dest=option.name,
        default=None,
        env_var=option.variable,
        metavar=option.name.upper(),
        **({"nargs": "?", "const": "yes"} if option.switch else {}),
        help=SUPPRESS if hidden else shown.replace("%", "%%"),
    )
    # A group's own method does not set what LocustArgumentParser.add_argument does.
    action.include_in_web_ui = True
    action.is_secret = action.is_required = action.is_multiple = False


def _without_empty(environ: Mapping[str, str], options: Sequence[Option]) -> dict[str, str]:
    """The environment without empty variables of ours, because CI sets empty ones for absent
    inputs.
    """
    ours = {option.variable for option in options}
    return {name: text for name, text in environ.items() if text.strip() or name not in ours}


def _is_empty(text: Any) -> bool:
    return text is not None and not str(text).strip()


def _needs_a_value(option: Option) -> str:
    return f"{option.flag} needs a value ({option.takes}); leave it out to give none"


def _allowed(parsed: Namespace) -> tuple[str, ...]:
    return words(parsed.allow_target or "")


def _unreadable(parsed: Namespace) -> list[str]:
    """Mistakes that the form cannot correct."""
    found: list[str] = []
    for name in NOT_IN_FORM:
        try:
            read_alone(name, getattr(parsed, name))
        except OptionsError as error:
            found += error.mistakes
    return found
