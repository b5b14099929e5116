"""Thresholds: read with their units, judged on what a step has, never silently passed."""

from __future__ import annotations

from typing import Any

import pytest

from cdc_users.measure.judgement.threshold import (
    METRICS,
    ThresholdError,
    bounds,
    failures,
    parse_threshold,
    parse_thresholds,
    with_defaults,
)
from cdc_users.measure.ledger.audit import CLASSES


def step(**changes: Any) -> dict[str, Any]:
    return {
        "name": "s",
        "mode": "paced",
        "warm_up": False,
        "messages": 100,
        "duration_s": 2.0,
        "throughput_per_s": 50.0,
        "drain_rate_per_s": None,
        "bytes_per_s": 2_000_000.0,
        "arrivals": {"offered": 100, "failed": 0, "late": 3},
        "latency_ms": {
            "end_to_end": {
                "count": 100,
                "mean": 4.0,
                "p50": 3.0,
                "p95": None,
                "p99": None,
                "max": 9.0,
            }
        },
        "ledger": {
            **dict.fromkeys(CLASSES, 0),
            "sent": 100,
            "delivered": 100,
            "fences": "complete",
        },
        "pressure": {"queue_high_water_share": 0.4},
        **changes,
    }


def holds(text: str, **changes: Any) -> bool:
    return not failures([parse_threshold(text)], [step(**changes)])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("end_to_end.p50 < 5ms", True),
        ("end_to_end.p50<3", False),
        ("end_to_end.p50 <= 3ms", True),
        ("latency_ms.end_to_end.max < 0.01s", True),
        ("end_to_end.mean < 3900us", False),
        ("throughput >= 50/s", True),
        ("throughput_per_s > 0.05k/s", False),
        ("bytes > 1.9MB/s", True),
        ("bytes_per_s > 1 GB/s", False),
        ("duplicated == 0", True),
        ("ledger.delivered != 100", False),
        ("late < 3", False),
        ("arrivals.failed == 0", True),
        ("queue_high_water_share < 50%", True),
        ("duration < 1500ms", False),
    ],
)
def test_a_figure_is_compared_in_its_own_unit(text: str, expected: bool) -> None:
    assert holds(text) is expected


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("end_to_end.p99 < 500ms", "100 samples are too few"),
        ("response.p50 < 500ms", "nothing was recorded"),
        ("drain_rate > 1/s", "mode 'paced' has none"),
        ("memory_growth_mb < 50MB", "not measured"),
    ],
)
def test_a_figure_that_is_not_there_fails_and_says_why(text: str, why: str) -> None:
    (failure,) = failures([parse_threshold(text)], [step()])

    assert failure.value is None
    assert why in failure.reason


def test_a_failure_tells_step_threshold_and_value() -> None:
    (failure,) = failures([parse_threshold("throughput > 2000/s")], [step()])

    assert (failure.step, failure.threshold, failure.value) == ("s", "throughput > 2000/s", 50.0)
    assert failure.reason == "s: throughput > 2000/s, but it is 50/s"


def test_warm_ups_are_not_judged() -> None:
    assert not failures([parse_threshold("throughput > 2000/s")], [step(warm_up=True)])


def test_smoke_size_is_judged_by_its_counts_alone() -> None:
    thresholds = parse_thresholds("throughput > 2000/s; lost == 1")

    assert [failure.threshold for failure in failures(thresholds, [step()], counts_only=True)] == [
        "lost == 1"
    ]


@pytest.mark.parametrize("name", CLASSES)
def test_by_default_every_class_of_the_ledger_is_nothing(name: str) -> None:
    ledger = {**step()["ledger"], name: 1}

    assert [
        failure.threshold for failure in failures(with_defaults(()), [step(ledger=ledger)])
    ] == [f"{name} == 0"]


def test_a_threshold_of_its_own_replaces_the_default() -> None:
    thresholds = with_defaults(parse_thresholds("ledger.duplicated < 10"))

    assert not failures(thresholds, [step(ledger={**step()["ledger"], "duplicated": 5})])
    assert len(thresholds) == len(CLASSES)


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("end_to_end.p98 < 5ms", "did you mean 'end_to_end.p9"),
        ("troughput > 5/s", "did you mean 'throughput'?"),
        ("duplicate == 0", "did you mean 'duplicated'?"),
        ("xyzzy == 0", "docs/ci.md"),
        ("end_to_end.p99 < fast", "is not a threshold"),
        ("end_to_end.p99", "is not a threshold"),
        ("end_to_end.p99 = 5ms", "is not a threshold"),
        ("end_to_end.p99 < 5MB/s", "'MB/s' in .* allowed: ms, us, s, m"),
        ("lost == 0ms", "allowed: k, M"),
        ("", "is not a threshold"),
        ("lost == nan", "is not a threshold"),
    ],
)
def test_what_cannot_be_understood_is_named_with_a_remedy(text: str, remedy: str) -> None:
    with pytest.raises(ThresholdError, match=remedy):
        parse_threshold(text)


