"""The declared charts: their columns exist, and a result's own charts follow its figures."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import orjson
import pytest

from cdc_users.report import chart
from cdc_users.step.timeline_row import TimelineRow
from tests.unit.made_result import result

POINT = {"sink": "slow", "hottest_share": 0.25, "readings": 1, "efficiency": 1.0}


def point(partitions: int, rate_per_s: float, instances: int = 1) -> dict[str, object]:
    return {**POINT, "partitions": partitions, "instances": instances, "rate_per_s": rate_per_s}


def test_every_line_over_time_is_a_column_of_the_timeline() -> None:
    assert set(chart.columns()) <= {item.name for item in fields(TimelineRow)}


def test_titles_and_keys_are_unique_so_that_a_page_can_find_them() -> None:
    titles = [one.title for one in chart.OVER_TIME]

    assert len(set(titles)) == len(titles)
    for one in chart.OVER_TIME:
        keys = [line.key for line in one.series]
        assert len(set(keys)) == len(keys)


def test_declarations_travel_as_json() -> None:
    assert orjson.dumps(chart.over_time())


def test_a_result_without_scaling_has_no_chart_of_its_own() -> None:
    assert chart.of_result(result()) == []


def test_scaling_is_drawn_by_partitions_with_its_linear_line_and_the_law() -> None:
    points = [point(1, 1000.0), point(2, 1800.0), point(4, 3000.0), point(4, 3300.0, instances=2)]
    law = {"contention": 0.05, "coherency": 0.01}
    made = result(scaling={"points": points, "law": {"slow": law}})
    drawn: Any
    (drawn,) = chart.of_result(made)

    assert (drawn["title"], drawn["x_name"], drawn["x"]) == (
        "Scaling of the slow sink",
        "partitions",
        [1, 2, 4],
    )
    assert drawn["values"]["measured_1"] == [1000.0, 1800.0, 3000.0]
    assert drawn["values"]["measured_2"] == [None, None, 3300.0]
    assert drawn["values"]["linear"] == [1000.0, 2000.0, 4000.0]
    assert drawn["values"]["law"][0] == 1000.0
    assert drawn["values"]["law"][2] == pytest.approx(4000 / (1 + 0.05 * 3 + 0.01 * 12))


def test_where_only_instances_differ_they_are_the_axis() -> None:
    made = result(
        scaling={
            "points": [point(8, 1000.0), point(8, 1900.0, instances=2)],
            "law": {"slow": None},
        }
    )
    drawn: Any
    (drawn,) = chart.of_result(made)

    assert (drawn["x_name"], drawn["x"]) == ("instances", [1, 2])
    assert [line["name"] for line in drawn["series"]] == ["8 partitions", "linear"]


def test_one_configuration_is_no_curve() -> None:
    assert (
        chart.of_result(result(scaling={"points": [point(1, 10.0)], "law": {"slow": None}})) == []
    )
