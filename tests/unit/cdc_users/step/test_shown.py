"""What a step that has ended shows: where events waited, how busy each stage was."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from cdc_users.measure.judgement.backlog import ProgressSample
from cdc_users.observe.message import GaugeSample, GroupSample, SlotSample
from cdc_users.pipeline.telemetry import StepSnapshot
from cdc_users.step.shown import backlogs, shown
from cdc_users.step.stages import stage_figures
from cdc_users.step.state import Facts, StepState
from tests.unit.made_result import recorder, step_result
from tests.unit.made_run import moment, state

PART = {"cpu_cores": 0.9, "rss_mb": 1.0, "uss_mb": 1.0, "written_mb_per_s": 0.0}


def gauge(at_s: float, lag: int | None, wal: int, took_ms: float | None = None) -> GaugeSample:
    slot = SlotSample(lag_bytes=lag, wal_bytes=wal)
    return GaugeSample(
        at_us=round(at_s * 1e6), slot=slot, group=GroupSample(lag=0, took_ms=took_ms)
    )


def loaded() -> StepState:
    made = state()
    made.loaded_us, made.ended_us = made.t0_us + 10_000_000, made.t0_us + 11_000_000
    return made


SECONDS = [
    moment(second, offered=110 * second, captured=95 * second, consumer_lag=3, queue_depth=2)
    for second in range(1, 9)
]


def test_every_place_has_what_waited_there_while_the_load_lasted() -> None:
    found = backlogs(loaded(), SECONDS, [])

    assert found["source"].waiting == [10.0 * second for second in range(1, 9)]
    assert found["capture"].waiting == [5.0 * second for second in range(1, 9)]
    assert set(found["topic"].waiting) == {3.0}
    assert set(found["queue"].waiting) == {2.0}
    assert found["source"].through_per_s == 100.0


def test_seconds_after_the_last_arrival_are_not_the_loads() -> None:
    after = moment(11, offered=1000)

    found = backlogs(loaded(), [*SECONDS, after], [])

    assert len(found["source"].at_s) == len(SECONDS)


def test_what_comes_due_after_a_load_was_cut_short_is_no_backlog_of_the_source() -> None:
    made = loaded()
    made.cut = "it was hopeless"
    made.looks = [ProgressSample(second, 0, 0) for second in range(1, 4)]

    assert [*backlogs(made, SECONDS, [])["source"].at_s] == [1, 2, 3]


def test_a_slot_is_held_against_the_wal_that_is_written() -> None:
    found = backlogs(loaded(), SECONDS, [gauge(1, 100, 1000), gauge(3, 200, 5000)])

    assert found["slot"].waiting == [100.0, 200.0]
    assert found["slot"].through_per_s == 2000.0


@pytest.mark.parametrize("gauges", [[gauge(1, None, 0), gauge(2, None, 0)], [gauge(1, 5, 0)]])
def test_a_slot_that_nobody_could_look_at_is_not_known(gauges: list[GaugeSample]) -> None:
    assert not backlogs(loaded(), SECONDS, gauges)["slot"].known


def test_a_group_whose_lag_nobody_tells_is_not_known_and_not_zero() -> None:
    silent = [replace(second, consumer_lag=None) for second in SECONDS]

    found = backlogs(loaded(), silent, [gauge(1, 5, 0), gauge(2, 5, 10)])

    assert not found["topic"].known
    assert "topic" not in backlogs(loaded(), silent, [])


def test_how_busy_a_stage_was_is_a_part_of_its_time() -> None:
    costs: dict[str, Any] = {
        "postgres-walsender": {**PART, "cpu_cores": 0.2},
        "connect": {**PART, "cpu_cores": 1.4},
        "platform-1": {**PART, "cpu_cores": 0.3},
        "platform-2": {**PART, "cpu_cores": 0.6},
    }
    result = step_result(cost=costs, pressure={"sink_busy_share": 0.7})

    found = stage_figures(loaded(), result, {}, [gauge(1, 0, 0, 4.0), gauge(2, 0, 0, 8.0)])

    assert found.busy == {
        # 1,000 transactions of 2 ms in 10 s, by 8 lanes.
        "source": 0.025,
        "walsender": 0.2,
        "capture": 1.0,
        "consumer": 0.6,
        "sink": 0.7,
    }
    assert found.broker_answer_ms == 6.0
    assert found.machine is None
    assert found.waits_ms["capture"] == 5.0


def test_postgresql_says_how_often_its_walsender_was_at_work() -> None:
    """GIVEN a walsender that used little of a processor but was mostly at work, as far as seen."""
    result = step_result(cost={"postgres-walsender": {**PART, "cpu_cores": 0.1}})
    looks = [SlotSample(sender_busy=busy) for busy in (True, True, None, True, False)]
    samples = [GaugeSample(at_us=at, slot=look) for at, look in enumerate(looks)]

    assert stage_figures(loaded(), result, {}, samples).busy["walsender"] == 0.75


def test_a_server_that_runs_elsewhere_has_no_share() -> None:
    found = stage_figures(loaded(), step_result(cost={"connect": None}), {}, [])

    assert "capture" not in found.busy
    assert found.broker_answer_ms is None


def test_a_step_shows_its_figures_before_its_audit() -> None:
    made, facts = loaded(), Facts()
    made.drained, made.cut = True, "it was hopeless"
    facts.sink[1] = StepSnapshot(
        delivered=1000, last_us=made.t0_us + 10_000_000, recorder=recorder(end_to_end=10.0)
    )

    found = shown(made, facts, SECONDS)

    assert (found.drained, found.cut, found.took_s) == (True, "it was hopeless", 11.0)
    assert found.result.latency_ms["end_to_end"]["p50"] == pytest.approx(10.0, rel=0.01)
    assert found.result.ledger == {}
    assert found.recorder.histogram("end_to_end").count == 1000
    assert found.generator == []
