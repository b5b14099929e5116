"""Trouble and warnings are told when they become true, before the audit."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cdc_users.measure.contract import ConsumerTelemetry, PlatformTelemetry
from cdc_users.pipeline.telemetry import PipelineSnapshot, Snapshot, StepSnapshot
from cdc_users.step.timeline_row import TimelineRow
from cdc_users.view.concern import concerns, verdict, warnings
from tests.unit.made_result import result
from tests.unit.made_run import MadeRun, moment, state

pytestmark = pytest.mark.gevent


def growing(per_s: int = 50, seconds: int = 6) -> list[TimelineRow]:
    return [moment(second, backlog=per_s * second) for second in range(1, seconds + 1)]


def test_failed_arrivals_are_trouble_before_the_audit() -> None:
    run = MadeRun(states=[state(failed=2)])

    assert concerns(run) == ["step-1: 2 arrivals failed"]
    assert verdict(run) == "trouble so far"


def test_what_came_twice_is_trouble_at_once() -> None:
    seen = StepSnapshot(delivered=1000, duplicated=3)
    run = MadeRun(look=PipelineSnapshot(sink=Snapshot(steps={1: seen})))

    assert concerns(run) == ["step-1: 3 events arrived more than once"]


def test_a_growing_backlog_is_said_while_it_grows() -> None:
    run = MadeRun(moments=growing())

    assert warnings(run) == [
        "the backlog grows by 50 events a second: 300 were sent and not delivered"
    ]
    assert verdict(run) == "warnings so far"


@pytest.mark.parametrize(
    "moments",
    [growing(seconds=3), growing(per_s=1), [], [moment(second, backlog=9) for second in range(9)]],
    ids=["just begun", "a trifle", "no second yet", "it stays"],
)
def test_what_does_not_grow_is_no_warning(moments: list[TimelineRow]) -> None:
    run = MadeRun(moments=moments)

    assert warnings(run) == []
    assert verdict(run) == "good so far"


def test_arrivals_that_wait_for_a_lane_are_said() -> None:
    moments = [moment(second, offered=1000, started=700) for second in range(1, 7)]

    (told,) = warnings(MadeRun(moments=moments))
    assert told.startswith("300 arrivals that are due have not been started")


def test_a_burst_and_a_load_that_has_ended_have_a_backlog_by_their_nature() -> None:
    burst = state()
    burst.step = replace(burst.step, mode="burst")
    ended = state()
    ended.loaded_us = 1

    assert warnings(MadeRun(moments=growing(), states=[burst])) == []
    assert warnings(MadeRun(moments=growing(), states=[ended])) == []


def test_a_run_that_has_concluded_says_its_verdict() -> None:
    run = MadeRun(moments=growing(), result=result())

    assert verdict(run) == "PASS"
    assert warnings(run) == []


@pytest.mark.parametrize(
    ("offered", "started", "late"),
    [(100, 90, False), (100, 89, True), (1000, 950, False), (1000, 949, True), (5, 0, False)],
)
def test_a_few_arrivals_on_their_way_are_no_lateness(
    offered: int, started: int, late: bool
) -> None:
    """GIVEN that ten arrivals, or one in twenty, may be due and not yet started."""
    rows = [moment(1, offered=10_000, started=0), moment(2, offered=offered, started=started)]

    assert bool(warnings(MadeRun(moments=rows))) is late


def test_a_second_without_a_rate_is_no_lateness() -> None:
    rows = [moment(2, offered=1000, started=0, offered_per_s=None)]

    assert warnings(MadeRun(moments=rows)) == []


def test_a_run_without_a_step_has_neither_trouble_nor_warnings() -> None:
    run = MadeRun(states=[], moments=[])

    assert (concerns(run), warnings(run), verdict(run)) == ([], [], "good so far")


def test_what_the_platform_reports_is_trouble_beside_that_of_each_step() -> None:
    run = MadeRun(states=[state(failed=2), state("step-2", 2, failed=1)])
    refusing = PlatformTelemetry(consumer=ConsumerTelemetry(errors=["the sink refuses rows"]))
    run.look = PipelineSnapshot(platform=Snapshot(instances=[PlatformTelemetry(), refusing]))

    assert concerns(run) == [
        "the platform reports: the sink refuses rows",
        "step-1: 2 arrivals failed",
        "step-2: 1 arrivals failed",
    ]


def test_a_backlog_of_the_step_before_is_no_growth_of_this_one() -> None:
    rows = [*growing(), *(moment(second, step="step-2", backlog=0) for second in (7, 8))]

    assert warnings(MadeRun(moments=rows)) == []
