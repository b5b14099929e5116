"""Rates through the stages follow from conservation, and means sum."""

from __future__ import annotations

import dataclasses

import pytest

from cdc_users.pipeline.telemetry import StepSnapshot
from cdc_users.scenario import Pipeline
from cdc_users.view import backlog, stages
from cdc_users.view.narrow_stage import Bottleneck, narrowest
from tests.unit.made_result import result, step_result
from tests.unit.made_run import MadeRun, moment, state

pytestmark = pytest.mark.gevent


def test_rates_follow_from_what_each_stage_has_passed_on() -> None:
    first = moment(
        1, sent=100, delivered=50, backlog=50, queue_depth=10, in_flight=10, consumer_lag=20
    )
    last = moment(
        3, sent=300, delivered=150, backlog=150, queue_depth=30, in_flight=10, consumer_lag=60
    )

    assert stages.flow([first, last]) == {
        "source": 100.0,
        "capture": 80.0,
        "topic": 80.0,
        "platform": 60.0,
        "sink": 50.0,
    }


def test_what_is_not_known_has_no_rate_and_no_backlog() -> None:
    dark = [
        moment(second, queue_depth=None, in_flight=None, consumer_lag=None) for second in (1, 2)
    ]

    assert stages.flow(dark)["platform"] is None
    assert backlog.backlog(dark)["topic"] == "–"


def test_the_split_comes_from_the_sink_and_then_from_the_result() -> None:
    run = MadeRun()
    running = dict(stages.split_ms(run))["step-1"]
    run.result = result()

    assert (
        running
        == dict(stages.split_ms(run))["step-1"]
        == {"commit": 2.0, "capture": 5.0, "fetch": 1.0, "queue": 1.0, "sink_write": 1.0}
    )


@pytest.mark.parametrize(
    ("pipeline", "key", "told"),
    [
        (Pipeline(), "source", "PostgreSQL, write and commit"),
        (Pipeline(source="topic"), "source", "Avro producer"),
        (Pipeline(source="topic"), "capture", "none: records go straight to the topic"),
        (Pipeline(source="topic", partitions=3), "topic", "Kafka, 3 partitions, append to fetch"),
        (Pipeline(partitions=1), "topic", "Kafka, 1 partition, append to fetch"),
        (Pipeline(partitions=2), "topic", "Kafka, 2 partitions, append to fetch"),
        (Pipeline(instances=1), "platform", "1 instance, wait in queues"),
        (Pipeline(instances=2), "platform", "2 instances, wait in queues"),
        (Pipeline(sink="webhook"), "sink", "webhook, write until durable"),
    ],
)
def test_a_stage_says_what_it_is_in_this_pipeline(pipeline: Pipeline, key: str, told: str) -> None:
    assert stages.what(key, pipeline) == told


def test_the_longest_meter_is_whole_and_the_others_are_shares_of_it() -> None:
    costs = {"source": 50.0, "sink": 200.0, "capture": -3.0}
    narrow = Bottleneck("sink", "", costs)

    assert {key: stages.share(narrow, key) for key in (*costs, "topic")} == {
        "source": 0.25,
        "sink": 1.0,
        "capture": 0.0,
        "topic": 0.0,
    }


@pytest.mark.parametrize("costs", [{}, {"sink": 0.0}, {"sink": -1.0, "source": -2.0}])
def test_without_a_cost_no_meter_has_a_length(costs: dict[str, float]) -> None:
    narrow = Bottleneck(None, "", costs)

    assert [stages.share(narrow, key) for key in ("source", "sink")] == [0.0, 0.0]


def test_a_clock_that_stood_still_gives_no_rate() -> None:
    assert set(stages.flow([moment(2), moment(2)]).values()) == {None}
    assert stages.flow([moment(2)]) == {}
    assert stages.flow([]) == {}


def test_a_count_that_falls_is_no_negative_rate() -> None:
    """GIVEN a lag that the broker told late, so that events seem to have left the topic again."""
    first = moment(1, sent=100, delivered=100, queue_depth=50)
    last = moment(2, sent=200, delivered=110, backlog=90, queue_depth=0)

    found = stages.flow([first, last])

    assert found["platform"] == 0.0
    assert found["sink"] == 10.0
    assert stages.flow([moment(1, consumer_lag=None), moment(2)])["topic"] is None
    assert stages.flow([moment(1), moment(2, consumer_lag=None)])["topic"] is None


def test_rates_are_a_seconds_though_the_seconds_looked_at_are_several() -> None:
    first, last = moment(1, delivered=0, sent=0), moment(4, delivered=100, sent=100)

    assert stages.flow([first, moment(2, delivered=99), last])["sink"] == 33.3


def test_the_stages_of_a_run_that_goes_on_are_of_its_last_seconds_and_its_step() -> None:
    run = MadeRun()
    run.states[0].step = dataclasses.replace(run.states[0].step, pipeline=Pipeline(sink="webhook"))
    shown = {stage.key: stage for stage in stages.stages(run, narrowest(run))}

    assert list(shown) == ["source", "capture", "topic", "platform", "sink"]
    assert [stage.name for stage in shown.values()][:2] == ["Source", "Capture"]
    assert shown["sink"].what == "webhook, write until durable"
    assert shown["sink"].rate == 100.0
    assert (shown["capture"].mean_ms, shown["capture"].p50_ms) == (5.0, 5.0)
    assert [stage.bottleneck for stage in shown.values()] == [False] * 5
    assert shown["capture"].share == 1.0


def test_the_stages_of_a_run_without_a_step_are_those_of_a_usual_pipeline() -> None:
    run = MadeRun(states=[], moments=[])
    shown = stages.stages(run, narrowest(run))

    assert [(stage.rate, stage.mean_ms, stage.backlog) for stage in shown] == [
        (None, None, "–")
    ] * 5
    assert shown[1].what.startswith("Debezium")


def test_the_stages_of_a_run_that_is_over_are_those_of_its_largest_step() -> None:
    """GIVEN two steps through different sinks, of which the first has more events."""
    steps = [
        step_result("step-1", messages=9000, throughput_per_s=450.0),
        step_result("step-2", messages=10, throughput_per_s=7.0),
    ]
    run = MadeRun(states=[state("step-2", 2), state()], result=result(steps=steps))
    run.states[1].step = dataclasses.replace(run.states[1].step, pipeline=Pipeline(sink="webhook"))
    shown = stages.stages(run, Bottleneck("sink", ""))

    assert {stage.rate for stage in shown} == {450.0}
    assert shown[-1].what == "webhook, write until durable"
    assert [stage.bottleneck for stage in shown] == [False, False, False, False, True]


def test_the_rate_of_a_drain_is_its_drain_rate() -> None:
    drained = step_result("step-1", throughput_per_s=None, drain_rate_per_s=800.0)
    run = MadeRun(states=[], result=result(steps=[drained]))

    assert {stage.rate for stage in stages.stages(run, Bottleneck(None, ""))} == {800.0}


def test_a_step_from_which_nothing_has_come_has_no_split() -> None:
    run = MadeRun()
    run.look.sink.steps[2] = StepSnapshot()
    run.look.sink.steps[99] = StepSnapshot(delivered=5)
    run.states.append(state("step-2", 2))

    assert [name for name, _ in stages.split_ms(run)] == ["step-1"]
