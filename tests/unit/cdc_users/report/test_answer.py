"""A run's answer is one sentence that claims no more than its result."""

from __future__ import annotations

from typing import Any

import pytest

from cdc_users.measure.judgement.result import Verdict
from cdc_users.report.answer import answer, largest
from tests.unit.made_result import COUNTS, result, step_result

FINE = {"sent": 1000, "delivered": 1000, **COUNTS, "fences": "complete"}


def ledger(**changes: Any) -> dict[str, Any]:
    return {**FINE, **changes}


def test_an_invalid_run_answers_nothing_whatever_it_measured() -> None:
    assert answer(result(Verdict.INVALID)) == (
        "This run answers nothing: its numbers may not be used."
    )


@pytest.mark.parametrize("verdict", [Verdict.ERROR, Verdict.STACK])
def test_a_run_that_broke_has_no_answer(verdict: Verdict) -> None:
    assert answer(result(verdict)) == "This run did not come to an answer."


@pytest.mark.parametrize("verdict", [Verdict.PASS, Verdict.FAIL])
def test_a_run_without_a_step_has_no_answer(verdict: Verdict) -> None:
    assert answer(result(verdict, steps=[])) == "This run did not come to an answer."


def test_what_came_how_fast_and_whole() -> None:
    step = step_result("größe", messages=12345, duration_s=9.876, throughput_per_s=1250.4)

    assert answer(result(steps=[step])) == (
        "12,345 events reached the sink in 9.88 s, 1,250/s (größe), p50 10.0 ms, p99 10.0 ms end to"
        " end; none was lost, doubled or reordered."
    )


def test_a_drain_is_told_as_one_and_never_as_throughput() -> None:
    step = step_result(messages=500, throughput_per_s=None, drain_rate_per_s=99.6, latency_ms={})

    assert answer(result(steps=[step])).startswith(
        "500 waiting events were drained at 100/s (step-1); "
    )


def test_a_smoke_run_publishes_no_figure() -> None:
    step = step_result(messages=5, throughput_per_s=None, drain_rate_per_s=None, latency_ms={})

    assert answer(result(steps=[step])) == (
        "5 events of step-1 reached the sink (a smoke run, which publishes no figure); none was"
        " lost, doubled or reordered."
    )


def test_a_sink_that_is_seen_as_a_state_has_no_count() -> None:
    step = step_result(messages=None, latency_ms={})

    assert answer(result(steps=[step])).startswith(
        "The rows that step-1 brought to the sink were compared at the end; "
    )


@pytest.mark.parametrize(
    ("latency", "told"),
    [
        ({"end_to_end": {"p50": 1.25, "p99": 1234.56}}, ", p50 1.2 ms, p99 1,234.6 ms end to end;"),
        ({"end_to_end": {"p50": 0.0, "p99": None}}, ", p50 0.0 ms end to end;"),
        ({"end_to_end": {}}, "(step-1);"),
        ({"capture": {"p50": 5.0}}, "(step-1);"),
    ],
)
def test_latency_is_told_as_far_as_it_is_known(latency: dict[str, Any], told: str) -> None:
    assert told in answer(result(steps=[step_result(latency_ms=latency)]))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"lost": 1, "duplicated": 2000}, "1 lost, 2,000 duplicated."),
        ({"undeleted": 3}, "3 undeleted."),
        ({"unseen": 7}, "none was lost, doubled or reordered."),
        ({"lost": None}, "none was lost, doubled or reordered."),
    ],
)
def test_what_the_audit_found_wrong_is_counted_by_kind(changes: dict[str, Any], told: str) -> None:
    text = answer(result(Verdict.FAIL, steps=[step_result(ledger=ledger(**changes))]))

    assert text.endswith(f"; {told}")


def test_counts_are_of_all_steps() -> None:
    steps = [step_result(name, ledger=ledger(lost=2)) for name in ("a", "b")]

    assert answer(result(Verdict.FAIL, steps=steps)).endswith("; 4 lost.")


@pytest.mark.parametrize("fences", ["partial", "missing", None])
def test_without_all_fences_nothing_is_called_lost(fences: str | None) -> None:
    steps = [step_result("a"), step_result("b", ledger=ledger(fences=fences, lost=5))]

    assert answer(result(Verdict.FAIL, steps=steps)).endswith(
        "; missing events are unseen, not lost, because the fences did not arrive."
    )


@pytest.mark.parametrize(
    ("pressure", "told"),
    [
        (
            {
                "queue_high_water_share": 0.876,
                "memory_growth_mb": 12.34,
                "time_to_drain_s": 3.0,
            },
            ", while the platform held at most 88% of its bound and grew by 12.3 MB;",
        ),
        (
            {"queue_high_water_share": 1.0, "time_to_drain_s": 0.0},
            ", while the platform held at most 100% of its bound;",
        ),
        ({"queue_high_water_share": 0.5}, "end to end;"),
        ({"time_to_drain_s": 3.0}, "end to end;"),
    ],
)
def test_how_full_a_platform_got_is_told_where_it_was_to_fill_up(
    pressure: dict[str, Any], told: str
) -> None:
    assert told in answer(result(steps=[step_result(pressure=pressure)]))


def test_the_step_with_most_events_stands_for_the_run_and_no_warm_up_does() -> None:
    steps = [
        step_result("warm", messages=9000, warm_up=True),
        step_result("small", messages=10),
        step_result("large", messages=20),
        step_result("state", messages=None),
    ]

    found = largest(result(steps=steps))
    assert found is not None
    assert found.name == "large"
    assert "(large)" in answer(result(steps=steps))
    assert largest(result(steps=steps[:1])) is None
    assert "(warm)" in answer(result(steps=steps[:1]))


def point(**changes: Any) -> dict[str, Any]:
    return {
        "partitions": 4,
        "instances": 1,
        "sink": "slow",
        "rate_per_s": 4321.0,
        "speed_up": 2.5,
        **changes,
    }


def test_of_several_configurations_the_best_is_told() -> None:
    points = [point(partitions=1, speed_up=1.0), point(), point(partitions=8, speed_up=2.4)]

    assert answer(result(scaling={"points": points, "law": {}})) == (
        "4 partitions and 1 instance drained 4,321/s into the slow sink, 2.50 times the first"
        " configuration; none was lost, doubled or reordered."
    )


def test_a_drain_that_was_too_short_is_not_compared() -> None:
    points = [point(speed_up=9.0, hasty=True), point(partitions=1, instances=2, speed_up=1.0)]

    assert answer(result(scaling={"points": points, "law": {}})).startswith(
        "1 partition and 2 instances drained"
    )
    assert answer(result(scaling={"points": points[:1], "law": {}})).startswith(
        "No two configurations can be compared, because the drains were too short; "
    )


def test_a_scaling_of_no_point_is_told_as_any_other_run() -> None:
    assert "reached the sink" in answer(result(scaling={"points": [], "law": {}}))
