"""Reasons of a verdict at their very bounds, and what stands back before another reason."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from cdc_users.measure.judgement.result import Verdict
from cdc_users.measure.judgement.threshold import parse_thresholds, with_defaults
from cdc_users.measure.ledger.ledger import CLASSES, Audit
from cdc_users.measure.schedule.fault_plan import PlannedFault
from cdc_users.measure.schedule.plan import Schedule
from cdc_users.pipeline.telemetry import StepSnapshot
from cdc_users.step.fault import FaultState
from cdc_users.step.state import Broken, Facts, Gone, StepState
from cdc_users.step.verdict import (
    STALL_LIMIT_S,
    STANDSTILL_S,
    fail_reasons,
    gone_reasons,
    invalid_reasons,
    judge,
    stall_reasons,
    unrecovered_reasons,
)
from tests.unit.cdc_users.step.test_result import CLEAN, facts, state
from tests.unit.made_result import step_result

#: A clean audit of a thousand events.
LEDGER: dict[str, int | str] = {
    **dict.fromkeys(CLASSES, 0),
    "sent": 1000,
    "delivered": 1000,
    "fences": "complete",
}
FAULT = PlannedFault("kill-connect", 1, 0.0, 2.0, 3.0, 5.0)


def paused(stalled_s: float) -> Any:
    return step_result(pressure={"stalled_s": stalled_s})


def test_a_pause_of_the_limit_is_no_stall_and_a_longer_one_is() -> None:
    assert stall_reasons([paused(STALL_LIMIT_S), step_result(pressure={})]) == []
    assert stall_reasons([paused(0), paused(STALL_LIMIT_S + 0.1)]) == [
        "step-1: partitions stayed paused for 5.1 s with nothing held"
    ]


def still(**changes: Any) -> StepState:
    """A step from whose pipeline nothing has come for as long as it takes."""
    made = state()
    for name, value in {"drained": False, "quiet_s": STANDSTILL_S, **changes}.items():
        setattr(made, name, value)
    return made


def test_a_system_that_stands_still_has_failed() -> None:
    silent = Facts(fenced=False)

    (told,) = gone_reasons([still()], silent)
    assert told == (
        "s: the system stands still: no event had come, and in 10 s not one more came, nor any"
        " fence"
    )


@pytest.mark.parametrize(
    ("changes", "known"),
    [
        ({"quiet_s": STANDSTILL_S - 0.1}, {"fenced": False}),
        ({"drained": True}, {"fenced": False}),
        ({}, {"fenced": True}),
        ({}, {"fenced": False, "fences_seen": True}),
        ({}, {"fenced": False, "stop_reason": "stopped early"}),
    ],
    ids=["not long", "all came", "fences came", "a fence came", "it was stopped"],
)
def test_a_system_that_may_still_move_does_not_stand_still(
    changes: dict[str, Any], known: dict[str, Any]
) -> None:
    assert gone_reasons([still(**changes)], Facts(**known)) == []


def test_a_part_that_is_gone_is_said_with_the_last_sign_of_life() -> None:
    seen = StepSnapshot(delivered=7, last_us=2_500_000)
    silent = still(number=2, t0_us=3_000_000)
    found = gone_reasons(
        [still(t0_us=1_000_000), silent], Facts(gone=[Gone(2, "it died")], sink={1: seen})
    )

    assert found == ["s: it died; the last of 7 events (of 10 sent) came 1.5 s after s began"]


def faulty(**changes: Any) -> StepState:
    made = still(ended_us=60_000_000, **changes)
    made.step = replace(made.step, fault=FAULT)
    made.fault = FaultState(healed_us=20_000_000)
    return made


def test_a_pipeline_that_does_not_recover_after_its_fault_was_undone_has_failed() -> None:
    (told,) = unrecovered_reasons([faulty()], Facts())

    assert told.startswith("s: the pipeline has not recovered from kill-connect: no event had come")
    assert told.endswith("the fault was undone 40 s before the wait ended")


@pytest.mark.parametrize(
    ("changes", "known"),
    [
        ({"drained": True}, {}),
        ({"ended_us": 0}, {}),
        ({}, {"stop_reason": "stopped early"}),
        ({}, {"audits": {1: {"sink": Audit(**{**CLEAN, "lost": 1})}}}),
    ],
    ids=["it has", "the wait goes on", "it was stopped", "what is missing was lost"],
)
def test_a_pipeline_has_recovered_or_the_ledger_says_why_not(
    changes: dict[str, Any], known: dict[str, Any]
) -> None:
    made = faulty()
    for name, value in changes.items():
        setattr(made, name, value)

    assert unrecovered_reasons([made], Facts(**known)) == []
    assert unrecovered_reasons([still(ended_us=60_000_000)], Facts()) == []


def test_a_fault_that_was_never_done_explains_nothing() -> None:
    made = faulty()
    made.fault = None

    assert unrecovered_reasons([made], Facts()) == []


def test_of_what_broke_a_run_the_first_is_its_verdict() -> None:
    broken = facts(broken=[Broken("the observer died", 2), Broken("then the stack", 3)])

    assert judge([state()], [step_result()], broken) == (Verdict.ERROR, ["the observer died"])


def test_arrivals_that_failed_are_told_by_step_and_not_of_a_probe() -> None:
    tally = replace(step_result().arrivals, failed=3)
    failed, probe = step_result(arrivals=tally), step_result(arrivals=tally, probe=True)

    assert fail_reasons([state()], [failed], Facts()) == ["step-1: 3 of 1000 arrivals failed"]
    assert fail_reasons([state()], [probe], Facts()) == []


def test_what_somebody_else_has_written_is_no_failure_of_the_pipeline() -> None:
    """GIVEN rows that were changed by others: these classes follow from that, a loss does not."""
    ledger = {**LEDGER, "duplicated": 1, "stale": 2, "lost": 4}
    found = Facts(thresholds=with_defaults(()), disturbed=["somebody else changed rows"])

    reasons = fail_reasons([state()], [step_result(ledger=ledger)], found)
    assert [reason for reason in reasons if "lost" in reason]
    assert not [reason for reason in reasons if "duplicated" in reason or "stale" in reason]
    found.disturbed = []
    assert len(fail_reasons([state()], [step_result(ledger=ledger)], found)) == len(reasons) + 2


@pytest.mark.parametrize("kind", ["warm_up", "probe"])
def test_what_a_warm_up_loses_is_lost_and_what_it_takes_is_not_judged(kind: str) -> None:
    """GIVEN thresholds of a latency and of an amount, which are for what is judged."""
    thresholds = (*with_defaults(()), *parse_thresholds("end_to_end.p99 < 1ms; delivered >= 5000"))
    ledger = {**LEDGER, "lost": 1}
    spoilt = step_result(ledger=ledger, warm_up=kind == "warm_up", probe=kind == "probe")
    (judged,) = fail_reasons([state()], [spoilt], Facts(thresholds=thresholds))

    assert "lost" in judged
    plain = replace(spoilt, warm_up=False, probe=False)
    assert len(fail_reasons([state()], [plain], Facts(thresholds=thresholds))) == 3


def test_without_an_audit_its_thresholds_judge_nothing() -> None:
    bare = step_result(ledger={})

    assert fail_reasons([state()], [bare], Facts(thresholds=with_defaults(()))) == []


def test_a_system_that_died_of_a_fault_fails_by_the_name_of_its_step() -> None:
    made = state()
    found = Facts(gone=[Gone(made.number, "the reader ended with 3")])

    verdict, reasons = judge([made], [step_result()], found)

    assert verdict is Verdict.FAIL
    assert reasons[0].startswith(f"{made.step.name}: the reader ended with 3; ")
    assert judge([made], [step_result()], Facts())[1][:1] != reasons[:1]


def test_a_fault_that_was_not_done_makes_its_step_invalid() -> None:
    made = state()
    made.fault = FaultState(refused="the slot is not invalid")

    assert f"{made.step.name}: the fault was not done: the slot is not invalid" in (
        invalid_reasons([made], Facts())
    )
    made.fault = FaultState()
    assert not any("not done" in reason for reason in invalid_reasons([made], Facts()))


def test_a_step_under_a_fault_may_deliver_again_what_the_fault_explains_and_no_more() -> None:
    made = state()
    made.step = replace(made.step, mode="paced", schedule=Schedule.constant(100, 10), fault=FAULT)
    made.fault = FaultState()
    many = {**LEDGER, "duplicated": 999_999}
    few = {**LEDGER, "duplicated": 1}
    found = Facts(thresholds=with_defaults(()))

    def duplicated(ledger: dict[str, int | str], known: Facts) -> list[str]:
        judged = fail_reasons([made], [step_result(ledger=ledger)], known)
        return [reason for reason in judged if "duplicated" in reason]

    assert duplicated(few, found) == []
    assert len(duplicated(many, found)) == 1
    strict = Facts(thresholds=with_defaults(parse_thresholds("duplicated < 1")))
    assert len(duplicated(few, strict)) == 1, "the user's own threshold holds under a fault too"
