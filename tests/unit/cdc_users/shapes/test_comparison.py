"""Several pipelines are searched one after the other, under one workload."""

from __future__ import annotations

import pytest

from cdc_users.error import OptionsError
from cdc_users.options.options import resolve
from cdc_users.scenario import Course, Step, StepShown
from cdc_users.shapes.capacity import course_of, planned_steps
from tests.unit.cdc_users.shapes.known_capacity import CAPACITY, course, driven, shown

pytestmark = pytest.mark.gevent

NAME = "capacity"


def compared(**given: str) -> Course:
    options = resolve({"precision": "5%", **given})
    return course_of(NAME, options, planned_steps(NAME, options))


def by_partitions(step: Step) -> StepShown:
    """A pipeline that takes as many times more as it has partitions."""
    return shown(step, CAPACITY * step.pipeline.partitions)


def test_one_pipeline_is_searched_as_ever() -> None:
    taken, outcome = driven(compared())

    assert [one.step for one in taken] == [one.step for one in driven(course())[0]]
    assert outcome.comparison is None


def test_each_capture_is_searched_with_the_ceiling_measured_once() -> None:
    taken, outcome = driven(
        compared(capture="debezium,wal"),
        lambda step: shown(step, CAPACITY * (3 if step.pipeline.capture == "wal" else 1)),
    )
    found = outcome.comparison

    assert found is not None
    assert [one.step.mode for one in taken].count("null") == 1
    assert [one["capture"] for one in found["searches"]] == ["debezium", "wal"]
    assert len({one.step.name for one in taken}) == len(taken)
    captures = [one.step.pipeline.capture for one in taken]
    assert captures == sorted(captures), "one search after the other"
    for one, rate in zip(found["searches"], (CAPACITY, 3 * CAPACITY), strict=True):
        search = one["search"]
        assert search["low_per_s"] is not None
        assert search["high_per_s"] is not None
        assert search["low_per_s"] <= rate < search["high_per_s"]
        assert search["ceiling_per_s"] == found["searches"][0]["search"]["ceiling_per_s"]
    assert found["size"] is None, "captures are not sizes of one another"


def test_the_largest_is_predicted_from_the_smaller_ones() -> None:
    _, outcome = driven(compared(partitions="1,2,4"), by_partitions)
    found = outcome.comparison

    assert found is not None
    assert found["size"] == "partitions"
    assert found["largest"] is not None
    assert found["largest"]["of"] == "4 partitions"
    assert found["largest"]["error"] == pytest.approx(0.0, abs=0.1)


def test_one_pipeline_that_holds_nothing_fails_the_run_by_its_name() -> None:
    _, outcome = driven(
        compared(capture="debezium,wal"),
        lambda step: shown(step, CAPACITY if step.pipeline.capture == "wal" else 1.0),
    )

    assert [reason.partition(":")[0] for reason in outcome.failed] == ["debezium"]
    assert outcome.comparison is not None
    assert [one["search"]["kind"] for one in outcome.comparison["searches"]] == [
        "nothing_holds",
        "interval",
    ]


def test_what_is_left_in_a_pipeline_ends_the_comparison() -> None:
    def never_drains(step: Step) -> StepShown:
        return shown(step, drained=step.mode == "null" or step.warm_up)

    taken, outcome = driven(compared(capture="debezium,wal"), never_drains)

    assert {one.step.pipeline.capture for one in taken} == {"debezium"}
    assert [reason.partition(":")[0] for reason in outcome.invalid] == ["debezium", "wal"]


@pytest.mark.parametrize("given", [{"partitions": "4,4"}, {"partitions": "4", "instances": "1,1"}])
def test_a_pipeline_that_is_named_twice_is_searched_once(given: dict[str, str]) -> None:
    taken, outcome = driven(compared(**given))

    assert [one.step for one in taken] == [one.step for one in driven(compared(partitions="4"))[0]]
    assert outcome.comparison is None


def test_of_pipelines_with_one_named_twice_each_is_searched_once() -> None:
    _, outcome = driven(compared(partitions="1,2,1"), by_partitions)
    found = outcome.comparison

    assert found is not None
    assert [one["of"] for one in found["searches"]] == ["1-partitions", "2-partitions"]
    assert [one["search"]["probes"][0]["rate_per_s"] for one in found["searches"]] == [200, 200]


def test_the_budget_is_each_searchs_own() -> None:
    assert compared(partitions="1,2,4", budget="10m").undecided_s == 1800


def test_what_one_of_the_captures_cannot_do_is_refused() -> None:
    with pytest.raises(OptionsError, match="--outage pauses a connector"):
        resolve({"capture": "debezium,wal", "outage": "20s"})
    with pytest.raises(OptionsError, match="'wall' is not one of debezium"):
        resolve({"capture": "debezium,wall"})
