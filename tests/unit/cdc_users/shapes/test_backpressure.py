"""Backpressure and partitions as shapes: steps follow from the options, and what makes no sense is
refused.
"""

from __future__ import annotations

import pytest

from cdc_users.error import OptionsError
from cdc_users.options.options import resolve, texts
from cdc_users.scenario import Step
from cdc_users.shapes.base import ScenarioShape
from locustfiles.backpressure import BackpressureProducer, BackpressureWriter, SlowSinkShape
from locustfiles.partitions import ScalingShape

pytestmark = pytest.mark.gevent


def steps(shape: type[ScenarioShape], **given: str) -> tuple[Step, ...]:
    return shape.steps(resolve(texts(given, shape.scenario.defaults)))


def test_each_delay_has_a_warm_up_and_an_overload_through_one_pipeline() -> None:
    found = steps(SlowSinkShape)

    assert [(step.name, step.warm_up) for step in found] == [
        ("backpressure-delay-0.01s-warm-up", True),
        ("backpressure-delay-0.01s", False),
        ("backpressure-delay-0.05s-warm-up", True),
        ("backpressure-delay-0.05s", False),
    ]
    assert found[0].pipeline == found[1].pipeline != found[2].pipeline


def test_overload_is_a_multiple_of_what_the_sink_can_take() -> None:
    (_, step) = steps(
        SlowSinkShape,
        sink_delay="50ms",
        batch_size="10",
        partitions="2",
        overload="3",
        fill="1s",
        hold="2s",
    )

    # Two workers of 10 events every 50 ms take 400 a second.
    assert step.schedule.count == 3 * 400 * 3
    assert [(mark.offset_s, mark.name) for mark in step.marks] == [(0.0, "overload"), (1.0, "hold")]
    assert not step.steady


def test_pressure_goes_through_the_topic_or_through_the_database() -> None:
    def user(**given: str) -> object:
        return SlowSinkShape.user(resolve(texts(given, SlowSinkShape.scenario.defaults)))

    assert user() is BackpressureProducer
    assert user(source="postgres") is BackpressureWriter
    assert {step.pipeline.source for step in steps(SlowSinkShape, source="postgres")} == {
        "postgres"
    }


def test_a_sink_without_a_delay_cannot_be_overloaded() -> None:
    with pytest.raises(OptionsError, match="--sink counting has no delay"):
        steps(SlowSinkShape, sink="counting")


def test_partitions_are_drained_with_the_same_records_on_topics_of_their_own() -> None:
    found = steps(ScalingShape, records="1000")

    assert [(step.name, step.mode, step.schedule.count) for step in found] == [
        (f"partitions-{sink}-{count}", "drain", 1000)
        for sink in ("waiting", "counting")
        for count in (1, 4, 8)
    ]
    assert [step.pipeline.partitions for step in found] == [1, 4, 8, 1, 4, 8]
    waiting = found[0].pipeline
    assert (waiting.sink, waiting.sink_delay_s, waiting.batch_size) == ("slow", 0.005, 10)


def test_instances_and_repetition_make_a_surface_in_alternation() -> None:
    found = steps(
        ScalingShape, sinks="counting", partitions="4,8", instances="1,2", repeat="2", records="100"
    )

    assert [step.name for step in found[:4]] == [
        "partitions-counting-4-1-instances-round-1",
        "partitions-counting-4-2-instances-round-1",
        "partitions-counting-8-1-instances-round-1",
        "partitions-counting-8-2-instances-round-1",
    ]
    assert [step.name.endswith("round-2") for step in found] == [False] * 4 + [True] * 4


@pytest.mark.parametrize(
    ("shape", "given", "remedy"),
    [
        (SlowSinkShape, {"sink_delay": "0ms"}, "--sink-delay: '0ms' must be longer than nothing"),
        (SlowSinkShape, {"overload": "1"}, "--overload: '1' must be above 1"),
        (SlowSinkShape, {"batch_size": "2000"}, "a batch would never fit"),
        (
            SlowSinkShape,
            {"partitions": "1,2"},
            "--partitions has 2 values, and this scenario takes one",
        ),
        (ScalingShape, {"partitions": "0"}, "--partitions: '0' must be at least 1"),
        (ScalingShape, {"partitions": "1,-4"}, "--partitions: '-4' must be at least 1"),
        (ScalingShape, {"partitions": "2", "instances": "3"}, "1 would idle"),
        (ScalingShape, {"sinks": "sleeping"}, "'sleeping' is not one of"),
    ],
)
def test_what_makes_no_sense_is_refused_with_the_remedy(
    shape: type[ScenarioShape], given: dict[str, str], remedy: str
) -> None:
    with pytest.raises(OptionsError, match=remedy):
        steps(shape, **given)
