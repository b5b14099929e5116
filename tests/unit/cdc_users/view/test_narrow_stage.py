"""The narrow stage is named, with the sentence that says why."""

from __future__ import annotations

from typing import Any

import pytest

from cdc_users.view import narrow_stage
from cdc_users.view.narrow_stage import under_load
from tests.unit.made_result import result, step_result
from tests.unit.made_run import MadeRun, moment

pytestmark = pytest.mark.gevent


def seconds(**changes: Any) -> list[Any]:
    return [moment(second, **changes) for second in range(1, 6)]


def slow(**stages_ms: float) -> dict[str, float]:
    return {
        "mean_ms": sum(stages_ms.values()),
        **{f"{name}_ms": value for name, value in stages_ms.items()},
    }


def test_a_quick_pipeline_has_no_bottleneck() -> None:
    found = narrow_stage.bottleneck(seconds())

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
    found = narrow_stage.bottleneck(seconds(paused_partitions=paused, **slow(**means)))

    assert found.stage == stage
    assert "500.0 of 504.0 ms end to end (99%)" in found.words


def test_a_growing_backlog_makes_even_a_quick_stage_the_bottleneck() -> None:
    found = narrow_stage.bottleneck([moment(second, backlog=50 * second) for second in range(1, 6)])

    assert found.stage == "capture"
    assert "the backlog of 250 events grows" in found.words


def test_a_backlog_that_falls_again_does_not_grow() -> None:
    assert not narrow_stage.grows(
        [moment(second, backlog=backlog) for second, backlog in enumerate((0, 90, 300, 120), 1)]
    )


def test_nothing_arriving_is_said() -> None:
    assert "Nothing has arrived" in narrow_stage.bottleneck(seconds(mean_ms=None)).words
    assert "Nothing has arrived" in narrow_stage.bottleneck([]).words


def test_what_a_stage_costs_has_the_waits_for_it_so_that_meter_and_badge_agree() -> None:
    means = {"commit": 1.0, "capture": 300.0, "fetch": 1.0, "queue": 200.0, "sink_write": 150.0}
    found = narrow_stage.bottleneck(seconds(**slow(**means)))

    assert found.stage == "sink"
    assert found.costs_ms["sink"] == pytest.approx(350.0)
    assert max(found.costs_ms, key=lambda stage: found.costs_ms[stage]) == found.stage
    assert sum(found.costs_ms.values()) == pytest.approx(652.0)


def test_the_runs_bottleneck_is_not_that_of_its_last_second() -> None:
    """Backpressure: the sink holds all up while the load lasts, and then a quick drain ends it."""
    waits = {"commit": 1.0, "capture": 1.0, "fetch": 900.0, "queue": 300.0, "sink_write": 90.0}
    quick = {"commit": 1.0, "capture": 40.0, "fetch": 1.0, "queue": 1.0, "sink_write": 1.0}
    under = [
        moment(second, paused_partitions=4 if second < 7 else 0, **slow(**waits))
        for second in range(1, 8)
    ]
    drain = [moment(second, sent=800, **slow(**quick)) for second in range(8, 13)]
    run = MadeRun(moments=[*under, *drain], result=result())
    found = narrow_stage.narrowest(run)

    assert found.stage == "sink"
    assert found.words.startswith("The bottleneck of the run was the sink: 4 partitions are paused")


def test_a_warm_up_does_not_stand_for_the_run() -> None:
    steps = [step_result("warm", messages=9000, warm_up=True), step_result("step-1")]
    moments = [moment(1, step="warm"), moment(2), moment(3)]
    run = MadeRun(moments=moments, result=result(steps=steps))

    assert {one.step for one in under_load(run)} == {"step-1"}


def test_a_run_without_a_step_has_nothing_to_look_back_at() -> None:
    assert under_load(MadeRun(result=result(steps=[]))) == []
    assert narrow_stage.narrowest(MadeRun(result=result(steps=[]))).stage is None


@pytest.mark.parametrize(
    ("backlogs", "growing"),
    [
        ((0, 15, 20), False),
        ((0, 15, 21), True),
        ((100, 110, 120), False),
        ((100, 115, 121), True),
        ((0, 30, 29), False),
        ((0,), False),
        ((), False),
    ],
)
def test_a_backlog_grows_by_more_than_a_trifle_of_what_is_sent_and_to_its_highest(
    backlogs: tuple[int, ...], growing: bool
) -> None:
    """GIVEN 200 events a second, of two seconds."""
    rows = [
        moment(second, sent=200 * second, backlog=backlog)
        for second, backlog in enumerate(backlogs, 1)
    ]

    assert narrow_stage.grows(rows) is growing


