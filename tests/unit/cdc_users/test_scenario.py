"""A run's steps, as a scenario declares them."""

from __future__ import annotations

from cdc_users.measure.schedule.plan import Schedule
from cdc_users.scenario import Pipeline, Step, level


def step(count: int, lanes: int) -> Step:
    return Step(f"step-{count}", "burst", Schedule.volume(count), Pipeline(), lanes)


def test_lanes_are_up_in_every_step_so_each_has_those_of_the_one_that_can_use_most() -> None:
    assert level([step(5, 5), step(100, 64), step(1, 1)]) == (
        step(5, 64),
        step(100, 64),
        step(1, 64),
    )
