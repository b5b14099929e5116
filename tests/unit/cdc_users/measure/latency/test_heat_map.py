"""The heat map: every event is in one cell, in time and latency, however long the run."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc_users.measure.latency.heat_map import BUCKETS, MOST_COLUMNS, HeatMap, edges_ms
from cdc_users.measure.latency.histogram import LatencyHistogram


def arrived(*values_us: int) -> LatencyHistogram:
    histogram = LatencyHistogram()
    histogram.record_many_us(np.array(values_us, dtype=np.int64))
    return histogram


def test_an_event_lies_between_the_edges_of_its_bucket() -> None:
    heat = HeatMap()
    heat.add(3.2, arrived(2_000, 2_000, 950_000))
    (column,) = heat.to_json()["columns"]
    edges = edges_ms()
    filled = {
        column["first"] + index: count for index, count in enumerate(column["counts"]) if count
    }

    assert column["x"] == 3.0
    assert sorted(filled.values()) == [1, 2]
    for bucket, count in filled.items():
        value_ms = 2.0 if count == 2 else 950.0
        assert edges[bucket] <= value_ms * 1.002
        assert value_ms <= edges[bucket + 1]


def test_nothing_that_arrived_makes_no_column() -> None:
    heat = HeatMap()
    heat.add(1.0, arrived())

    assert heat.to_json()["columns"] == []


def test_a_page_that_knows_columns_gets_those_from_there_on() -> None:
    heat = HeatMap()
    for second in range(5):
        heat.add(float(second), arrived(1000))

    assert [column["x"] for column in heat.to_json(first=3)["columns"]] == [3.0, 4.0]


def test_a_day_has_as_few_columns_as_four_minutes() -> None:
    heat = HeatMap()
    for minute in range(24 * 60):
        heat.add(minute * 60.0, arrived(1000))
    told = heat.to_json()

    assert len(told["columns"]) <= MOST_COLUMNS
    assert told["width_s"] * MOST_COLUMNS >= 24 * 3600


@given(
    st.lists(
        st.tuples(st.floats(0, 5000), st.lists(st.integers(-5, 3_600_000_000), max_size=5)),
        max_size=20,
    )
)
def test_every_event_is_counted_once(seconds: list[tuple[float, list[int]]]) -> None:
    heat = HeatMap()
    for at_s, values in sorted(seconds):
        heat.add(at_s, arrived(*values))
    columns = heat.to_json()["columns"]

    assert sum(sum(column["counts"]) for column in columns) == sum(
        len(values) for _, values in seconds
    )
    assert all(column["first"] + len(column["counts"]) <= BUCKETS for column in columns)


def test_ten_buckets_are_a_factor_of_ten_from_a_microsecond_on() -> None:
    edges = edges_ms()

    assert len(edges) == BUCKETS + 1
    assert edges[::10] == [10.0**power for power in range(-3, 8)]
    assert edges[1] == 0.001259, "four digits"
    assert edges == sorted(set(edges))


@pytest.mark.parametrize(
    ("value_us", "bucket"),
    [(-7, 0), (0, 0), (1, 0), (2, 3), (9, 9), (10, 10), (99, 19), (100, 20), (1000, 30)],
)
def test_a_value_on_an_edge_belongs_to_what_is_above_it(value_us: int, bucket: int) -> None:
    heat = HeatMap()
    heat.add(0.0, arrived(value_us))

    assert heat.to_json()["columns"] == [{"x": 0.0, "first": bucket, "counts": [1]}]


def test_a_column_begins_and_ends_with_a_bucket_that_holds_something() -> None:
    heat = HeatMap()
    heat.add(5.5, arrived(10, 10, 20, 100))

    (column,) = heat.to_json()["columns"]
    assert column == {"x": 5.0, "first": 10, "counts": [2, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1]}


def test_what_arrives_in_one_second_is_one_column_and_in_the_next_another() -> None:
    heat = HeatMap()
    for at_s, value_us in ((3.0, 10), (3.999, 10), (4.0, 10)):
        heat.add(at_s, arrived(value_us))

    assert [(column["x"], column["counts"]) for column in heat.to_json()["columns"]] == [
        (3.0, [2]),
        (4.0, [1]),
    ]


def test_columns_become_wider_two_by_two_when_there_would_be_too_many() -> None:
    heat = HeatMap()
    for second in (0, 1, 2, MOST_COLUMNS - 1):
        heat.add(float(second), arrived(10))
    assert heat.to_json()["width_s"] == 1.0

    heat.add(float(MOST_COLUMNS), arrived(10, 10))

    told = heat.to_json()
    assert told["width_s"] == 2.0
    assert [(column["x"], column["counts"]) for column in told["columns"]] == [
        (0.0, [2]),
        (2.0, [1]),
        (MOST_COLUMNS - 2.0, [1]),
        (float(MOST_COLUMNS), [2]),
    ]


def test_a_long_silence_is_bridged_at_once() -> None:
    heat = HeatMap()
    heat.add(0.0, arrived(10))
    heat.add(MOST_COLUMNS * 8.0, arrived(10))

    told = heat.to_json()
    assert told["width_s"] == 16.0
    assert [column["x"] for column in told["columns"]] == [0.0, MOST_COLUMNS * 8.0]
