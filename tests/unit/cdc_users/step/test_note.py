"""What of a run is worth knowing and spoils nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cdc_users.measure.latency.recorder import Recorder
from cdc_users.measure.offset import ONE_CLOCK, ClockOffset
from cdc_users.measure.schedule.plan import Schedule
from cdc_users.pipeline.telemetry import StepSnapshot
from cdc_users.scenario import Pipeline, Step
from cdc_users.step.harness_facts import clock_bound_ms, has_lost, is_incomplete
from cdc_users.step.note import (
    CAUSES_TOLD,
    bound_notes,
    clock_notes,
    load_notes,
    notes,
    stranger_notes,
)
from cdc_users.step.state import Facts, ReportedShare, StepState
from cdc_users.users.message import Tally
from tests.unit.cdc_users.step.test_result import audited


def step_state(*reports: ReportedShare, probe: bool = False) -> StepState:
    step = Step("s", "burst", Schedule.volume(10), Pipeline(), lanes=1, probe=probe)
    return StepState(1, step, reports={str(place): one for place, one in enumerate(reports)})


def failing(**errors: int) -> ReportedShare:
    return ReportedShare(Tally(failed=sum(errors.values()), errors=errors))


def test_why_arrivals_failed_is_summed_over_all_processes() -> None:
    found = load_notes([step_state(failing(timeout=2, refused=1), failing(timeout=3))])

    assert found == ["s: 5 x timeout", "s: 1 x refused"]


def test_the_most_frequent_causes_are_named_and_no_more() -> None:
    causes = {f"cause{number}": number for number in range(1, CAUSES_TOLD + 4)}
    found = load_notes([step_state(failing(**causes))])

    assert len(found) == CAUSES_TOLD
    assert found[0] == f"s: {CAUSES_TOLD + 3} x cause{CAUSES_TOLD + 3}"
    assert found[-1] == "s: 4 x cause4"


def test_a_full_queue_of_a_producer_is_counted() -> None:
    recorder = Recorder()
    recorder.record_many_us("backpressure", np.full(3, 1000, dtype=np.int64))

    assert load_notes([step_state(ReportedShare(recorder=recorder))]) == [
        "s: a producer's local queue was full 3 times"
    ]


@pytest.mark.parametrize(
    ("strangers", "said"), [(0, None), (1, "1 worker that"), (2, "2 workers that")]
)
def test_who_knocked_and_was_sent_away_is_said(strangers: int, said: str | None) -> None:
    found = stranger_notes(Facts(strangers=strangers))

    assert len(found) == (said is not None)
    assert said is None or found[0].startswith(said)


def test_a_clock_of_the_sources_own_is_said_with_its_bound() -> None:
    assert clock_notes(Facts(source_clock=ONE_CLOCK)) == []
    (note,) = clock_notes(Facts(source_clock=ClockOffset(-2_500_000, 150)))
    assert note.startswith("PostgreSQL's clock is -2500.0 ms off this machine's (within 0.15 ms)")


def test_what_came_again_is_said_of_its_step() -> None:
    state = step_state(ReportedShare())
    facts = Facts(sink={1: StepSnapshot(delivered=5, duplicated=2)})

    (note,) = bound_notes([state], facts)
    assert note.startswith("s: 2 events arrived again")
    assert bound_notes([state], Facts()) == []


def test_of_a_search_its_answer_is_enough() -> None:
    """A probe's own notes would repeat themselves for each rate; the run's stand."""
    probing = step_state(failing(timeout=1), probe=True)
    facts = Facts(notes=["of the run"], strangers=1)
    found = notes([probing], facts)

    assert found[0] == "of the run"
    assert not any("timeout" in note for note in found)
    assert any("1 worker that" in note for note in found)


@pytest.mark.parametrize(
    ("bounds", "known"),
    [
        ([], None),
        ([None, None], None),
        ([None, 1500], 1.5),
        ([1500, 2500], 2.5),
        ([1500, -1], -1.0),
    ],
)
def test_the_steps_clocks_are_as_good_as_the_worst_of_them(
    bounds: list[int | None], known: float | None
) -> None:
    shares = [replace(ReportedShare(), clock_bound_us=bound) for bound in bounds]

    assert clock_bound_ms(step_state(*shares)) == known


def test_a_loss_is_incomplete_and_so_is_what_has_not_been_seen_yet() -> None:
    """At any tap; of the steps that are asked for."""
    facts = Facts(
        audits={
            1: {"topic": audited(), "sink": audited(lost=1)},
            2: {"sink": audited(unseen=1)},
            3: {"sink": audited()},
        }
    )

    assert [has_lost(facts, step) for step in (1, 2, 3, 4)] == [True, False, False, False]
    assert [is_incomplete(facts, step) for step in (1, 2, 3, 4)] == [True, True, False, False]
    assert is_incomplete(facts)
    assert not is_incomplete(Facts())
