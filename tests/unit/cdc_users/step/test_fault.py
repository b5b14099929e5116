"""What a step under a fault may do, and what it is told for: allowed duplicates pass, a loss never
does.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from cdc_users.measure.judgement.backlog import ProgressSample
from cdc_users.measure.judgement.pressure import PressureSample
from cdc_users.measure.judgement.recovery import FaultMoments, LatencySpan
from cdc_users.measure.judgement.result import Result, Verdict
from cdc_users.measure.judgement.threshold import parse_threshold, with_defaults
from cdc_users.measure.ledger.ledger import Audit
from cdc_users.measure.schedule.fault_plan import PlannedFault
from cdc_users.measure.schedule.plan import Schedule
from cdc_users.observe.message import Final, GaugeSample, GroupSample, SlotSample
from cdc_users.pipeline.telemetry import StepSnapshot
from cdc_users.scenario import Scenario
from cdc_users.step.fault import FIGURES, FaultState, allowances, figures
from cdc_users.step.result import RunRequest, conclude
from cdc_users.step.state import Facts, StepState
from tests.unit.cdc_users.step.test_result import CLEAN, facts, state

T0_US = 1_000_000_000
RATE = 10.0
KILL = PlannedFault(
    "kill-connect", 1, steady_from_s=2.0, inject_at_s=10.0, hold_s=5.0, recover_s=60.0
)


def looks(capacity: float = 40.0) -> list[ProgressSample]:
    """Ten events a second; none comes from second 10 to 15."""
    found = []
    for number in range(150):
        at_s = number / 5
        due = int(RATE * at_s)
        held = RATE * 10
        came = due if at_s <= 10 else held if at_s <= 15 else held + capacity * (at_s - 15)
        found.append(ProgressSample(at_s, due, min(due, int(came)), due))
    return found


def gauge(at_s: float, *, active: bool | None, error: str | None = None) -> GaugeSample:
    slot = SlotSample(active=active, retained_bytes=int(at_s * 1000), error=error)
    return GaugeSample(at_us=T0_US + int(at_s * 1e6), slot=slot, group=GroupSample(lag=int(at_s)))


def done(**changes: Any) -> FaultState:
    return FaultState(
        injected_us=T0_US + 10_000_000,
        healing_us=T0_US + 15_000_000,
        healed_us=T0_US + 15_000_000,
        moments=FaultMoments(2.0, 10.0, 15.0),
        looks=changes.pop("looks", looks()),
        spans=[LatencySpan(float(at), 20.0 if at <= 10 else 800.0) for at in range(1, 13)],
        gauges=[gauge(10.1, active=True), gauge(10.4, active=False), gauge(20.0, active=True)],
        **changes,
    )


def under_fault(fault: str = "kill-connect", **changes: Any) -> StepState:
    """The step of test_result.py, with a fault that was done and undone."""
    made = state(**changes.pop("tally", {}))
    planned = replace(KILL, name=fault)
    made.step = replace(
        made.step, mode="paced", schedule=Schedule.constant(RATE, 1.0), fault=planned
    )
    made.fault = done()
    made.ended_us = T0_US + 40_000_000
    for name, value in changes.items():
        setattr(made, name, value)
    return made


def concluded(made: StepState, known: Facts) -> Result:
    return conclude(RunRequest(Scenario("faults", "?"), "run00000"), [made], known)


def audited(**changes: int) -> Facts:
    return facts(audits={1: {"sink": Audit(**{**CLEAN, **changes})}}, smoke=True)


def test_the_figures_of_a_known_outage_are_told_in_the_order_of_the_file() -> None:
    sample = PressureSample(12.0, 30, 4, 0, 0, 0.0, 1, 0, 0, None, None)

    found = figures(KILL, done(), [sample])

    assert tuple(found) == FIGURES
    assert (found["name"], found["planned_s"], found["injected_s"]) == ("kill-connect", 10.0, 10.0)
    assert found["own_state_s"] == pytest.approx(0.4)
    assert (found["baseline_p99_ms"], found["p99_ms"]) == (20.0, 800.0)
    assert found["most_queued"] == 34
    assert found["most_consumer_lag"] == 20
    assert found["most_wal_retained_bytes"] == 20_000
    assert found["most_backlog"] == pytest.approx(50, abs=2)


def test_a_fault_that_was_not_done_has_its_plan_alone() -> None:
    found = figures(KILL, None, [])

    assert tuple(found) == FIGURES
    assert {name for name, value in found.items() if value is not None} == {
        "name",
        "round",
        "planned_s",
    }


def test_a_server_that_cannot_be_asked_says_so_itself() -> None:
    silent = done()
    silent.gauges = [gauge(9.0, active=None, error="before"), gauge(11.0, active=None, error="no")]

    assert figures(KILL, silent, [])["own_state_s"] == pytest.approx(1.0)


def test_what_may_come_again_follows_from_the_rate() -> None:
    texts = [item.text for item in allowances(KILL, 500.0)]

    assert "duplicated <= 5000" in texts
    assert "lost == 0" in texts


def test_a_duplicate_within_the_bound_passes_and_one_beyond_it_fails() -> None:
    assert concluded(under_fault(), audited(duplicated=100)).verdict is Verdict.PASS

    beyond = concluded(under_fault(), audited(duplicated=101))
    assert beyond.verdict is Verdict.FAIL
    assert "duplicated <= 100, but it is 101" in beyond.reasons[0]


def test_without_a_fault_one_duplicate_fails() -> None:
    assert concluded(state(), audited(duplicated=1)).verdict is Verdict.FAIL


@pytest.mark.parametrize("wrong", ["lost", "reordered", "phantom"])
def test_a_fault_excuses_no_loss_and_no_disorder(wrong: str) -> None:
    assert concluded(under_fault(), audited(**{wrong: 1})).verdict is Verdict.FAIL


def test_the_users_own_threshold_holds_beside_a_fault_too() -> None:
    known = audited(duplicated=50)
    known.thresholds = with_defaults([parse_threshold("duplicated <= 10")])

    assert concluded(under_fault(), known).verdict is Verdict.FAIL


def test_a_pipeline_that_does_not_come_back_has_failed_and_is_not_invalid() -> None:
    known = facts(fenced=False, audits={}, smoke=True)
    known.sink = {1: StepSnapshot(delivered=4, last_us=T0_US)}

    result = concluded(under_fault(drained=False), known)

    assert result.verdict is Verdict.FAIL
    assert "has not recovered from kill-connect" in result.reasons[0]
    assert "25 s before the wait ended" in result.reasons[0]


def test_without_a_fault_a_wait_that_ended_is_invalid() -> None:
    made = state()
    made.drained = False

    assert concluded(made, facts(smoke=True)).verdict is Verdict.INVALID


def test_arrivals_fail_only_where_the_fault_keeps_writers_out() -> None:
    tally = {"completed": 8, "failed": 2}

    assert concluded(under_fault("kill-postgres", tally=tally), audited()).verdict is Verdict.PASS
    assert concluded(under_fault("kill-connect", tally=tally), audited()).verdict is Verdict.FAIL


def test_a_load_that_was_cut_short_on_purpose_is_no_lack_of_traffic() -> None:
    tally = {"offered": 10, "started": 5, "completed": 5}

    result = concluded(under_fault(tally=tally, cut="all is seen"), audited())
    assert result.verdict is Verdict.PASS
    assert result.steps[0].arrivals.offered == 5
    assert concluded(under_fault(tally=tally), audited()).verdict is Verdict.INVALID


def test_only_what_the_fault_explains_is_explained() -> None:
    known = Facts(explained=["Kafka Connect", "Kafka(?! Connect)"])

    assert known.unexplained(["Kafka", "Kafka Connect", "PostgreSQL"]) == ["PostgreSQL"]
    assert Facts().unexplained(["Kafka"]) == ["Kafka"]


def test_a_restart_that_no_fault_explains_is_invalid() -> None:
    known = audited()
    known.restarts = ["PostgreSQL"]

    assert concluded(under_fault(), known).verdict is Verdict.INVALID


def test_a_row_that_one_step_lost_is_not_missed_by_the_others_of_its_rig() -> None:
    shared = Final(compared=100, missing=3)
    one, other = under_fault(), under_fault("pause-kafka")
    other.number = 2
    known = facts(
        audits={
            1: {"sink": Audit(**{**CLEAN, "lost": 3})},
            2: {"sink": Audit(**CLEAN)},
        },
        finals={1: shared, 2: shared},
        smoke=True,
    )

    result = conclude(RunRequest(Scenario("faults", "?"), "run00000"), [one, other], known)

    assert [step.ledger["lost"] for step in result.steps] == [3, 0]


def test_a_row_that_no_audit_misses_and_the_sink_does_is_told_by_every_step_of_the_rig() -> None:
    known = audited()
    known.finals = {1: Final(compared=100, missing=2)}

    assert concluded(under_fault(), known).steps[0].ledger["lost"] == 2
