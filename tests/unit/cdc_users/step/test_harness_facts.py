"""What a run has gathered becomes the facts from which its validity is judged."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from cdc_users.measure.judgement.processor import ProcessorUse
from cdc_users.measure.latency.recorder import Recorder
from cdc_users.measure.latency.series import EARLIEST
from cdc_users.measure.ledger.ledger import Audit, Outcomes
from cdc_users.measure.schedule.plan import Schedule
from cdc_users.pipeline.telemetry import StepSnapshot
from cdc_users.scenario import Pipeline, Step
from cdc_users.step.harness_facts import (
    clock_bound_ms,
    generator_reasons,
    harness_facts,
    is_incomplete,
    step_facts,
    writers_twice,
)
from cdc_users.step.state import Facts, ReportedShare, StepState
from cdc_users.users.message import Tally
from infra.faults.fault import RETENTION
from tests.unit.cdc_users.step.test_result import CLEAN


def series(**values_ms: tuple[float, int]) -> Recorder:
    """Series by name, each of so many equal values."""
    made = Recorder()
    for name, (value_ms, count) in values_ms.items():
        made.record_many_us(name, np.full(count, round(value_ms * 1000), dtype=np.int64))
    return made


def paced(recorder: Recorder | None = None, lanes: int = 10, **changes: Any) -> StepState:
    """A step of 100 arrivals a second for 10 s, all of them carried out."""
    tally = Tally(offered=1000, started=1000, completed=1000)
    step = Step("s", "paced", Schedule.constant(100, 10), Pipeline(), lanes)
    report = ReportedShare(tally, recorder or series(response=(1, 1000)), wanted_cpu_s=5.0)
    made = StepState(1, step, ("local",), 1_000_000, 11_000_000, reports={"local": report})
    for name, value in changes.items():
        setattr(made, name, value)
    return made


def audit(**changes: int) -> Audit:
    return Audit(**{**CLEAN, **changes})


def of_sink(delivered: int = 1000, **values_ms: tuple[float, int]) -> Facts:
    seen = StepSnapshot(delivered=delivered, recorder=series(**values_ms), last_us=12_500_000)
    return Facts(sink={1: seen})


def test_a_step_is_told_in_the_units_of_its_facts() -> None:
    found = step_facts(paced(), of_sink(end_to_end=(20, 1000)))

    assert (found.planned, found.started, found.completed) == (1000, 1000, 1000)
    assert found.samples == 1000
    assert (found.loaded_s, found.left_s) == (10.0, 1.5)
    assert found.cpu_cores == 0.5
    assert found.end_to_end_p50_ms == pytest.approx(20, rel=0.001)
    assert found.least_ms == pytest.approx(20, rel=0.001)


def test_what_was_failed_is_sampled_too() -> None:
    recorder = series(response=(1, 990), failed=(1, 10))

    assert step_facts(paced(recorder), Facts()).samples == 1000


def test_a_step_that_has_not_loaded_has_no_share_of_a_processor() -> None:
    """GIVEN a load that was stopped before it began, or whose end was never seen."""
    for loaded_us in (0, 999_999, 1_000_000):
        found = step_facts(paced(loaded_us=loaded_us), Facts())
        assert (found.loaded_s, found.cpu_cores) == (None, None)


def test_the_last_event_before_the_loads_end_leaves_nothing_over() -> None:
    facts = of_sink(end_to_end=(20, 1000))
    facts.sink[1].last_us = 10_000_000

    assert step_facts(paced(), facts).left_s == 0.0


def test_a_sink_that_is_seen_as_a_state_is_no_witness_of_times() -> None:
    facts = of_sink(end_to_end=(20, 1000), durable=(1, 1000))
    facts.blind = {1}
    found = step_facts(paced(), facts)

    assert (found.least_ms, found.left_s, found.end_to_end_p50_ms) == (None, None, None)
    assert found.witness_early_ms is None


@pytest.mark.parametrize(
    ("durable_count", "known"), [(0, False), (989, False), (990, False), (991, True), (1009, True)]
)
def test_two_witnesses_are_compared_where_they_saw_the_same_events(
    durable_count: int, known: bool
) -> None:
    facts = of_sink(end_to_end=(20, 1000), durable=(15, durable_count))
    found = step_facts(paced(), facts).witness_early_ms

    assert (found is not None) is known
    assert found is None or found == pytest.approx(5.0, abs=0.05)


def test_the_time_between_looks_is_no_early_witness() -> None:
    """GIVEN a tap that looks every 4 ms: an event may have been there so much earlier."""
    facts = of_sink(end_to_end=(20, 1000), durable=(15, 1000))
    facts.sink[1].recorder.merge(series(**{EARLIEST.name: (16, 1000)}))

    assert step_facts(paced(), facts).witness_early_ms == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize(
    ("bounds_us", "told"),
    [
        ((), None),
        ((None, None), None),
        ((None, 1500), 1.5),
        ((1500, 2250), 2.25),
        ((0,), 0.0),
        ((-1, 2250), -1.0),
        ((2250, -1, None), -1.0),
    ],
)
def test_the_worst_clock_of_all_workers_counts(
    bounds_us: tuple[int | None, ...], told: float | None
) -> None:
    reports = {
        str(number): ReportedShare(clock_bound_us=bound_us)
        for number, bound_us in enumerate(bounds_us)
    }

    assert clock_bound_ms(paced(reports=reports)) == told


@pytest.mark.parametrize(
    ("service_ms", "short"), [(69.0, False), (70.5, True), (200.0, True), (1.0, False)]
)
def test_lanes_are_short_where_the_load_needs_most_of_them_at_the_usual_service_time(
    service_ms: float, short: bool
) -> None:
    """GIVEN 100 arrivals a second and 10 lanes: at 70 ms each, 7 are busy in the mean."""
    recorder = series(response=(1, 1000), service=(service_ms, 1000))

    assert step_facts(paced(recorder), Facts()).lanes_short is short


def test_where_no_service_was_timed_or_nothing_is_paced_lanes_may_be_short() -> None:
    burst = paced(series(response=(1, 10), service=(1, 1000)))
    burst.step = replace(burst.step, schedule=Schedule.volume(10))

    assert step_facts(paced(), Facts()).lanes_short
    assert step_facts(burst, Facts()).lanes_short


def test_a_smoke_run_is_spoilt_by_no_busy_machine() -> None:
    facts = of_sink(end_to_end=(20, 1000), durable=(1, 1000))
    facts.processors = {1: ProcessorUse(others=0.9, waited={"harness": 0.5})}
    recorder = series(response=(1, 1000), loop_lag=(900, 1000), own_delay=(900, 1000))
    state = paced(recorder)
    state.reports["local"] = replace(state.reports["local"], clock_bound_us=9_000)
    spoilt = step_facts(state, facts)
    facts.smoke = True
    smoke = step_facts(state, facts)

    assert (spoilt.mode, spoilt.others_share, spoilt.clock_bound_ms) == ("paced", 0.9, 9.0)
    assert spoilt.loop_lag_ms["p99"] == pytest.approx(900, rel=0.001)
    assert spoilt.own_delay_ms["p99"] == pytest.approx(900, rel=0.001)
    assert spoilt.witness_early_ms is not None
    assert (smoke.mode, smoke.others_share, smoke.clock_bound_ms) == ("burst", None, None)
    assert (smoke.loop_lag_ms, smoke.own_delay_ms, smoke.witness_early_ms) == ({}, {}, None)


@pytest.mark.parametrize(
    ("drained", "fenced", "lost", "unseen", "told"),
    [
        (True, False, 0, 0, True),
        (False, True, 0, 0, False),
        (False, True, 1, 0, True),
        (False, True, 0, 1, True),
        (False, False, 1, 0, False),
    ],
)
def test_a_proved_loss_ends_the_wait_for_it(
    drained: bool, fenced: bool, lost: int, unseen: int, told: bool
) -> None:
    facts = Facts(fenced=fenced, audits={1: {"sink": audit(lost=lost, unseen=unseen)}})

    assert step_facts(paced(drained=drained), facts).drained is told


def test_an_audit_of_another_step_says_nothing_of_this_one() -> None:
    facts = Facts(audits={1: {"sink": audit()}, 2: {"topic": audit(), "sink": audit(lost=1)}})

    assert not is_incomplete(facts, 1)
    assert is_incomplete(facts, 2)
    assert is_incomplete(facts, 1, 2)
    assert is_incomplete(facts)
    assert not is_incomplete(facts, 3)
    assert not is_incomplete(Facts())


def test_events_that_were_lost_are_no_growing_backlog() -> None:
    held = Facts(audits={1: {"topic": audit(), "sink": audit()}})
    losing = Facts(audits={1: {"topic": audit(lost=1), "sink": audit()}})

    assert step_facts(paced(), held).steady
    assert not step_facts(paced(), losing).steady


@pytest.mark.parametrize(("lost", "told"), [(0, 0), (3, 900)])
def test_records_that_were_deleted_after_they_had_been_read_are_no_loss(
    lost: int, told: int
) -> None:
    facts = Facts(retention_lost=900, audits={1: {"sink": audit(lost=lost)}})

    assert harness_facts([paced()], facts).retention_lost == told


def test_what_a_fault_of_the_run_has_deleted_is_explained() -> None:
    facts = Facts(retention_lost=900, audits={1: {"sink": audit(lost=3)}}, explained=[RETENTION])

    assert harness_facts([paced()], facts).retention_lost == 0


def told(step: int, *reports: tuple[int, ...]) -> StepState:
    """A step whose processes have reported these writers."""
    return StepState(
        step,
        paced().step,
        reports={
            str(number): ReportedShare(outcomes={writer: Outcomes() for writer in writers})
            for number, writers in enumerate(reports)
        },
    )


@pytest.mark.parametrize(
    ("states", "twice"),
    [
        ([told(1, (10_000, 10_001)), told(2, (20_000,))], 0),
        ([told(1, (10_000,), (10_000, 10_001))], 1),
        ([told(1, (10_000,), (10_000,), (10_000,))], 1),
        ([told(1, (20_000,))], 1),
        ([told(1, (19_999,)), told(2, (19_999,))], 1),
        ([told(1, (10_000, 10_001), (10_000, 10_001))], 2),
        ([], 0),
    ],
)
def test_a_writer_number_belongs_to_one_process_and_to_its_step(
    states: list[StepState], twice: int
) -> None:
    assert writers_twice(states) == twice


def test_a_generator_that_was_too_slow_itself_did_not_lack_lanes() -> None:
    stalled = series(
        response=(1, 1000), send_delay=(900, 1000), loop_lag=(900, 1000), service=(500, 1000)
    )
    own, crowded = generator_reasons(paced(stalled), Facts())

    assert own
    assert crowded == []


def test_a_generator_whose_lanes_were_all_busy_lacked_lanes() -> None:
    waiting = series(response=(1, 1000), send_delay=(900, 1000), service=(500, 1000))
    own, crowded = generator_reasons(paced(waiting), Facts())

    assert own == []
    assert len(crowded) == 1


def test_a_generator_on_its_plan_has_no_reason_of_either_kind() -> None:
    fine = series(response=(1, 1000), send_delay=(1, 1000), service=(2, 1000))

    assert generator_reasons(paced(fine), Facts()) == ([], [])
