"""Locust's start form with our options: grouped, explained, and checked before a run starts."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypedDict

from cdc_users.error import OptionsError
from cdc_users.options.groups import NOT_IN_FORM, form_groups
from cdc_users.options.ignored import idle_in
from cdc_users.options.options import OPTIONS
from cdc_users.options.proposal import Proposal, ShapeDeclaration, propose
from cdc_users.options.table.record import VOLUME, Option, flag_of
from cdc_users.scenario import Step

#: The scenarios at the start of an option's help; the form shows only options that its scenario
#: reads.
SCOPE = re.compile(r"^[A-Z][a-z]+(?:, [a-z]+)*: (?=\w)")
#: Locust's description of one field of its form (`locust.argument_parser.ui_extra_args_dict`).
LocustField = dict[str, Any]
#: Reads a form as a run; raises OptionsError.
FormReader = Callable[[ShapeDeclaration, Mapping[str, object]], Proposal]
#: Options that Locust's view stores from its own fields, with those fields (it stores "user_count"
#: as "num_users").
STORED_BY_LOCUST = frozenset(
    {"host", "run_time", "profile", "user_classes", "num_users", "spawn_rate"}
)
LOCUST_FIELDS = (STORED_BY_LOCUST - {"num_users"}) | {"user_count", "shape_class"}


@dataclass(frozen=True, slots=True)
class FormCheck:
    """The result of a check: every mistake, or the run that would start."""

    mistakes: Sequence[str] = ()
    proposal: Proposal | None = None

    @property
    def message(self) -> str:
        """All mistakes as one line, for Locust's own error box."""
        return " · ".join(self.mistakes)


class FieldText(TypedDict):
    """One of our options for the page."""

    name: str
    flag: str
    label: str
    help: str
    default: str
    takes: str
    switch: bool
    several: list[str]


class FieldGroup(TypedDict):
    """Options that stand together in the form."""

    title: str
    fields: list[FieldText]


class ScenarioText(TypedDict):
    """A scenario for the page, with the options that it reads."""

    name: str
    question: str
    defaults: dict[str, str]
    reads: list[str]
    foremost: list[str]


class FormDescription(TypedDict):
    """Everything that the page's script needs to group and explain fields, and to present
    scenarios.
    """

    groups: list[FieldGroup]
    scenarios: dict[str, ScenarioText]
    preselected: str


class StepPreview(TypedDict):
    """A step that would run."""

    name: str
    mode: str
    arrivals: int
    events: int
    duration_s: float
    lanes: int
    partitions: int
    sink: str
    warm_up: bool


class PlanPreview(TypedDict):
    """A check's result for the page's script."""

    mistakes: list[str]
    steps: list[StepPreview]
    #: A sentence about steps that are not certain yet; empty if all are.
    follows: str
    skipped: list[str]


def check(shape: ShapeDeclaration, given: Mapping[str, object], read: FormReader) -> FormCheck:
    """Read the form as a run would; contacts no server."""
    try:
        return FormCheck(proposal=read(shape, given))
    except OptionsError as error:
        return FormCheck(error.mistakes)


def preview(shape: ShapeDeclaration, given: Mapping[str, object]) -> FormCheck:
    """Read the form to show the run; quick, however large the run is."""
    return check(shape, given, partial(propose, by_chance=False))


def with_users(checked: FormCheck, picked: Sequence[str]) -> FormCheck:
    """The check, refused if user classes were picked and the one that writes is not among them."""
    made = checked.proposal
    if made is None or not picked or made.user.__name__ in picked:
        return checked
    return FormCheck(
        [
            f"the scenario {made.scenario.name} writes with {made.user.__name__}; pick that user"
            " class as well"
        ]
    )


def shown(locusts: Mapping[str, LocustField]) -> frozenset[str]:
    """The options that the form shows: ours except those of the command line, and those of the
    user's locustfile.
    """
    return frozenset(name for name in locusts if name not in NOT_IN_FORM)


