"""Each reason for INVALID by itself; a healthy run has none."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cdc_users.measure.judgement.backlog import ProgressSample
from cdc_users.measure.judgement.run_facts import HarnessFacts, StepFacts
from cdc_users.measure.judgement.validity import (
    OF_RUN,
    OF_STEP,
    crowded_note,
    invalid_reasons,
    lanes_note,
)


def looks(backlogs: list[float], per_s: int = 1000) -> list[ProgressSample]:
    return [
        ProgressSample(float(at), per_s * at, per_s * at - round(backlog))
        for at, backlog in enumerate(backlogs)
    ]


HEALTHY = StepFacts(
    name="hold",
    mode="paced",
    planned=10_000,
    offered=10_000,
    started=10_000,
    completed=9_990,
    failed=10,
    dropped=0,
    samples=10_000,
    send_delay_ms={"p50": 0.5, "p95": 1.0, "p99": 1.5, "max": 150.0},
    loop_lag_ms={"p50": 0.5, "p95": 1.0, "p99": 3.0, "max": 200.0},
    cpu_cores=0.6,
    looks=looks([30, 35, 28, 31, 40, 22, 36, 30, 33, 29, 31, 34]),
)

#: Send delays as they are where what is late is dropped.
DROPPING = {"failed": 0, "send_delay_ms": {"p50": 60.0, "p95": 95.0, "p99": 99.0, "max": 100.0}}


def reasons(step: dict[str, Any] | None = None, **run: Any) -> list[str]:
    return invalid_reasons(HarnessFacts(steps=[replace(HEALTHY, **(step or {}))], **run))


def test_arrivals_that_fail_were_offered_and_are_a_failure_of_their_own() -> None:
    assert not reasons({"completed": 0, "failed": 10_000})


def test_a_healthy_run_has_no_reason() -> None:
    assert reasons() == []


@pytest.mark.parametrize(
    ("run", "word"),
    [
        ({"stop_reason": "stopped early by SIGTERM"}, "stopped early by SIGTERM"),
        ({"workers_lost": 1, "workers": 2}, "1 of 2 workers was lost"),
        ({"workers_lost": 2, "workers": 3}, "2 of 3 workers were lost"),
        ({"clock_step_ms": -200.0}, "moved by -200 ms"),
        ({"clock_step_ms": 101.0}, "moved by 101 ms"),
        ({"writers_twice": 45}, "45 writer numbers belonged to several lanes"),
        ({"fenced": False}, "unseen, not lost"),
        ({"retention_lost": 7}, "retention overtook the consumer by 7"),
        ({"restarts": ["platform-1"]}, "platform-1 restarted"),
        ({"disturbed": ["somebody altered s.t"]}, "somebody altered s.t in mid-run"),
        ({"unreadable": ["the sink tap could not read what came: x"]}, "could not read what came"),
    ],
)
def test_a_run_is_invalid_for(run: dict[str, Any], word: str) -> None:
    (reason,) = reasons(**run)

    assert word in reason


@pytest.mark.parametrize(
    ("step", "word"),
    [
        ({"drained": False}, "within --drain-timeout"),
        ({"started": 9_999, "completed": 9_989, "samples": 9_999}, "do not add up"),
        ({"completed": 9_980}, "do not add up"),
        ({"samples": 9_000}, "of 10000 arrivals offered, 9000 have a latency and 0 were dropped"),
        ({"planned": 11_000}, "only 10000 of 11000"),
        (
            {"completed": 0, "failed": 0, "started": 0, "dropped": 10_000, "samples": 0},
            "(0 completed)",
        ),
        (
            DROPPING | {"started": 8_999, "completed": 8_999, "dropped": 1_001, "samples": 8_999},
            "1001 of 10000",
        ),
        (
            DROPPING | {"started": 200, "completed": 200, "dropped": 9_800, "samples": 200},
            "dropped (limit 10%)",
        ),
        ({"send_delay_ms": {"p99": 101.0, "max": 900.0}}, "behind its plan (send delay p99 101 ms"),
        ({"send_delay_ms": {"p99": None, "p95": 101.0, "max": 900.0}}, "send delay p95 101 ms"),
        ({"send_delay_ms": {"p99": None, "p95": None, "max": 101.0}}, "send delay max 101 ms"),
        ({"own_delay_ms": {"p99": 101.0, "max": 300.0}}, "(own delay p99 101 ms"),
        ({"loop_lag_ms": {"p99": 101.0, "max": 300.0}}, "event loop stalled"),
        ({"loop_lag_ms": {"p99": None, "max": 2000.0}}, "event loop stalled"),
        ({"cpu_cores": 0.95}, "saturated"),
        ({"clock_bound_ms": -1.0}, "clock of a worker's host is off is not known"),
        ({"clock_bound_ms": 1.5, "end_to_end_p50_ms": 9.0}, "known to within 1.5 ms only"),
        ({"least_ms": -283.0}, "an event was seen 283.0 ms before it was due"),
        ({"witness_early_ms": 308.0}, "durable 308.0 ms (in the mean) before"),
        (
            {"looks": looks([30.0 + 50 * at for at in range(12)])},
            "no steady state: the backlog grew by 50.0",
        ),
    ],
)
def test_a_step_is_invalid_for(step: dict[str, Any], word: str) -> None:
    found = reasons(step)

    assert len(found) == 1 or "samples" in step or "completed" in step
    assert any(word in reason for reason in found)
    assert all(reason.startswith("hold: ") for reason in found)


@pytest.mark.parametrize(
    "step",
    [
        {"mode": "burst", "send_delay_ms": {"p99": 5000.0}, "cpu_cores": 1.0},
        {"cpu_cores": 1.7, "processes": 2},
        # The server stood still for a second: all lanes waited for it, and none was late itself.
        {
            "send_delay_ms": {"p99": 900.0, "max": 1000.0},
            "own_delay_ms": {"p99": 2.0, "max": 20.0},
            "lanes_short": False,
        },
        DROPPING | {"started": 9_000, "completed": 9_000, "dropped": 1_000, "samples": 9_000},
        {"clock_bound_ms": 0.8, "end_to_end_p50_ms": 9.0, "least_ms": -2.5},
        {"steady": False, "looks": looks([50.0 * at for at in range(12)])},
        {"looks": looks([50.0 * at for at in range(5)])},
        {"looks": ()},
        {"send_delay_ms": {}, "loop_lag_ms": {}, "cpu_cores": None},
        {
            "warm_up": True,
            "send_delay_ms": {"p99": 5000.0},
            "looks": looks([50.0 * at for at in range(12)]),
        },
    ],
)
def test_a_step_is_valid_with(step: dict[str, Any]) -> None:
    assert reasons(step) == []


def test_clocks_may_be_read_a_moment_apart() -> None:
    assert reasons(clock_step_ms=-100.0) == []


def test_a_run_without_a_step_has_no_numbers() -> None:
    assert invalid_reasons(HarnessFacts()) == ["no step has run"]
    assert invalid_reasons(HarnessFacts(stop_reason="stopped early")) == ["stopped early"]


def test_being_stopped_is_said_once_and_not_by_its_consequences() -> None:
    assert reasons(
        {"started": 5_000, "completed": 5_000, "failed": 0}, stop_reason="stopped early"
    ) == ["stopped early"]


def test_lanes_that_ran_out_name_how_many_are_needed() -> None:
    assert lanes_note(HEALTHY, 0, 8, 1000.0, 20.0) is None
    short = lanes_note(HEALTHY, 500, 8, 1000.0, 20.0)
    burst = lanes_note(HEALTHY, 500, 8, 1000.0, 2.0)

    assert short is not None
    assert burst is not None
    assert "needs at least 21" in short
    assert "needs 2 lanes on average" in burst
    assert "--lanes 16" in burst


def test_the_page_has_a_row_for_every_reason() -> None:
    page = (Path(__file__).resolve().parents[5] / "docs" / "measurement.md").read_text(
        encoding="utf-8"
    )
    table = page.partition("| reason | when |\n|---|---|\n")[2].partition("\n\n")[0]

    # The stack's profile is told beside them, by the conclusion.
    assert len(table.splitlines()) == len(OF_RUN) + len(OF_STEP) + 1


BUSY = {"servers": 0.7, "platform": 0.4, "harness": 0.2}


def test_a_machine_that_others_keep_busy_makes_a_burst_invalid_too() -> None:
    for mode in ("paced", "burst"):
        (reason,) = reasons({"mode": mode, "others_share": 0.63, "waited_share": BUSY})

        assert "others used 63% of this machine's processors" in reason
        assert "servers 70%" in reason


@pytest.mark.parametrize(
    "step",
    [
        {"others_share": 0.63, "waited_share": {"servers": 0.3}},
        {"others_share": 0.4, "waited_share": BUSY},
        {"others_share": None, "waited_share": BUSY},
        {"others_share": 0.9, "waited_share": {}},
    ],
)
def test_others_that_take_little_or_that_nobody_waits_for_spoil_nothing(
    step: dict[str, Any],
) -> None:
    assert reasons(step) == []


@pytest.mark.parametrize(
    ("others", "noted"), [(None, False), (0.1, False), (0.2, True), (0.45, True), (0.9, False)]
)
def test_others_are_noted_before_they_spoil_a_run(others: float | None, noted: bool) -> None:
    note = crowded_note(replace(HEALTHY, others_share=others, waited_share=BUSY))

    assert (note is not None) == noted


#: What a figure may be at most (or at least), and what is already too much.
LIMITS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "send delay": (
        {"send_delay_ms": {"p99": 100.0}},
        {"send_delay_ms": {"p99": 100.01}},
    ),
    "own delay": (
        {"own_delay_ms": {"p99": 100.0}, "lanes_short": False},
        {"own_delay_ms": {"p99": 100.01}, "lanes_short": False},
    ),
    "usual loop lag": ({"loop_lag_ms": {"p99": 100.0}}, {"loop_lag_ms": {"p99": 100.01}}),
    "longest loop lag": (
        {"loop_lag_ms": {"p99": 1.0, "max": 1000.0}},
        {"loop_lag_ms": {"p99": 1.0, "max": 1000.1}},
    ),
    "cores": ({"cpu_cores": 0.9}, {"cpu_cores": 0.901}),
    "cores of two processes": (
        {"cpu_cores": 1.8, "processes": 2},
        {"cpu_cores": 1.81, "processes": 2},
    ),
    "traffic": ({"planned": 10_101}, {"planned": 10_102}),
    "witness": ({"witness_early_ms": 2.0}, {"witness_early_ms": 2.01}),
    "clocks": (
        {"clock_bound_ms": 1.0, "end_to_end_p50_ms": 10.0},
        {"clock_bound_ms": 1.01, "end_to_end_p50_ms": 10.0},
    ),
    "least latency": (
        {"least_ms": -2.5, "clock_bound_ms": 0.5, "end_to_end_p50_ms": 10.0},
        {"least_ms": -2.51, "clock_bound_ms": 0.5, "end_to_end_p50_ms": 10.0},
    ),
    "last events of a short load": (
        {"loaded_s": 3.0, "left_s": 0.26, "end_to_end_p50_ms": 10.0, "looks": ()},
        {"loaded_s": 3.0, "left_s": 0.27, "end_to_end_p50_ms": 10.0, "looks": ()},
    ),
    "last events of a long load": (
        {"loaded_s": 60.0, "left_s": 3.01, "end_to_end_p50_ms": 10.0, "looks": ()},
        {"loaded_s": 60.0, "left_s": 3.02, "end_to_end_p50_ms": 10.0, "looks": ()},
    ),
}


@pytest.mark.parametrize("limit", LIMITS)
def test_a_limit_may_be_reached_and_not_passed(limit: str) -> None:
    reached, passed = LIMITS[limit]

    assert reasons(reached) == []
    assert len(reasons(passed)) == 1


@pytest.mark.parametrize("limit", set(LIMITS) - {"witness", "clocks", "least latency"})
def test_a_probe_may_find_that_the_load_was_too_much(limit: str) -> None:
    assert reasons({**LIMITS[limit][1], "probe": True}) == []


@pytest.mark.parametrize("limit", ["witness", "clocks", "least latency"])
def test_a_probe_whose_clocks_are_wrong_has_found_nothing(limit: str) -> None:
    assert len(reasons({**LIMITS[limit][1], "probe": True})) == 1


def test_a_warm_up_must_be_whole_and_nothing_else() -> None:
    slow = {"warm_up": True, "send_delay_ms": {"p99": 5000.0}, "witness_early_ms": 9.0}

    assert reasons(slow) == []
    assert [
        "within --drain-timeout" in reason for reason in reasons({**slow, "drained": False})
    ] == [True]


def test_reasons_of_the_run_come_before_those_of_its_steps() -> None:
    first, second = reasons({"drained": False}, fenced=False)

    assert "fences" in first
    assert second.startswith("hold: ")


def test_a_load_of_which_nothing_is_known_is_judged_by_nothing() -> None:
    assert reasons({"left_s": 9.0, "looks": ()}) == []
    assert reasons({"loaded_s": 9.0, "looks": ()}) == []


@pytest.mark.parametrize(("loaded_s", "word"), [(9.9, "too short to judge"), (10.0, "no steady")])
def test_a_load_that_left_much_behind_is_judged_where_it_was_long_enough(
    loaded_s: float, word: str
) -> None:
    (reason,) = reasons({"loaded_s": loaded_s, "left_s": 5.0, "looks": ()})

    assert word in reason


def test_every_reason_of_a_run_is_told_and_each_of_several_names() -> None:
    found = reasons(
        workers_lost=1,
        workers=2,
        retention_lost=3,
        restarts=["kafka", "connect"],
        disturbed=["a", "b"],
        unreadable=["c"],
    )

    assert [word for reason in found for word in ("kafka", "connect") if word in reason] == [
        "kafka",
        "connect",
    ]
    assert len(found) == 7


def test_each_step_is_told_by_its_name() -> None:
    steps = [replace(HEALTHY, name=name, drained=False) for name in ("a", "b")]

    found = invalid_reasons(HarnessFacts(steps=steps))

    assert [reason.partition(": ")[0] for reason in found] == ["a", "b"]


def test_a_lane_count_that_is_just_enough_on_average_is_too_few() -> None:
    """1,000/s of 8 ms each keep eight lanes busy all the time, and none is free for a burst."""
    short = lanes_note(HEALTHY, 1, 8, 1000.0, 8.0)
    enough = lanes_note(HEALTHY, 1, 9, 1000.0, 8.0)

    assert short is not None
    assert enough is not None
    assert "at least 9" in short
    assert "8 lanes on average" in enough
    assert "--lanes 18" in enough


def test_one_lane_is_told_in_the_singular() -> None:
    note = lanes_note(HEALTHY, 1, 4, 10.0, 1.0)

    assert note is not None
    assert "needs 1 lane on average" in note


@pytest.mark.parametrize("step", [{"mode": "burst"}, {}])
def test_lanes_that_sufficed_or_were_not_timed_are_not_noted(step: dict[str, Any]) -> None:
    made = replace(HEALTHY, **step)

    assert lanes_note(made, 0, 8, 1000.0, 20.0) is None
    assert lanes_note(made, 5, 8, 1000.0, None) is None
    assert (lanes_note(made, 5, 8, 1000.0, 20.0) is None) is (made.mode == "burst")
