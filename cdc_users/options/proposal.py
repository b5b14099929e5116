"""What a scenario makes of the options that it is given: all that is wrong with them, or the steps
of a run.

Command line and web form are checked in the same way. Pure; touches no server.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from cdc_users.error import OptionsError
from cdc_users.measure.schedule.plan import PlanError
from cdc_users.options.ignored import idle_in, unread, unused
from cdc_users.options.options import Options, given_texts, resolve, texts
from cdc_users.scenario import Scenario, Step, checked

#: A step's number has three digits in a probe, and the last of them is the fences' (fence.WRITER).
MOST_STEPS = 998


class ShapeDeclaration(Protocol):
    """What a proposal needs of a shape (cdc_users.shapes.base.ScenarioShape)."""

    scenario: Scenario
    kind: str
    reads: Collection[str]
    idle: Mapping[str, str]

    def steps(self, options: Options, /) -> Sequence[Step]:
        """The run's steps."""

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
    skipped: Sequence[str]
    user: type


def _options(shape: ShapeDeclaration, given: Mapping[str, str]) -> Options:
    """What was given, over the scenario's defaults; raises OptionsError with all mistakes."""
    idle = idle_in(shape)
    mistakes = unread(shape.scenario.name, idle, given)
    # What does nothing is left out of the rest, or it would be told a second time as a
    # contradiction.
    read = {name: text for name, text in given.items() if name not in idle}
    return resolve(texts(read, shape.scenario.defaults), mistakes)


def propose(shape: ShapeDeclaration, source: Mapping[str, Any]) -> Proposal:
    """The run that these options come to; raises OptionsError with what is wrong with them."""
    given = given_texts(source)
    options = _options(shape, given)
    user = shape.user(options)
    try:
        steps = checked(shape.steps(options))
    except PlanError as error:
        raise OptionsError([str(error)]) from error
    if mistakes := [*unused(given, steps), *_too_many(steps)]:
        raise OptionsError(mistakes)
    return Proposal(shape.scenario, options, steps, shape.skipped(options), user)


def _too_many(steps: Sequence[Step]) -> list[str]:
    if len(steps) <= MOST_STEPS:
        return []
    return [
        f"these options come to {len(steps):,} steps; ask for at most {MOST_STEPS}, in several runs"
    ]
