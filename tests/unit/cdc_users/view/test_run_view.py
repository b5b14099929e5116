"""What is said of a run while it goes on: the narrow stage by name, rates by conservation, trouble
before the audit.
"""

from __future__ import annotations

from typing import Any

import pytest

from cdc_users.view import run_view
from cdc_users.view.run_view import RunView
from tests.unit.made_result import result
from tests.unit.made_run import MadeRun, moment, state

pytestmark = pytest.mark.gevent


def seconds(**changes: Any) -> list[Any]:
    return [moment(second, **changes) for second in range(1, 6)]


def slow(**stages_ms: float) -> dict[str, float]:
    return {
        "mean_ms": sum(stages_ms.values()),
        **{f"{name}_ms": value for name, value in stages_ms.items()},
    }


def test_a_quick_pipeline_has_no_bottleneck() -> None:
    found = run_view.bottleneck(seconds())

    assert found.stage is None
    assert found.words.startswith(
        "The pipeline keeps up. Its longest stage is capture: 5.0 of 10.0 ms"
    )


@pytest.mark.parametrize(
    ("part", "paused", "stage"),
    [
        ("commit", 0, "source"),
        ("capture", 0, "capture"),
        ("fetch", 0, "platform"),
        ("fetch", 2, "sink"),
        ("queue", 0, "sink"),
        ("sink_write", 0, "sink"),
    ],
)
def test_the_stage_that_makes_events_wait_is_named(part: str, paused: int, stage: str) -> None:
    means = {
        "commit": 1.0,
        "capture": 1.0,
        "fetch": 1.0,
        "queue": 1.0,
        "sink_write": 1.0,
        part: 500.0,
    }
    found = run_view.bottleneck(seconds(paused_partitions=paused, **slow(**means)))

    assert found.stage == stage
    assert "500.0 of 504.0 ms end to end (99%)" in found.words


def test_a_growing_backlog_makes_even_a_quick_stage_the_bottleneck() -> None:
    found = run_view.bottleneck([moment(second, backlog=50 * second) for second in range(1, 6)])

    assert found.stage == "capture"
    assert "the backlog of 250 events grows" in found.words


def test_a_backlog_that_falls_again_does_not_grow() -> None:
    assert not run_view.grows(
        [moment(second, backlog=backlog) for second, backlog in enumerate((0, 90, 300, 120), 1)]
    )


def test_nothing_arriving_is_said() -> None:
    assert "Nothing has arrived" in run_view.bottleneck(seconds(mean_ms=None)).words
    assert "Nothing has arrived" in run_view.bottleneck([]).words


def test_rates_follow_from_what_each_stage_has_passed_on() -> None:
    first = moment(
        1, sent=100, delivered=50, backlog=50, queue_depth=10, in_flight=10, consumer_lag=20
    )
    last = moment(
        3, sent=300, delivered=150, backlog=150, queue_depth=30, in_flight=10, consumer_lag=60
    )

    assert run_view.flow([first, last]) == {
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

    assert run_view.flow(dark)["platform"] is None
    assert run_view.backlog(dark)["topic"] == "–"


def test_events_before_the_topic_are_captures_backlog() -> None:
    held = {"queue_depth": 10, "in_flight": 10}
    now = moment(
        1, sent=100, delivered=40, backlog=60, **held, consumer_lag=20, slot_lag_bytes=2_500_000
    )

    assert run_view.backlog([now])["capture"] == "20 events, 2.5 MB"


def test_delivered_events_that_are_not_committed_do_not_wait_in_the_topic() -> None:
    assert (
        run_view.backlog([moment(1, backlog=3, in_flight=1, consumer_lag=66)])["topic"]
        == "2 events"
    )
    assert run_view.backlog([moment(1, backlog=0, consumer_lag=66)])["topic"] == "0 events"


def test_the_split_comes_from_the_sink_and_then_from_the_result() -> None:
    run = MadeRun()
    running = dict(run_view.split_ms(run))["step-1"]
    run.result = result()

    assert (
        running
        == dict(run_view.split_ms(run))["step-1"]
        == {"commit": 2.0, "capture": 5.0, "fetch": 1.0, "queue": 1.0, "sink_write": 1.0}
    )


def test_failed_arrivals_are_trouble_before_the_audit() -> None:
    run: RunView = MadeRun(states=[state(failed=2)])

    assert run_view.concerns(run) == ["step-1: 2 arrivals failed"]
    assert run_view.verdict(run) == "trouble so far"
    assert run_view.verdict(MadeRun()) == "good so far"
    assert run_view.verdict(MadeRun(result=result())) == "PASS"


def test_what_remains_counts_from_the_plan() -> None:
    assert run_view.remaining_s(MadeRun(), now_us=4_000_000) == pytest.approx(7.0)


def test_offered_is_what_the_plan_has_asked_for_by_now() -> None:
    assert [run_view.due(state(), now_us) for now_us in (0, 1_000_000, 1_500_000, 60_000_000)] == [
        1,
        1,
        51,
        1000,
    ]
