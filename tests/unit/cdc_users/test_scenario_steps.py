"""Steps of one run are told apart by name, and several rigs never read one topic of the user's."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cdc_users.error import OptionsError
from cdc_users.measure.schedule.plan import Schedule
from cdc_users.scenario import Pipeline, Step, StepMode, checked


def step(name: str = "s", mode: StepMode = "paced", **pipeline: str) -> Step:
    return Step(name, mode, Schedule.volume(10), Pipeline(**pipeline), lanes=1)  # type: ignore[arg-type]


def test_namesakes_are_numbered_and_nothing_else_is_changed() -> None:
    steps = [step("a"), step("b"), step("a"), step("a-2"), step("a")]

    found = checked(steps)

    assert [item.name for item in found] == ["a", "b", "a-3", "a-2", "a-4"]
    assert [replace(item, name="") for item in found] == [replace(item, name="") for item in steps]


@pytest.mark.parametrize(
    ("steps", "rigs"),
    [
        ([step(sink="counting"), step(sink="webhook")], 2),
        ([step(mode="drain"), step(mode="drain"), step(mode="drain")], 3),
    ],
)
def test_a_topic_of_the_users_does_not_serve_several_rigs(steps: list[Step], rigs: int) -> None:
    mine = [replace(item, pipeline=replace(item.pipeline, topic="mine")) for item in steps]

    with pytest.raises(
        OptionsError, match=f"--topic mine serves one pipeline, and these options make {rigs}"
    ):
        checked(mine)
    assert len(checked(steps)) == rigs


def test_steps_of_one_rig_share_a_topic_of_the_users() -> None:
    steps = [step("warm-up", topic="mine"), step("load", topic="mine")]

    assert checked(steps) == tuple(steps)