def test_one_event_more_is_no_growth_where_next_to_nothing_is_sent() -> None:
    slow_load = {"sent": 10}

    assert not narrow_stage.grows([moment(1, **slow_load), moment(2, **slow_load, backlog=1)])
    assert narrow_stage.grows([moment(1, **slow_load), moment(2, **slow_load, backlog=2)])


def test_two_seconds_suffice_to_see_growth() -> None:
    assert narrow_stage.grows([moment(1), moment(2, backlog=50)])


def test_recent_are_the_last_seconds_of_the_step_at_hand() -> None:
    rows = [moment(second) for second in range(1, 9)]
    other = [moment(second, step="step-2") for second in (9, 10)]

    assert [row.elapsed_s for row in narrow_stage.recent(rows)] == [4, 5, 6, 7, 8]
    assert [row.elapsed_s for row in narrow_stage.recent([*rows, *other])] == [9, 10]
    assert narrow_stage.recent([]) == []


def test_a_second_counts_by_what_arrived_in_it() -> None:
    quiet = moment(1, delivered_per_s=10.0, **slow(commit=1.0, capture=110.0))
    busy = moment(2, delivered_per_s=90.0, **slow(commit=1.0, capture=10.0))
    silent = moment(3, delivered_per_s=None, mean_ms=None, capture_ms=9_999.0)

    found = narrow_stage.means_ms([quiet, busy, silent])

    assert found["capture"] == pytest.approx(20.0)
    assert found["commit"] == pytest.approx(1.0)


def test_a_part_that_a_second_does_not_know_took_no_time_in_it() -> None:
    found = narrow_stage.means_ms([moment(1, fetch_ms=None), moment(2, fetch_ms=4.0)])

    assert found["fetch"] == pytest.approx(2.0)


def test_the_first_second_weighs_like_one_event_because_its_rate_is_not_known() -> None:
    first = moment(1, delivered_per_s=None, **slow(capture=100.0))
    second = moment(2, delivered_per_s=1.0, **slow(capture=50.0))

    assert narrow_stage.means_ms([first, second])["capture"] == pytest.approx(75.0)


def test_the_load_lasts_until_all_is_sent() -> None:
    """GIVEN two seconds under load, and a drain that begins with the last event sent."""
    rows = [
        moment(1, sent=50),
        moment(2, sent=100, mean_ms=None),
        moment(3, sent=150),
        moment(4, sent=200),
        moment(5, sent=200),
    ]
    run = MadeRun(moments=rows, result=result())

    assert [row.elapsed_s for row in under_load(run)] == [1, 3]


def test_a_step_that_was_sent_at_once_is_looked_at_as_a_whole() -> None:
    run = MadeRun(moments=[moment(1, sent=200), moment(2, sent=200)], result=result())

    assert [row.elapsed_s for row in under_load(run)] == [1, 2]


@pytest.mark.parametrize(("total_ms", "stage"), [(99.9, None), (100.0, "capture")])
def test_a_mean_of_a_tenth_of_a_second_is_where_a_bottleneck_begins(
    total_ms: float, stage: str | None
) -> None:
    parts = dict.fromkeys(("commit", "fetch", "queue", "sink_write"), 0.0)

    assert narrow_stage.bottleneck(seconds(**slow(capture=total_ms, **parts))).stage == stage


def test_one_paused_partition_is_said_in_the_singular() -> None:
    parts = {"commit": 1.0, "capture": 1.0, "fetch": 500.0, "queue": 1.0, "sink_write": 1.0}

    assert (
        "1 partition is paused"
        in narrow_stage.bottleneck(seconds(paused_partitions=1, **slow(**parts))).words
    )


def test_no_time_at_all_is_no_division_by_nothing() -> None:
    parts = ("commit", "capture", "fetch", "queue", "sink_write")
    found = narrow_stage.bottleneck(seconds(**slow(**dict.fromkeys(parts, 0.0))))

    assert found.stage is None
    assert "0.0 of 0.0 ms end to end (0%)" in found.words