def forbidden(
    given: Mapping[str, str], frozen: Mapping[str, object], settable: frozenset[str]
) -> list[str]:
    """The flags of the command line that a request tries to change."""
    return [
        flag_of(name)
        for name in dict.fromkeys(given)
        if name in frozen
        and name not in settable
        and given[name] != ("" if frozen[name] is None else frozen[name])
    ]


def fields(locusts: Mapping[str, LocustField]) -> dict[str, LocustField]:
    """Locust's description of its form fields in our order: choices as lists, help under the
    field, no secrets.
    """
    ours = {option.name: option for options in form_groups().values() for option in options}
    described = {name: _field(ours[name], dict(locusts[name])) for name in ours if name in locusts}
    others = {
        name: _guarded(dict(field))
        for name, field in locusts.items()
        if name not in ours | dict.fromkeys(NOT_IN_FORM)
    }
    return {**described, **others}


def _field(option: Option, field: LocustField) -> LocustField:
    # The page writes the help under the field: in the label it would be cut off.
    field["help_text"] = ""
    if option.choices:
        field["choices"] = ["", *option.choices]
    return _guarded(field)


def _guarded(field: LocustField) -> LocustField:
    if field.get("is_secret"):
        field["default_value"] = ""
    return field


def secrets(locusts: Mapping[str, LocustField]) -> list[str]:
    """The names of options whose values the page must not get."""
    return [name for name, field in locusts.items() if field.get("is_secret")]


def description(shapes: Mapping[str, ShapeDeclaration]) -> FormDescription:
    """Everything that the page's script needs to group and explain fields, and to present
    scenarios.
    """
    by_name = sorted(shapes.items(), key=lambda item: item[1].scenario.name)
    return {
        "groups": [
            {
                "title": title,
                "fields": [_described(option) for option in options],
            }
            for title, options in form_groups().items()
        ],
        "scenarios": {name: _scenario(shape) for name, shape in by_name},
        "preselected": next((name for name, shape in by_name if shape.kind == VOLUME), ""),
    }


def _described(option: Option) -> FieldText:
    return {
        "name": option.name,
        "flag": option.flag,
        "label": option.flag.lstrip("-").replace("-", " ").capitalize(),
        "help": _unscoped(option.help),
        "default": option.default,
        "takes": option.takes,
        "switch": option.switch,
        "several": list(option.several),
    }


def _unscoped(text: str) -> str:
    """An option's help without the scenarios that read it."""
    bare = SCOPE.sub("", text)
    return bare[:1].upper() + bare[1:]


def _scenario(shape: ShapeDeclaration) -> ScenarioText:
    withheld = {**idle_in(shape), **NOT_IN_FORM}
    return {
        "name": shape.scenario.name,
        "question": shape.scenario.question,
        "defaults": dict(shape.scenario.defaults),
        "reads": [option.name for option in OPTIONS if option.name not in withheld],
        "foremost": list(shape.foremost),
    }


def plan(checked: FormCheck) -> PlanPreview:
    """A check's result as plain data, for the page."""
    made = checked.proposal
    return {
        "mistakes": list(checked.mistakes),
        "steps": [_step(step) for step in made.steps] if made else [],
        "follows": _follows(made) if made else "",
        "skipped": list(made.skipped) if made else [],
    }


def _follows(made: Proposal) -> str:
    minutes = made.course.undecided_s / 60
    return f"more probes until the answer is known, {minutes:g} minutes at most" if minutes else ""


def _step(step: Step) -> StepPreview:
    schedule = step.schedule
    return {
        "name": step.name,
        "mode": step.mode,
        "arrivals": schedule.count,
        "events": schedule.count * step.rows_per_arrival,
        "duration_s": schedule.duration_s,
        "lanes": step.lanes,
        "partitions": step.pipeline.partitions,
        "sink": step.pipeline.sink,
        "warm_up": step.warm_up,
    }