def test_several_are_read_and_all_mistakes_told() -> None:
    assert len(parse_thresholds("lost == 0; late < 5;\nend_to_end.p99 < 1s;")) == 3
    with pytest.raises(ThresholdError, match=r"troughput.*duplicate"):
        parse_thresholds("troughput > 1; lost == 0; duplicate == 0")


def test_every_metric_has_a_unit_and_is_known_by_its_path() -> None:
    for metric in METRICS.values():
        assert METRICS[".".join(metric.path)] == metric


@pytest.mark.parametrize(
    ("p99", "late", "clock", "outcome"),
    [
        (90.0, 80.0, 0.0, "holds"),
        (130.0, 10.0, 10.0, "fails"),
        (130.0, 40.0, 0.0, "undecided"),
        (95.0, 0.0, 10.0, "undecided"),
    ],
)
def test_a_figure_that_is_not_exact_enough_decides_nothing(
    p99: float, late: float, clock: float, outcome: str
) -> None:
    summary = {"count": 5000, "p99": p99, "late": late, "clock": clock}
    found = failures(
        [parse_threshold("end_to_end.p99 < 100ms")], [step(latency_ms={"end_to_end": summary})]
    )

    assert [failure.undecided for failure in found] == {
        "holds": [],
        "fails": [False],
        "undecided": [True],
    }[outcome]
    if outcome == "undecided":
        assert "cannot be decided" in found[0].reason


def test_a_percentile_that_dropped_arrivals_reach_fails_its_threshold_by_name() -> None:
    summary = {"count": 955, "p99": None, "censored": 45}
    (failure,) = failures(
        [parse_threshold("end_to_end.p99 < 100ms")], [step(latency_ms={"end_to_end": summary})]
    )

    assert "45 dropped arrivals could have been slower" in failure.reason
    assert not failure.undecided


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("end_to_end.p50 < 3", 3.0),
        ("end_to_end.p50 < 3us", 0.003),
        ("end_to_end.p50 < 3m", 180_000.0),
        ("duration < 3", 3.0),
        ("duration < 3ms", 0.003),
        ("duration < 3m", 180.0),
        ("throughput > 3k/s", 3000.0),
        ("throughput > 3M/s", 3e6),
        ("bytes > 3", 3.0),
        ("bytes > 3kB/s", 3000.0),
        ("bytes > 3GB/s", 3e9),
        ("memory_growth_mb < 3", 3.0),
        ("memory_growth_mb < 3kB", 0.003),
        ("memory_growth_mb < 3GB", 3000.0),
        ("sink_busy_share > 0.5", 0.5),
        ("sink_busy_share > 50%", 0.5),
        ("messages > 3k", 3000.0),
        ("messages > 3M", 3e6),
        ("messages > 3G", 3e9),
        ("backlog_at_end < -1", -1.0),
    ],
)
def test_a_unit_is_what_its_kind_of_figure_makes_of_it(text: str, value: float) -> None:
    assert parse_threshold(text).value == pytest.approx(value)


@pytest.mark.parametrize(
    "text", ["throughput > 3x/s", "bytes > 3ms", "duration < 3us", "lost == 3%"]
)
def test_a_unit_of_another_kind_is_refused(text: str) -> None:
    with pytest.raises(ThresholdError, match="is not a unit of"):
        parse_threshold(text)


@pytest.mark.parametrize(
    ("text", "below", "at", "above"),
    [
        ("messages < 100", True, False, False),
        ("messages <= 100", True, True, False),
        ("messages > 100", False, False, True),
        ("messages >= 100", False, True, True),
        ("messages == 100", False, True, False),
        ("messages != 100", True, False, True),
    ],
)
def test_a_comparison_holds_on_its_own_side(text: str, below: bool, at: bool, above: bool) -> None:
    found = [holds(text, messages=messages) for messages in (99, 100, 101)]

    assert found == [below, at, above]


