"""What a run gathers while it goes on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from cdc_users.measure.ledger.ledger import Outcomes
from cdc_users.measure.schedule.fault_plan import PlannedFault
from cdc_users.measure.schedule.plan import Schedule
from cdc_users.scenario import Pipeline, Step
from cdc_users.step.state import Facts, ReportedShare, StepState
from cdc_users.users.message import Tally
from infra.faults.fault import RETENTION
from tests.unit.made_result import recorder


def test_what_cannot_be_removed_twice_is_said_once() -> None:
    facts = Facts()

    facts.leave_behind(["topic 'a': no answer"])
    facts.leave_behind(["topic 'a': no answer", "slot 'b': in use"])

    assert facts.notes == ["left behind: topic 'a': no answer", "left behind: slot 'b': in use"]


def step_state(*reports: ReportedShare, workers: int | None = None, **changes: Any) -> StepState:
    count = len(reports) if workers is None else workers
    step = Step("s", "paced", Schedule.constant(10, 1), Pipeline(), lanes=1, **changes)
    return StepState(
        1,
        step,
        tuple(map(str, range(count))),
        reports={str(number): report for number, report in enumerate(reports)},
    )


DONE = ReportedShare(Tally(offered=10, started=6, dropped=1), done=True)


def test_a_step_is_loaded_when_every_one_of_its_processes_has_finished() -> None:
    assert step_state(DONE, DONE).loaded
    assert not step_state(DONE, replace(DONE, done=False)).loaded
    assert not step_state(DONE, workers=2).loaded, "one of them has not reported yet"
    assert not step_state().loaded, "a step that has not begun"
    assert not step_state(DONE).is_done("nobody")


def test_counts_are_those_of_all_processes() -> None:
    assert step_state(DONE, DONE).total("offered") == 20
    assert step_state().total("offered") == 0


def test_a_load_that_was_cut_with_its_fault_offered_what_came_due() -> None:
    planned = PlannedFault("kill-connect", 1, 0.0, 2.0, 3.0, 5.0)
    cut = step_state(DONE, DONE, fault=planned)
    cut.cut = "the pipeline is gone"

    assert cut.total("offered") == 14
    assert cut.total("started") == 12
    cut.cut = ""
    assert cut.total("offered") == 20
    without_fault = step_state(DONE, DONE)
    without_fault.cut = "the backlog grows without end"
    assert without_fault.total("offered") == 20


def test_what_was_sent_is_every_acknowledged_sequence_of_every_writer() -> None:
    one = ReportedShare(outcomes={10_000: Outcomes(acked=[(1, 1), (3, 5)], failed=[(2, 2)])})
    other = ReportedShare(outcomes={10_001: Outcomes(acked=[(1, 10)], unknown=[(11, 12)])})

    assert step_state(one, other).sent == 14
    assert set(step_state(one, other).outcomes()) == {10_000, 10_001}


def test_series_of_all_processes_are_merged() -> None:
    parts = [ReportedShare(recorder=recorder(response=value_ms)) for value_ms in (1.0, 3.0)]
    merged = step_state(*parts).recorder().histogram("response")

    assert (merged.count, merged.sum_us) == (2000, 4_000_000)
    assert parts[0].recorder.histogram("response").count == 1000, "and stay as they are"


def test_what_a_fault_of_the_run_explains_is_no_reason_and_the_rest_is() -> None:
    facts = Facts(explained=["^connect restarted", "slot"])

    assert facts.unexplained(["connect restarted", "kafka restarted", "a slot is gone"]) == [
        "kafka restarted"
    ]
    assert facts.unexplained([]) == []


def test_what_retention_has_deleted_counts_unless_a_fault_has_it_deleted() -> None:
    assert Facts(retention_lost=5).overtaken() == 5
    assert Facts(retention_lost=5, explained=[RETENTION]).overtaken() == 0
