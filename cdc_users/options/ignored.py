"""Finds options that have no effect on a run: with them, a run would answer another question than
the one that was asked. Pure.

An option's record says where the option has no effect; a shape of a new kind adds the options that
it does not read.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from cdc_users.options.options import BY_NAME, OPTIONS
from cdc_users.options.table.record import LEAVE, Option, flag_of
from cdc_users.pipeline.declaration import is_direct
from cdc_users.scenario import Step, listed


class ReadsOptions(Protocol):
    """What a shape says about the options that it reads (cdc_users.shapes.base.ScenarioShape)."""

    kind: str
    reads: Collection[str]
    idle: Mapping[str, str]


def idle_in(shape: ReadsOptions) -> dict[str, str]:
    """The options that a shape does not read, by name, each with what to use instead."""
    of_kind = {
        option.name: instead
        for option in OPTIONS
        if (instead := option.unread_by(shape.kind)) and option.name not in shape.reads
    }
    return {**of_kind, **shape.idle}


def unread(scenario: str, idle: Mapping[str, str], given: Collection[str]) -> list[str]:
    """A mistake for each given option that a shape does not read."""
    return [
        f"{flag_of(name)} does nothing in {scenario}; {idle[name]}"
        for name in idle
        if name in given
    ]


def unused(given: Collection[str], steps: Sequence[Step]) -> list[str]:
    """A mistake for each given option that none of the steps uses."""
    options = [BY_NAME[name] for name in BY_NAME if name in given]
    mistakes = []
    if all(step.mode != "paced" for step in steps):
        mistakes += [
            f"{option.flag} needs --rate and --duration: without them everything is due at once"
            for option in options
            if option.paced
        ]
    elif "records" in given and all(step.mode == "paced" for step in steps):
        mistakes.append(f"--records does nothing beside --rate, which has --duration; {LEAVE}")
    return mistakes + _unused_by_the_pipelines(options, steps)


def _unused_by_the_pipelines(options: Sequence[Option], steps: Sequence[Step]) -> list[str]:
    direct = [step.pipeline.capture for step in steps if is_direct(step.pipeline)]
    if direct:
        return [
            f"{option.flag} does nothing with --capture {direct[0]}; {LEAVE}"
            for option in options
            if not option.direct
        ]
    sinks = {step.pipeline.sink for step in steps}
    return [
        f"{option.flag} does nothing without the sink {' or '.join(listed(option.sink))}; name that"
        " sink, or leave it out"
        for option in options
        if option.sink and sinks.isdisjoint(listed(option.sink))
    ]
