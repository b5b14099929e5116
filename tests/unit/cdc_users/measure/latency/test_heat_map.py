"""The heat map: every event is in one cell, in time and latency, however long the run."""

from __future__ import annotations

import numpy as np
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
