"""What the smaller of several pipelines predict for the largest."""

from __future__ import annotations

from typing import Any

import pytest

from cdc_users.measure.capacity.comparison import compare
from cdc_users.measure.judgement.search_summary import ComparedSearch


def searched(
    rate_per_s: float | None,
    partitions: int = 1,
    instances: int = 1,
    capture: str = "debezium",
    kind: str = "interval",
) -> ComparedSearch:
    search: Any = {"kind": kind, "low_per_s": rate_per_s, "high_per_s": None}
    return {
        "of": f"{capture}-{partitions}-{instances}",
        "capture": capture,
        "partitions": partitions,
        "instances": instances,
        "search": search,
    }


def amdahl(contention: float, size: int) -> float:
    return 1000 * size / (1 + contention * (size - 1))


def usl(size: int) -> float:
    return 1000 * size / (1 + 0.05 * (size - 1) + 0.01 * size * (size - 1))


def test_one_smaller_size_predicts_in_proportion() -> None:
    largest = compare([searched(1000, 2), searched(1500, 4)])["largest"]

    assert largest is not None
    assert (largest["predicted_per_s"], largest["measured_per_s"]) == (2000, 1500)
    assert largest["error"] == pytest.approx(1 / 3, abs=1e-4)
    assert "proportion" in largest["by"]


def test_two_smaller_sizes_predict_by_contention_alone() -> None:
    largest = compare([searched(amdahl(0.1, size), size) for size in (1, 2, 4)])["largest"]

    assert largest is not None
    assert largest["error"] == pytest.approx(0.0, abs=1e-3)
    assert "Amdahl" in largest["by"]


def test_three_smaller_sizes_predict_by_the_law() -> None:
    largest = compare([searched(usl(size), size) for size in (8, 1, 4, 2)])["largest"]

    assert largest is not None
    assert largest["of"] == "8 partitions"
    assert largest["error"] == pytest.approx(0.0, abs=1e-3)
    assert "Universal Scalability Law" in largest["by"]


def test_a_law_is_fitted_to_all_of_five() -> None:
    found = compare([searched(usl(size), size) for size in (1, 2, 4, 8, 16)])

    assert found["law"] is not None
    assert found["law"]["contention"] == pytest.approx(0.05, abs=1e-3)
    assert compare(found["searches"][:4])["law"] is None


def test_instances_are_a_size_too() -> None:
    found = compare([searched(1000, 4, 1), searched(1800, 4, 2)])

    assert found["size"] == "instances"
    assert found["largest"] is not None
    assert found["largest"]["of"] == "2 instances"


@pytest.mark.parametrize(
    "searches",
    [
        [searched(1000, 1), searched(1000, 1, capture="wal")],
        [searched(1000, 1, 1), searched(2000, 2, 2)],
    ],
)
def test_what_differs_in_more_than_a_size_is_no_curve(searches: list[ComparedSearch]) -> None:
    found = compare(searches)

    assert (found["size"], found["law"], found["largest"]) == (None, None, None)


@pytest.mark.parametrize(("rate", "kind"), [(2000.0, "at_least"), (None, "nothing_holds")])
def test_an_answer_without_both_ends_is_no_point_of_the_curve(
    rate: float | None, kind: str
) -> None:
    assert compare([searched(1000, 1), searched(rate, 2, kind=kind)])["largest"] is None


def test_nothing_is_compared_with_nothing() -> None:
    for few in ([], [searched(1000, 1)]):
        found = compare(few)
        assert (found["size"], found["law"], found["largest"]) == (None, None, None)
        assert found["searches"] == few


def test_the_words_say_by_what_the_largest_was_predicted() -> None:
    told = []
    for sizes in ((1, 2), (1, 2, 4), (1, 2, 4, 8), (1, 2, 4, 8, 16)):
        largest = compare([searched(usl(size), size) for size in sizes])["largest"]
        assert largest is not None
        told.append(largest["by"])

    assert told == [
        "in proportion to the smallest",
        "Amdahl's law, fitted to the 2 smaller ones",
        "the Universal Scalability Law, fitted to the 3 smaller ones",
        "the Universal Scalability Law, fitted to the 4 smaller ones",
    ]


def test_a_prediction_is_above_what_was_measured_by_a_positive_part() -> None:
    above = compare([searched(1000, 2), searched(1600, 4)])["largest"]
    below = compare([searched(1000, 2), searched(2500, 4)])["largest"]

    assert above is not None
    assert below is not None
    assert (above["error"], below["error"]) == (0.25, -0.2)


def test_an_answer_without_both_ends_between_others_is_left_out_alone() -> None:
    searches = [searched(1000, 1), searched(9000, 2, kind="at_least"), searched(3000, 4)]

    largest = compare(searches)["largest"]

    assert largest == {
        "of": "4 partitions",
        "by": "in proportion to the smallest",
        "predicted_per_s": 4000.0,
        "measured_per_s": 3000,
        "error": pytest.approx(1 / 3, abs=1e-4),
    }


def test_amdahls_law_is_found_in_two_sizes_whatever_the_smallest_is() -> None:
    """GIVEN 3 and 6 partitions, in units of which 12 are four."""
    largest = compare([searched(amdahl(0.2, size), 3 * size) for size in (1, 2, 4)])["largest"]

    assert largest is not None
    assert largest["predicted_per_s"] == pytest.approx(2500.0, abs=0.1)
    assert largest["of"] == "12 partitions"


def test_instances_that_differ_beside_partitions_are_no_size() -> None:
    searches = [searched(1000, 1, 1), searched(1500, 2, 1), searched(1900, 2, 2)]

    assert compare(searches)["size"] is None
    assert compare(searches)["law_needs_points"] == 5
