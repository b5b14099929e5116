"""Rates, durations and shares of a step: in their units, at their bounds, from what is known."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

import pytest

from cdc_users.measure.capacity.probe import BacklogSeries
from cdc_users.measure.ledger.ledger import Audit
from cdc_users.measure.schedule.plan import Schedule
from cdc_users.observe.message import Final, GaugeSample, GroupSample
from cdc_users.pipeline.telemetry import StepSnapshot
from cdc_users.scenario import Scenario
from cdc_users.step.result import RunRequest, conclude, harness, readings, step_result
from cdc_users.step.shown import backlogs, shown
from cdc_users.step.stages import stage_figures
from cdc_users.step.state import Facts, StepState
from tests.unit import made_result
from tests.unit.cdc_users.step.test_result import CLEAN, facts, state
from tests.unit.cdc_users.step.test_shown import PART, gauge, loaded
from tests.unit.made_run import moment


def seen(last_us: int = 5_000_000, delivered: int = 10, size: int = 4_000) -> Facts:
    return facts(sink={1: StepSnapshot(delivered=delivered, bytes=size, last_us=last_us)})


def test_rates_are_of_the_time_from_the_begin_to_the_last_event() -> None:
    began = state()
    began.t0_us = 1_000_000
    found = step_result(began, seen())

    assert found.duration_s == 4.0
    assert (found.throughput_per_s, found.drain_rate_per_s) == (2.5, None)
    assert found.bytes_per_s == 1000.0
    assert found.messages == 10


def test_a_drain_is_timed_from_the_first_read_and_has_no_throughput() -> None:
    drain = state()
    drain.step = replace(drain.step, mode="drain")
    drain.drain_us = 3_000_000
    found = step_result(drain, seen())

    assert found.duration_s == 2.0
    assert (found.throughput_per_s, found.drain_rate_per_s) == (None, 5.0)


@pytest.mark.parametrize("last_us", [0, 999_999, 1_000_000])
def test_a_step_of_no_duration_has_no_rate(last_us: int) -> None:
    """GIVEN a last event at the step's very begin, before it, or none."""
    began = state()
    began.t0_us = 1_000_000
    found = step_result(began, seen(last_us))

    assert found.duration_s == 0.0
    assert (found.throughput_per_s, found.bytes_per_s) == (None, None)


def test_a_plan_whose_arrivals_were_dropped_in_part_was_carried_out_all_the_same() -> None:
    paced = state(started=7, dropped=3)
    paced.step = replace(paced.step, mode="paced", schedule=Schedule.constant(10, 1))

    assert step_result(paced, seen(900_000)).duration_s == 1.0
    assert step_result(paced, seen(1_900_000)).duration_s == 1.9
    assert step_result(paced, seen(0)).duration_s == 0.0


def test_a_sink_that_is_seen_as_a_state_tells_no_messages() -> None:
    found = seen()
    found.blind = {1}

    assert step_result(state(), found).messages is None


def test_a_smoke_run_publishes_no_rate() -> None:
    found = seen()
    found.smoke = True
    told = step_result(state(), found)

    assert (told.throughput_per_s, told.bytes_per_s, told.latency_ms) == (None, None, {})
    assert told.messages == 10


def test_a_row_that_one_steps_audit_misses_is_missing_in_no_other_step() -> None:
    """GIVEN two steps of one pipeline that share a comparison of what the sink holds in the end."""
    final = Final(missing=3)
    second = state()
    second.number = 2
    known = facts(
        finals={1: final, 2: final},
        audits={
            1: {"topic": Audit(**CLEAN), "sink": Audit(**{**CLEAN, "lost": 2})},
            2: {"sink": Audit(**CLEAN)},
        },
    )

    assert step_result(state(), known).ledger["lost"] == 3
    assert step_result(second, known).ledger["lost"] == 1
    known.audits[1] = {"sink": Audit(**{**CLEAN, "lost": 9})}
    assert step_result(second, known).ledger["lost"] == 0


