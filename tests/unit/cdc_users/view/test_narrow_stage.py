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
