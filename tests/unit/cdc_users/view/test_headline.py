"""The tiles: now while a run goes on, the run's figures when it has ended."""

from __future__ import annotations

import pytest

from cdc_users.measure.judgement.result import Verdict
from cdc_users.measure.latency.histogram import LatencyHistogram
from cdc_users.pipeline.telemetry import PipelineSnapshot, Snapshot, StepSnapshot
from cdc_users.report.answer import largest
from cdc_users.view.headline import HeadlineTile, headline
from tests.unit.made_result import COUNTS, recorder, result, step_result
from tests.unit.made_run import MadeRun

pytestmark = pytest.mark.gevent


def by_label(run: MadeRun) -> dict[str, HeadlineTile]:
    return {tile.label: tile for tile in headline(run)}


def test_a_run_that_goes_on_shows_the_last_ten_seconds_beside_the_step() -> None:
    tiles = by_label(MadeRun())

    assert tiles["rate delivered"].text == "100/s"
    assert tiles["rate delivered"].below == "of 100/s offered"
    assert tiles["p99 end to end, last 10 s"].text == "12.0 ms"
    assert tiles["p99 end to end, last 10 s"].below == "10.0 ms in this step"
    assert tiles["verdict"].text == "good so far"


def test_what_too_few_events_bear_out_is_not_told() -> None:
    tiles = by_label(MadeRun(lately=LatencyHistogram()))

    assert tiles["p99 end to end, last 10 s"].text == "-"


def test_before_the_first_second_there_is_the_verdict_alone() -> None:
    assert list(by_label(MadeRun(moments=[]))) == ["verdict"]


def test_what_came_twice_is_alarming_at_once() -> None:
    seen = StepSnapshot(delivered=10, duplicated=2, recorder=recorder(end_to_end=1.0))
    tiles = by_label(MadeRun(look=PipelineSnapshot(sink=Snapshot(steps={1: seen}))))

    assert tiles["duplicated"].text == "2"
    assert tiles["duplicated"].alarming
    assert tiles["verdict"].alarming


def test_the_end_shows_the_runs_figures_and_not_the_last_seconds() -> None:
    steps = [
        step_result("small", messages=10, throughput_per_s=1.0),
        step_result("large", messages=900, throughput_per_s=123.0),
        step_result("warm", messages=9000, warm_up=True),
    ]
    tiles = by_label(MadeRun(result=result(steps=steps)))

    assert (tiles["throughput"].text, tiles["throughput"].below) == ("123/s", "large")
    assert tiles["lost / duplicated"].text == "0 / 0"
    assert tiles["delivered"].text == "3,000"


def test_a_drain_rate_is_never_called_throughput() -> None:
    step = step_result(throughput_per_s=None, drain_rate_per_s=5000.0)
    tiles = by_label(MadeRun(result=result(steps=[step])))

    assert tiles["drain rate"].text == "5,000/s"
    assert "throughput" not in tiles


@pytest.mark.parametrize(
    ("ledger", "told", "alarming"),
    [
        ({"lost": 3, "fences": "complete"}, "3 / 0", True),
        ({"lost": 0, "fences": "incomplete"}, "unseen / 0", False),
    ],
)
def test_lost_is_said_only_where_fences_prove_it(
    ledger: dict[str, int | str], told: str, alarming: bool
) -> None:
    step = step_result(ledger={"sent": 5, "delivered": 2, **COUNTS, **ledger})
    tile = by_label(MadeRun(result=result(Verdict.FAIL, steps=[step])))["lost / duplicated"]

    assert (tile.text, tile.alarming) == (told, alarming)


def test_without_a_step_there_is_no_figure() -> None:
    broken = result(Verdict.STACK, ["no server"], steps=[])

    assert largest(broken) is None
    assert [tile.label for tile in headline(MadeRun(result=broken))] == ["verdict"]
