"""Checks the options of a scenario: the result is either all mistakes, or the steps of a run.

Command line and web form use the same check. Pure; touches no server.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from cdc_users.error import OptionsError
from cdc_users.measure.schedule.plan import PlanError
from cdc_users.options.ignored import idle_in, unread, unused
from cdc_users.options.options import (
    BY_NAME,
    Options,
    given_texts,
    options_of,
    resolve,
    texts,
)
from cdc_users.options.parse import MOST_STEPS
from cdc_users.options.table.load import MOST_ROWS
from cdc_users.options.table.part import of_scenario
from cdc_users.pipeline.declaration import sinks, transports
from cdc_users.pipeline.outlets.sink_tap import sink_taps
from cdc_users.scenario import Course, Scenario, Step, checked


class ShapeDeclaration(Protocol):
    """What a proposal needs of a shape (cdc_users.shapes.base.ScenarioShape)."""

    scenario: Scenario
    kind: str
    reads: Collection[str]
    idle: Mapping[str, str]
    foremost: tuple[str, ...]

    def steps(self, options: Options, /) -> Sequence[Step]:
        """The steps of the run."""

    def course(self, options: Options, steps: Sequence[Step], /) -> Course:
        """The course that takes these steps, and any that follow from them."""

    def skipped(self, options: Options, /) -> Sequence[str]:
        """Parts of the question that the run leaves out, each with the reason."""

    def user(self, options: Options, /) -> type:
        """The user class that generates the load."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """A run that could be started: its scenario, options and steps, the parts that it leaves out,
    and the user class of its load.
    """

    scenario: Scenario
    options: Options
    steps: Sequence[Step]
    course: Course
    skipped: Sequence[str]
    user: type


def _options(shape: ShapeDeclaration, given: Mapping[str, str]) -> Options:
    """The given options over the scenario's defaults; raises OptionsError with all mistakes."""
    idle = idle_in(shape)
    known = options_of(shape.scenario)
    mistakes = [*of_scenario(shape.scenario, BY_NAME).mistakes]
    mistakes += unread(shape.scenario.name, idle, given)
    # Options without effect are left out of the other rules, or each would be reported twice.
    read = {name: text for name, text in given.items() if name not in idle}
    defaults = {**_own_table(shape), **shape.scenario.defaults}
    return resolve(texts(read, defaults, known), mistakes, known)


def _own_table(shape: ShapeDeclaration) -> Mapping[str, str]:
    """The table of the locustfile's user class, if it names one."""
    table = getattr(getattr(shape, "writer", None), "table", "")
    return {"table": table} if table else {}


def propose(
    shape: ShapeDeclaration, source: Mapping[str, object], *, by_chance: bool = True
) -> Proposal:
    """The run of these options; raises OptionsError with all mistakes.

    Without `by_chance` a Poisson process is replaced by evenly spaced arrivals, which are made at
    once. That suffices to show a plan; a run must never use it.
    """
    given = given_texts(source, options_of(shape.scenario))
    options = _options(shape, given)
    if not by_chance:
        options = replace(options, arrival="constant")
    user = shape.user(options)
    try:
        steps = shape.steps(options)
    except PlanError as error:
        raise OptionsError([str(error)]) from error
    if not steps:
        raise OptionsError(["these options make no step; name a load, e.g. --rows 1000"])
    refuse_too_many(len(steps))
    steps = checked(steps)
    if mistakes := [*unused(given, steps), *_too_many_rows(steps), *_not_installed(steps)]:
        raise OptionsError(mistakes)
    course = shape.course(options, steps)
    return Proposal(shape.scenario, options, steps, course, shape.skipped(options), user)


def refuse_too_many(steps: int) -> None:
    """Raise OptionsError for more steps than a run can have. Shapes that multiply their options
    call this before they make the steps.
    """
    if steps > MOST_STEPS:
        raise OptionsError(
            [
                f"these options make {steps:,} steps; ask for at most {MOST_STEPS} in each"
                " of several runs"
            ]
        )


def _not_installed(steps: Sequence[Step]) -> list[str]:
    """The packages that this installation lacks for sinks, transports and taps of the steps."""
    used = [
        pair
        for step in steps
        for pair in (
            ("--sink", sinks().by_name.get(step.pipeline.sink)),
            ("--transport", transports().by_name.get(step.pipeline.transport)),
            *(("--sink-tap", tap.outlet) for tap in sink_taps(step.pipeline.sink_tap)),
        )
    ]
    return [f"{flag} {part.name} {why}" for flag, part in used if part and (why := part.lacking)]


def _too_many_rows(steps: Sequence[Step]) -> list[str]:
    """Steps whose lanes would run out of keys (workload.KEYS_PER_WRITER)."""
    return [
        f"{step.name} has {rows:,} rows, more than the {most:,} that {step.lanes:,}"
        f" lanes have keys for; lower the load or raise --lanes"
        for step in steps
        if (rows := step.schedule.count * step.rows_per_arrival) > (most := MOST_ROWS * step.lanes)
    ]