def test_a_comparison_of_another_pipeline_counts_for_itself() -> None:
    second = state()
    second.number = 2
    losing = {"sink": Audit(**{**CLEAN, "lost": 2})}
    known = facts(finals={1: Final(missing=2), 2: Final(missing=2)}, audits={1: losing, 2: losing})

    assert step_result(second, known).ledger["lost"] == 2


def test_how_full_the_platform_was_is_a_share_of_its_bound() -> None:
    known = facts(high_water={1: 2_500}, partition_events={1: [4, 6]})
    found = step_result(state(), known).pressure

    assert (found["queue_high_water"], found["queue_high_water_share"]) == (2_500, 0.25)
    assert found["partition_events"] == [4, 6]
    nothing = step_result(state(), facts()).pressure
    assert (nothing["queue_high_water"], nothing["queue_high_water_share"]) == (None, None)


def overloaded(**changes: Any) -> StepState:
    made = state()
    made.step = replace(made.step, mode="paced", steady=False)
    made.loaded_us, made.backlog_at_end = 3_000_000, 400
    for name, value in changes.items():
        setattr(made, name, value)
    return made


def test_what_an_overload_leaves_is_drained_at_a_rate_of_its_own() -> None:
    found = step_result(overloaded(), seen()).pressure

    assert (found["backlog_at_end"], found["time_to_drain_s"]) == (400, 2.0)
    assert found["drain_rate_per_s"] == 200.0


def test_a_backlog_that_was_gone_with_the_load_has_no_rate() -> None:
    found = step_result(overloaded(loaded_us=5_000_000), seen()).pressure

    assert (found["time_to_drain_s"], found["drain_rate_per_s"]) == (0.0, None)


def test_an_overload_that_was_never_drained_and_a_steady_load_have_no_drain() -> None:
    assert "time_to_drain_s" not in step_result(overloaded(drained=False), seen()).pressure
    assert "time_to_drain_s" not in step_result(state(), seen()).pressure


def test_the_steps_of_a_result_are_those_that_ran_through_the_pipeline() -> None:
    """GIVEN a step that never began, and one that measured the harness alone."""
    waiting, null = state(), state()
    waiting.workers = ()
    null.step = replace(null.step, mode="null")
    request = RunRequest(Scenario("s", question="?"), "abcd1234")

    found = conclude(request, [null, state(), waiting], facts())

    assert [step.name for step in found.steps] == ["s"]


def test_a_scaling_run_compares_its_drains_and_nothing_else() -> None:
    pipeline = {"sink": "slow", "partitions": 4, "instances": 2}
    drain = made_result.step_result(
        "d",
        throughput_per_s=None,
        drain_rate_per_s=500.0,
        pipeline=pipeline,
        pressure={"partition_events": [1, 2]},
        duration_s=1.0,
    )
    counting = replace(drain, pipeline={**pipeline, "sink": "counting"}, duration_s=0.99)
    found = readings([made_result.step_result(), drain, counting])

    assert [(one.sink, one.partitions, one.instances) for one in found] == [
        ("waiting", 4, 2),
        ("counting", 4, 2),
    ]
    assert [(one.rate_per_s, one.hasty) for one in found] == [(500.0, False), (500.0, True)]


def test_the_generators_own_cost_is_of_all_its_steps() -> None:
    found = harness([state(), state()])

    assert found["cpu_cores"] == 0.1
    assert found["overhead_us_per_event"] == 10_000.0
    unloaded = state(rows=0)
    unloaded.loaded_us = 0
    assert (harness([unloaded])["cpu_cores"], harness([unloaded])["overhead_us_per_event"]) == (
        None,
        None,
    )


def test_backlogs_are_of_events_where_arrivals_have_several() -> None:
    made = loaded()
    made.step = replace(made.step, rows_per_arrival=3)
    rows = [moment(second, offered=10 * second, sent=25 * second) for second in (1, 2)]
    found = backlogs(made, rows, [])

    assert found["source"].waiting == [5.0, 10.0]
    assert found["source"].through_per_s == 300.0


