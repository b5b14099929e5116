"""A run's steps as a whole: a name of its own for each, the same lanes for all, rigs that they can share. Pure."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

from cdc_users.error import OptionsError
from cdc_users.scenario import Pipeline, Step, level


def rig_of(number: int, step: Step) -> tuple[Pipeline, int]:
    """What tells one rig from the next. Steps of one pipeline share it, one after another; a drain starts with a
    platform of its own."""
    return step.pipeline, number if step.mode == "drain" else 0


def checked(steps: Sequence[Step]) -> tuple[Step, ...]:
    """The steps, numbered where names are equal and with the same lanes; raises OptionsError where a topic of the
    user's would have to serve several rigs."""
    topic = next((step.pipeline.topic for step in steps if step.pipeline.topic), "")
    rigs = len(list(itertools.groupby(enumerate(steps, start=1), key=lambda item: rig_of(*item))))
    if topic and rigs > 1:
        raise OptionsError(
            [
                f"--topic {topic} serves one pipeline, and these options make {rigs}; each would read it from its "
                "beginning, with all that earlier ones have written. Name one sink, one number of partitions and so on "
                "(--sinks counting), or leave --topic out"
            ]
        )
    return level(_distinct(steps))


def _distinct(steps: Sequence[Step]) -> tuple[Step, ...]:
    """Files, charts and thresholds know a step by its name, so the second namesake gets `-2` behind it."""
    given = {step.name for step in steps}
    found: dict[str, Step] = {}
    for step in steps:
        others = (name for number in itertools.count(2) if (name := f"{step.name}-{number}") not in given | set(found))
        name = step.name if step.name not in found else next(others)
        found[name] = replace(step, name=name)
    return tuple(found.values())
