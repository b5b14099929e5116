"""What is just enough to spoil a run, and what a run that was stopped is told beside that."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from cdc_users.measure.judgement.validity import crowded_note
from tests.unit.cdc_users.measure.judgement.test_validity import HEALTHY, reasons


@pytest.mark.parametrize(("others", "spoils"), [(0.5, False), (0.51, True)])
@pytest.mark.parametrize(("waited", "matters"), [(0.5, False), (0.51, True)])
def test_others_spoil_a_run_above_half_of_the_machine_and_half_of_the_time(
    others: float, spoils: bool, waited: float, matters: bool
) -> None:
    crowd = {"others_share": others, "waited_share": {"harness": 0.1, "servers": waited}}

    assert bool(reasons(crowd)) is (spoils and matters)


@pytest.mark.parametrize(("others", "noted"), [(0.15, False), (0.16, True)])
def test_others_are_noted_above_their_limit(others: float, noted: bool) -> None:
    step = replace(HEALTHY, others_share=others, waited_share={"servers": 0.25})

    note = crowded_note(step)

    assert bool(note) is noted
    assert note is None or ("hold: others used 16%" in note and "servers 25%" in note)


def arrivals(**changes: int) -> dict[str, Any]:
    """Ten thousand arrivals that were all carried out, but for the changes."""
    return {"failed": 0, "completed": 10_000, **changes}


@pytest.mark.parametrize(
    ("carried_out", "enough"), [(9_900, True), (9_899, False), (1, False), (0, False)]
)
def test_99_of_100_arrivals_must_have_been_carried_out(carried_out: int, enough: bool) -> None:
    counts = dict.fromkeys(("offered", "started", "completed", "samples"), carried_out)

    found = reasons(arrivals(**counts))

    assert len(found) == (0 if enough else 1)
    assert enough or f"only {carried_out} of 10000" in found[0]


def test_what_was_dropped_alone_is_nothing_that_was_carried_out() -> None:
    """Also where it was planned to be little."""
    dropped = arrivals(planned=5, offered=5, started=0, completed=0, samples=0, dropped=5)

    assert any("only 5 of 5" in reason for reason in reasons(dropped))


def test_one_failure_that_was_not_counted_does_not_add_up() -> None:
    for changes in ({"failed": 1}, {"dropped": 1}, {"started": 9_999}, {"offered": 10_001}):
        assert any("do not add up" in reason for reason in reasons(arrivals(**changes))), changes


def test_a_run_that_was_stopped_is_told_what_does_not_follow_from_that() -> None:
    found = reasons({"drained": False, "witness_early_ms": 9.0}, stop_reason="stopped early")

    assert found[0] == "stopped early"
    assert len(found) == 2
    assert "durable 9.0 ms" in found[1]


@pytest.mark.parametrize(("processes", "told"), [(1, "in 1 process)"), (2, "in 2 processes)")])
def test_processes_are_told_by_their_number(processes: int, told: str) -> None:
    (reason,) = reasons({"cpu_cores": 1.95, "processes": processes})

    assert f"1.95 cores {told}" in reason


@pytest.mark.parametrize("mode", ["burst", "drain"])
def test_what_only_a_paced_load_must_hold_is_asked_of_no_other(mode: str) -> None:
    apart = {
        "clock_bound_ms": 5.0,
        "end_to_end_p50_ms": 9.0,
        "own_delay_ms": {"p99": 900.0},
        "cpu_cores": 1.0,
    }

    assert len(reasons(apart)) == 3
    assert reasons({**apart, "mode": mode}) == []


def test_clocks_without_a_usual_latency_are_not_compared_with_it() -> None:
    assert reasons({"clock_bound_ms": 500.0}) == []
    assert len(reasons({"clock_bound_ms": 500.0, "end_to_end_p50_ms": 4999.0})) == 1


def test_an_unknown_bound_excuses_no_event_that_came_too_early() -> None:
    found = reasons({"clock_bound_ms": -1.0, "least_ms": -2.1})

    assert ["is not known" in reason for reason in found] == [True, False]
    assert "2.1 ms before it was due" in found[1]
