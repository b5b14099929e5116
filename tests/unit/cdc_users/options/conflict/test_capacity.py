"""What a search needs of its options: an order, a time, a connector, and series with samples."""

from __future__ import annotations

from typing import Any

import pytest

from cdc_users.measure.capacity.search import OVERHEAD_S
from cdc_users.measure.judgement.threshold import parse_thresholds
from cdc_users.options.conflict.capacity import (
    WARM_UP_S,
    an_outage_has_a_connector,
    budget_fits_a_probe,
    search_goes_up,
    slo_has_its_samples,
    slo_has_its_series,
)

SEARCH: dict[str, Any] = {
    "from_": 200.0,
    "most": 1000.0,
    "probe": 20.0,
    "confirm": 60.0,
    "precision": 0.03,
    "warm_up": None,
    "budget": 1200.0,
}
PIPELINE: dict[str, Any] = {
    "source": "postgres",
    "capture": "debezium",
    "transport": "kafka",
    "sink": "counting",
    "platform": "reference",
    "connector": "",
}


@pytest.mark.parametrize(
    ("start", "most", "refused"),
    [(200.0, 1000.0, False), (1000.0, 1000.0, False), (1000.5, 1000.0, True), (5.0, None, False)],
)
def test_a_search_begins_no_higher_than_it_ends(start: float, most: Any, refused: bool) -> None:
    told = search_goes_up({"from_": start, "most": most})

    assert bool(told) is refused
    assert not refused or told == [
        "--from 1000.5/s is above --most 1000/s; lower the one or raise the other"
    ]
    assert search_goes_up({"most": most}) == [], "its mistake is told already"


def least_s(**changes: Any) -> float:
    """The shortest budget that is taken, to a tenth of a second."""
    budgets = (tenth / 10 for tenth in range(20_000))
    return next(b for b in budgets if not budget_fits_a_probe({**SEARCH, **changes, "budget": b}))


def test_a_budget_takes_a_probe_and_its_confirmation_with_a_warm_up_each() -> None:
    both_s = SEARCH["probe"] + SEARCH["confirm"]
    assert least_s() == both_s + 2 * (WARM_UP_S + OVERHEAD_S)
    assert least_s(warm_up=2.0) == both_s + 2 * (2.0 + OVERHEAD_S)
    assert least_s(warm_up=WARM_UP_S) == least_s(warm_up=None)


def test_a_budget_that_is_too_short_is_told_with_all_that_it_is_made_of() -> None:
    (told,) = budget_fits_a_probe({**SEARCH, "budget": 5.0, "warm_up": 3.0})

    for part in ("--budget 5s", "take 92 s", "--probe 20s", "--confirm 60s", "warm-up of 3 s"):
        assert part in told


@pytest.mark.parametrize("name", ["from_", "most", "probe", "confirm", "precision", "warm_up"])
def test_a_value_that_could_not_be_read_makes_no_second_mistake(name: str) -> None:
    values = {**SEARCH, "budget": 1.0}
    assert budget_fits_a_probe(values)
    del values[name]

    assert budget_fits_a_probe(values) == []
    assert budget_fits_a_probe({**SEARCH, "budget": None}) == []


@pytest.mark.parametrize(
    ("changes", "refused"),
    [
        ({}, False),
        ({"capture": "wal"}, True),
        ({"capture": "none"}, True),
        ({"connector": "mine"}, True),
        ({"source": "topic"}, True),
        ({"source": None}, False),
        ({"outage": None, "capture": "wal"}, False),
    ],
)
def test_an_outage_pauses_a_connector_of_the_runs_own(
    changes: dict[str, Any], refused: bool
) -> None:
    assert bool(an_outage_has_a_connector({**PIPELINE, "outage": 20.0, **changes})) is refused


@pytest.mark.parametrize(
    ("series", "changes", "refused"),
    [
        ("end_to_end", {"source": "topic"}, False),
        ("commit", {}, False),
        ("capture", {}, False),
        ("commit", {"source": "topic"}, True),
        ("capture", {"source": "topic"}, True),
        ("fetch", {}, False),
        ("fetch", {"capture": "wal", "transport": "kinesis"}, True),
        ("queue", {"platform": "none"}, True),
        ("sink_write", {"platform": "none"}, True),
        ("fetch", {"platform": "none"}, True),
        ("commit", {"platform": "none"}, False),
        ("queue", {"platform": "a command"}, False),
        ("commit", {"source": "unreadable"}, False),
        ("commit", {"source": "topic", "capture": "unreadable"}, False),
    ],
)
def test_an_slo_is_of_a_series_that_the_pipeline_has(
    series: str, changes: dict[str, Any], refused: bool
) -> None:
    values = {**PIPELINE, **changes, "slo": parse_thresholds(f"{series}.p99 < 1s")}
    told = slo_has_its_series(values)

    assert bool(told) is refused
    assert not refused or (f"no series {series!r}" in told[0] and "end_to_end" in told[0])


def test_an_slo_of_something_else_than_a_latency_needs_no_series() -> None:
    values = {**PIPELINE, "source": "topic", "slo": parse_thresholds("delivered >= 1")}

    assert slo_has_its_series(values) == []
    assert slo_has_its_series({**PIPELINE, "slo": None}) == []


@pytest.mark.parametrize(
    ("percentile", "start", "probe_s", "refused"),
    [
        ("p99", 50.0, 20.0, False),
        ("p99", 49.9, 20.0, True),
        ("p95", 10.0, 20.0, False),
        ("p95", 9.9, 20.0, True),
        ("p50", 1.0, 20.0, False),
        ("p50", 0.9, 20.0, True),
        ("max", 0.1, 1.0, False),
    ],
)
def test_a_percentile_has_ten_samples_beyond_it_in_the_first_probe_already(
    percentile: str, start: float, probe_s: float, refused: bool
) -> None:
    slo = parse_thresholds(f"end_to_end.{percentile} < 1s")
    values = {"slo": slo, "from_": start, "probe": probe_s}

    assert bool(slo_has_its_samples(values)) is refused
    assert slo_has_its_samples({**values, "smoke": True}) == [], "a smoke run judges no figure"
    assert slo_has_its_samples({"slo": slo, "probe": probe_s}) == []
