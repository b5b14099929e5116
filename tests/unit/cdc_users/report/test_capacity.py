"""What a search came to, as a sentence, a table, a file and charts."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest

from cdc_users.report.answer import answer
from cdc_users.report.capacity import (
    COLUMNS,
    comparison_table,
    curve_csv,
    physics,
    search_table,
    sentence,
)
from cdc_users.report.chart import capacity, search_charts
from tests.unit.made_result import result


def probe(rate_per_s: float, *, held: bool | None, long: bool = False) -> dict[str, Any]:
    return {
        "step": f"capacity-{rate_per_s:g}",
        "rate_per_s": rate_per_s,
        "long": long,
        "held": held,
        "delivered_per_s": rate_per_s,
        "p50_ms": 5.0,
        "p99_ms": 20.0 if held else None,
        "p99_9_ms": None,
        "cores": 1.25 if held else None,
        "lanes": 8,
        "took_s": 28.0,
        "growth": {"slot": 0.0},
        "reason": "" if held else "the backlog grew",
    }


FOUND: Any = {
    "kind": "interval",
    "low_per_s": 1830.0,
    "high_per_s": 1884.0,
    "held_per_s": 1830.0,
    "failed_per_s": 1884.0,
    "confirmed": 2,
    "limit": None,
    "why": "the backlog grew by 40.0 events/s",
    "slo": ["end_to_end.p99 < 1s"],
    "bottleneck": {"words": "The bottleneck is capture: 40 events/s pile up before it"},
    "predictions": {
        "rate_per_s": 915.0,
        "outage_s": 20.0,
        "catch_up_s": {"predicted": 20.0, "measured": 22.0, "error": -0.0909},
        "wal_held_back_bytes_per_s": {"predicted": 4e5, "measured": None, "error": None},
        "disk_bytes": 1e10,
        "disk_full_s": 25_000.0,
    },
    "probes": [
        probe(1600, held=True),
        probe(3200, held=False),
        probe(1830, held=True, long=True),
        probe(2000, held=None),
    ],
}


def test_an_interval_is_told_with_why_its_upper_end_failed_and_what_limits_it() -> None:
    assert sentence(FOUND) == (
        "The pipeline holds 1,830 events/s and not 1,884 (end_to_end.p99 < 1s): there the backlog"
        " grew by 40.0 events/s. The bottleneck is capture: 40 events/s pile up before it."
    )


@pytest.mark.parametrize(
    ("limit", "told"),
    [
        ("most", "it held at --most"),
        ("ceiling", "60 % of what the harness itself can do"),
        ("generator", "the generator could not offer more"),
        (None, "the budget ended"),
    ],
)
def test_at_least_says_what_ended_the_search(limit: str | None, told: str) -> None:
    found: Any = {
        **FOUND,
        "kind": "at_least",
        "high_per_s": None,
        "limit": limit,
        "why": "the budget ended",
        "bottleneck": None,
    }

    assert sentence(found).startswith("The pipeline holds at least 1,830 events/s")
    assert told in sentence(found)


def test_nothing_holds_and_no_answer_say_why() -> None:
    nothing: Any = {**FOUND, "kind": "nothing_holds", "low_per_s": None, "high_per_s": 50.0}
    none: Any = {**FOUND, "kind": "undecided", "low_per_s": None, "high_per_s": None}

    assert sentence(nothing).startswith("Nothing holds: at 50 events/s the backlog grew")
    assert sentence(none).startswith("There is no answer: the backlog grew")


def test_the_answer_of_a_run_ends_with_what_the_audit_found() -> None:
    told = answer(result(capacity=FOUND))

    assert told.startswith("The pipeline holds 1,830")
    assert told.endswith("None was lost, doubled or reordered.")


def test_the_table_has_a_line_for_each_probe_and_its_judgement() -> None:
    lines = search_table(FOUND).splitlines()

    assert len(lines) == 2 + len(FOUND["probes"])
    assert [
        word in line
        for word, line in zip(("held", "failed", "held", "weak"), lines[2:], strict=True)
    ] == [True] * 4
    assert "confirm" in lines[4]
    assert "1.25" in lines[2]


def test_what_was_predicted_stands_beside_what_was_measured() -> None:
    catch_up, held_back = physics(FOUND)

    assert "20.0 s predicted, 22.0 s measured (-9%)" in catch_up
    assert "0.4 MB/s predicted; 10 GB last 25,000 s" in held_back
    assert physics(FOUND | {"predictions": None}) == []


def test_what_a_lower_bound_predicts_is_told_as_the_most_that_it_can_be() -> None:
    assert ": 20.0 s predicted" in physics(FOUND)[0]
    assert ": at most 20.0 s predicted" in physics(FOUND | {"kind": "at_least"})[0]


def test_a_stop_that_is_never_made_good_is_told_as_never() -> None:
    told = dict(FOUND["predictions"])
    told["catch_up_s"] = {"predicted": None, "measured": None, "error": None}

    assert "never" in physics(FOUND | {"predictions": told})[0]


def test_the_file_has_every_probe_in_order() -> None:
    rows = list(csv.DictReader(io.StringIO(curve_csv(result(capacity=FOUND)))))

    assert list(rows[0]) == list(COLUMNS)
    assert [float(row["rate_per_s"]) for row in rows] == [1600, 3200, 1830, 2000]
    assert [row["held"] for row in rows] == ["True", "False", "True", ""]


def test_the_charts_ascend_by_rate() -> None:
    charts = list(search_charts(FOUND))

    assert [chart.title for chart in charts] == [
        "Latency by rate",
        "Throughput by rate",
        "Processors by rate",
    ]
    assert all(list(chart.x) == [1600, 1830, 2000, 3200] for chart in charts)
    assert charts[2].values["cores"] == [1.25, 1.25, None, None]


def test_a_search_without_a_probe_has_no_chart() -> None:
    assert list(search_charts(FOUND | {"probes": []})) == []


COMPARED: Any = {
    "searches": [
        {"of": f"{size}-partitions", "capture": "debezium", "partitions": size, "instances": 1}
        | {"search": FOUND | {"low_per_s": 1000.0 * size}}
        for size in (1, 2)
    ],
    "size": "partitions",
    "law": None,
    "law_needs_points": 5,
    "largest": {
        "of": "2 partitions",
        "by": "in proportion to the smallest",
        "predicted_per_s": 2200.0,
        "measured_per_s": 2000.0,
        "error": 0.1,
    },
}


def test_several_searches_stand_side_by_side_with_the_error_of_predicting_the_largest() -> None:
    lines = comparison_table(COMPARED)

    assert ["1,000" in lines[1], "2,000" in lines[2]] == [True, True]
    assert "2,200/s predicted in proportion to the smallest, 2,000/s found (+10%)" in lines[3]
    assert "no law was fitted" in lines[4]


def test_several_answers_are_one_sentence_and_one_file() -> None:
    made = result(capacities=COMPARED)

    assert answer(made).startswith(
        "1-partitions holds 1,000 events/s and not 1,884; 2-partitions holds 2,000"
    )
    assert len(list(csv.DictReader(io.StringIO(curve_csv(made))))) == 2 * len(FOUND["probes"])


def test_each_search_has_its_charts_and_all_have_one_by_size() -> None:
    titles = [chart.title for chart in capacity(result(capacities=COMPARED))]

    assert titles[0] == "Capacity by size"
    assert {title.partition("(")[2] for title in titles[1:]} == {"1-partitions)", "2-partitions)"}
