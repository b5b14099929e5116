"""A run's steps, as a scenario declares them."""

from __future__ import annotations

from dataclasses import replace

from cdc_users.measure.schedule.plan import Schedule
from cdc_users.scenario import Pipeline, Step, level, platform_arguments, rig_key


def step(count: int, lanes: int) -> Step:
    return Step(f"step-{count}", "burst", Schedule.volume(count), Pipeline(), lanes)


def test_lanes_are_up_in_every_step_so_each_has_those_of_the_one_that_can_use_most() -> None:
    assert level([step(5, 5), step(100, 64), step(1, 1)]) == (
        step(5, 64),
        step(100, 64),
        step(1, 64),
    )


def test_the_platform_is_told_milliseconds_where_a_pipeline_has_seconds() -> None:
    told = platform_arguments(Pipeline(sink="slow", sink_delay_s=0.05, batch_size=7))

    assert told == {
        "sink": "slow",
        "batch-size": 7,
        "max-buffered-messages": 10_000,
        "sink-delay-ms": 50,
        "iceberg-mode": "append",
        "iceberg-commit-interval-ms": 1000,
    }


def test_a_step_alone_shares_its_rig_with_nobody() -> None:
    shared = step(10, 1)
    alone = replace(shared, alone=True)

    keys = [
        rig_key(number, each) for number, each in enumerate((shared, alone, alone, shared), start=1)
    ]

    assert len(set(keys)) == 3
    assert keys[0] == keys[3]