@pytest.mark.parametrize(
    ("text", "percentile", "needed"),
    [
        ("end_to_end.p50 < 1s", 50.0, 20),
        ("capture.p95 < 1s", 95.0, 200),
        ("latency_ms.response.p99 < 1s", 99.0, 1000),
        ("end_to_end.max < 1s", None, 0),
        ("end_to_end.count > 1", None, 0),
        ("lost == 0", None, 0),
        ("recovered < 1s", None, 0),
    ],
)
def test_a_percentile_says_how_many_samples_it_needs(
    text: str, percentile: float | None, needed: float
) -> None:
    threshold = parse_threshold(text)

    assert threshold.percentile == percentile
    assert threshold.samples_needed == pytest.approx(needed)


def test_what_did_not_come_is_told_as_a_share_of_what_was_sent() -> None:
    ledger = {**step()["ledger"], "lost": 3, "unseen": 1, "duplicated": 2, "sent": 400}

    told = {
        name: failures([parse_threshold(f"{name} == 0")], [step(ledger=ledger)])[0].reason
        for name in ("lost", "unseen", "duplicated")
    }

    assert told["lost"].endswith("but it is 3 (0.75% of 400 sent)")
    assert told["unseen"].endswith("but it is 1 (0.25% of 400 sent)")
    assert told["duplicated"].endswith("but it is 2"), "those did come"


def test_of_nothing_sent_no_share_is_told() -> None:
    ledger = {**step()["ledger"], "lost": 3, "sent": 0}
    (failure,) = failures([parse_threshold("lost == 0")], [step(ledger=ledger)])

    assert failure.reason.endswith("but it is 3")


@pytest.mark.parametrize(
    ("checked", "told"), [(40, "but it is 2 of 40 rows looked at (100 came)"), (100, "but it is 2")]
)
def test_corrupt_rows_are_told_as_some_of_those_that_were_looked_at(
    checked: int, told: str
) -> None:
    ledger = {**step()["ledger"], "corrupt": 2, "checked": checked, "delivered": 100}
    (failure,) = failures([parse_threshold("corrupt == 0")], [step(ledger=ledger)])

    assert failure.reason.endswith(told)


@pytest.mark.parametrize(
    ("figure", "expected"),
    [
        ("end_to_end.mean", (86.0, 103.0)),
        ("end_to_end.p99", (86.0, 103.0)),
        ("end_to_end.max", (67.0, 103.0)),
        ("end_to_end.count", (100.0, 100.0)),
        ("throughput", (100.0, 100.0)),
    ],
)
def test_the_truth_lies_below_by_what_came_late_and_around_by_what_clocks_are_apart(
    figure: str, expected: tuple[float, float]
) -> None:
    summary = {"late": 11.0, "late_max": 30.0, "clock": 3.0}
    metric = parse_threshold(f"{figure} < 1").metric

    assert bounds(step(latency_ms={"end_to_end": summary}), metric, 100.0) == expected


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), "complete", None, {"p99": 1}])
def test_what_is_no_number_meets_no_threshold(bad: object) -> None:
    for text in ("messages > 0", "messages <= 0", "messages != 0"):
        (failure,) = failures([parse_threshold(text)], [step(messages=bad)])
        assert failure.value is None


def test_each_step_is_judged_by_each_threshold_in_their_order() -> None:
    thresholds = parse_thresholds("throughput > 60/s; messages > 100")
    steps = [step(name="a"), step(name="b", throughput_per_s=70.0), step(name="c", messages=101)]

    found = [(one.step, one.threshold) for one in failures(thresholds, steps)]

    assert found == [
        ("a", "throughput > 60/s"),
        ("a", "messages > 100"),
        ("b", "messages > 100"),
        ("c", "throughput > 60/s"),
    ]


def test_bounds_of_what_is_held_are_judged_in_smoke_size_too() -> None:
    held = {"queue_high_water": 9, "queue_high_water_share": 0.9, "memory_growth_mb": 9.0}
    text = "; ".join(f"{name} < 0.1" for name in [*held, "stalled_s", "sink_busy_share"])

    found = failures(parse_thresholds(text), [step(pressure=held)], counts_only=True)

    assert [failure.threshold.split()[0] for failure in found] == list(held)


@pytest.mark.parametrize("name", ["p99", "max", "mean"])
def test_a_statistic_alone_is_taken_for_that_of_the_whole_way(name: str) -> None:
    with pytest.raises(ThresholdError, match=f"did you mean 'end_to_end.{name}'"):
        parse_threshold(f"{name} < 5ms")