def test_only_the_seconds_of_a_step_are_its_own() -> None:
    rows = [moment(1, step="before", offered=1), moment(2, offered=2), moment(3, offered=3)]
    found = shown(loaded(), Facts(), rows)

    assert list(found.backlogs["source"].at_s) == [2.0, 3.0]
    assert found.took_s == 11.0


def test_a_step_that_has_not_ended_took_no_time() -> None:
    made = loaded()
    made.ended_us = 0

    assert shown(made, Facts(), []).took_s == 0.0


def test_a_lag_that_is_known_now_and_then_is_known_from_those_seconds() -> None:
    rows = [moment(1, consumer_lag=None, captured=None), moment(2, consumer_lag=7, captured=150)]
    found = backlogs(loaded(), rows, [GaugeSample(at_us=1, group=GroupSample(error="away"))])

    assert (found["topic"].at_s, found["topic"].waiting) == ([2.0], [7.0])
    assert (found["capture"].at_s, found["capture"].waiting) == ([2.0], [50.0])


def test_a_lag_that_was_never_known_is_unknown_and_not_zero() -> None:
    rows = [moment(second, consumer_lag=None, queue_depth=None) for second in (1, 2)]
    found = backlogs(loaded(), rows, [GaugeSample(at_us=1, group=GroupSample(error="away"))])

    assert not found["topic"].known
    assert "queue" not in found
    assert "topic" not in backlogs(loaded(), rows, [GaugeSample(at_us=1)])


def test_a_slot_that_was_seen_once_says_nothing_of_its_growth() -> None:
    unseen = GaugeSample(at_us=1)

    assert not backlogs(loaded(), [], [gauge(1, 100, 1000), gauge(2, None, 2000), unseen])[
        "slot"
    ].known
    twice = backlogs(loaded(), [], [unseen, gauge(1, 100, 1000), gauge(1, 300, 1000)])["slot"]
    assert (twice.known, twice.through_per_s, twice.waiting) == (True, 0.0, [100.0, 300.0])


def figures(made: StepState, gauges: Any = (), waiting: Any = None, **costs: Any) -> Any:
    result = made_result.step_result(cost=costs)
    return stage_figures(made, result, waiting or {}, gauges)


def test_the_brokers_usual_answer_is_that_of_its_answers() -> None:
    known = [GaugeSample(at_us=1, group=GroupSample(took_ms=ms)) for ms in (9.0, 2.0, 3.0)]
    unknown = [GaugeSample(at_us=1), GaugeSample(at_us=1, group=GroupSample(error="away"))]

    assert figures(loaded(), [*known, *unknown]).broker_answer_ms == 3.0
    assert figures(loaded(), unknown).broker_answer_ms is None


def test_the_machine_is_busy_by_all_its_processors() -> None:
    half = {**PART, "cpu_cores": (os.cpu_count() or 1) / 2}

    assert figures(loaded(), machine=half).machine == 0.5
    assert figures(loaded()).machine is None
    assert figures(loaded(), machine=None).machine is None


def test_lanes_are_busy_while_they_wait_for_the_source() -> None:
    """GIVEN 1,000 arrivals of 2 ms each, by 8 lanes in 10 s."""
    assert figures(loaded()).busy["source"] == 0.025
    unloaded = loaded()
    unloaded.loaded_us = unloaded.t0_us
    assert "source" not in figures(unloaded).busy


def test_no_stage_is_busier_than_all_of_its_time() -> None:
    assert figures(loaded(), connect={**PART, "cpu_cores": 1.7}).busy["capture"] == 1.0


def test_the_growth_of_what_is_not_known_is_left_out() -> None:
    waiting = {
        "topic": BacklogSeries((), (), 100.0, known=False),
        "queue": BacklogSeries([0.0, 1.0, 2.0, 3.0], [0.0, 50.0, 100.0, 150.0], 100.0),
    }
    found = figures(loaded(), waiting=waiting)

    assert found.growth == {"queue": pytest.approx(0.5, abs=0.01)}
    assert found.rate_per_s == 100.0
