"""What a scenario makes of the options that it is given: all that is wrong with them, or the steps
of a run.

Command line and web form are checked in the same way. Pure; touches no server.
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
from cdc_users.pipeline.declaration import outlets, sinks, transports
from cdc_users.scenario import Course, Scenario, Step, checked


class ShapeDeclaration(Protocol):
    """What a proposal needs of a shape (cdc_users.shapes.base.ScenarioShape)."""

    scenario: Scenario
    kind: str
    reads: Collection[str]
    idle: Mapping[str, str]
    foremost: tuple[str, ...]

    def steps(self, options: Options, /) -> Sequence[Step]:
        """The run's steps."""

    def course(self, options: Options, steps: Sequence[Step], /) -> Course:
        """How these steps, and those that follow from them, are taken."""

    def skipped(self, options: Options, /) -> Sequence[str]:
        """What was asked for and is left out, each with its reason."""

    def user(self, options: Options, /) -> type:
        """Who generates the load."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """A run that could be started: its scenario, options and steps, what is left out of it, and
    who generates its load.
    """

    scenario: Scenario
    options: Options
    steps: Sequence[Step]
    course: Course
    skipped: Sequence[str]
    user: type


def _options(shape: ShapeDeclaration, given: Mapping[str, str]) -> Options:
    """What was given, over the scenario's defaults; raises OptionsError with all mistakes."""
    idle = idle_in(shape)
    known = options_of(shape.scenario)
    mistakes = [*of_scenario(shape.scenario, BY_NAME).mistakes]
    mistakes += unread(shape.scenario.name, idle, given)
    # What does nothing is left out of the rest, or it would be told a second time as a
    # contradiction.
    read = {name: text for name, text in given.items() if name not in idle}
    defaults = {**_own_table(shape), **shape.scenario.defaults}
    return resolve(texts(read, defaults, known), mistakes, known)


def _own_table(shape: ShapeDeclaration) -> Mapping[str, str]:
    """The table that the locustfile's user class is for, where it names one."""
    table = getattr(getattr(shape, "writer", None), "table", "")
    return {"table": table} if table else {}


def propose(
    shape: ShapeDeclaration, source: Mapping[str, object], *, by_chance: bool = True
) -> Proposal:
    """The run that these options come to; raises OptionsError with what is wrong with them.

    Without `by_chance` the arrivals of a Poisson process are counted as those of an even one, at
    once: enough to show, and never to be run.
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
        raise OptionsError(["these options come to no step; name a load, e.g. --rows 1000"])
    refuse_too_many(len(steps))
    steps = checked(steps)
    if mistakes := [*unused(given, steps), *_too_many_rows(steps), *_not_installed(steps)]:
        raise OptionsError(mistakes)
    course = shape.course(options, steps)
    return Proposal(shape.scenario, options, steps, course, shape.skipped(options), user)


def refuse_too_many(steps: int) -> None:
    """Raise OptionsError for more steps than a run can have; shapes that multiply ask before they
    make them.
    """
    if steps > MOST_STEPS:
        raise OptionsError(
            [
                f"these options come to {steps:,} steps; ask for at most {MOST_STEPS}, in several"
                " runs"
            ]
        )


def _not_installed(steps: Sequence[Step]) -> list[str]:
    """Sinks, transports and watched places of the steps whose packages this installation lacks."""
    used = [
        pair
        for step in steps
        for pair in (
            ("--sink", sinks().by_name.get(step.pipeline.sink)),
            ("--transport", transports().by_name.get(step.pipeline.transport)),
            ("--sink-tap", outlets().by_name.get(step.pipeline.sink_tap.partition(":")[0])),
        )
    ]
    return [f"{flag} {part.name} {why}" for flag, part in used if part and (why := part.lacking)]


def _too_many_rows(steps: Sequence[Step]) -> list[str]:
    """Keys of a lane would run into the next one's (workload.KEYS_PER_WRITER)."""
    return [
        f"{step.name} comes to {rows:,} rows, more than {step.lanes:,} lanes have keys for,"
        f" {most:,}; lower the load or raise --lanes"
        for step in steps
        if (rows := step.schedule.count * step.rows_per_arrival) > (most := MOST_ROWS * step.lanes)
    ]
