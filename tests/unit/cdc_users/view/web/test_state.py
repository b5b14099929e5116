"""What the tab is told: only new seconds to who knows the run, everything to who does not."""

from __future__ import annotations

import time
from dataclasses import replace

import orjson
import pytest

from cdc_users.measure.judgement.result import TapFigures, Verdict
from cdc_users.pipeline.telemetry import Snapshot
from cdc_users.view.run_view import Activity, ChartMark
from cdc_users.view.web.state import activities, head, state
from tests.unit.cdc_users.shapes.known_capacity import course, driven
from tests.unit.made_result import result
from tests.unit.made_run import MadeRun, moment

pytestmark = pytest.mark.gevent


def test_without_a_run_there_is_none() -> None:
    assert state(None, "", 0) == {"run": None}


def test_a_page_that_knows_the_run_gets_only_new_seconds() -> None:
    told = state(MadeRun(), "abcd1234", 4)

    assert (told["first"], told["count"]) == (4, 6)
    assert told["columns"]["elapsed_s"] == [5.0, 6.0]


def test_a_page_that_knows_another_run_gets_all_seconds() -> None:
    told = state(MadeRun(), "other000", 4)

    assert told["first"] == 0
    assert len(told["columns"]["elapsed_s"]) == 6


def test_a_search_that_goes_on_shows_its_curve_and_how_far_the_bracket_has_closed() -> None:
    searching = course()
    taken = driven(searching)[0][:7]
    run = MadeRun(course_so_far=searching.outcome(taken))

    latency, *_ = state(run, "", 0)["figures"]

    assert latency["title"] == "Latency by rate"
    assert latency["x"] == [200, 400, 800]
    assert latency["note"] == "Of each rate its longest probe. Held: 800/s."
    assert state(MadeRun(), "", 0)["figures"] == []


def test_before_the_audit_its_classes_are_not_known() -> None:
    ledger = state(MadeRun(), "", 0)["ledger"]
    counts = dict(zip(ledger["classes"], ledger["rows"][0]["counts"], strict=True))

    assert (counts["sent"], counts["delivered"], counts["duplicated"], counts["lost"]) == (
        1000,
        1000,
        0,
        None,
    )


def test_each_of_several_taps_has_a_row_in_the_ledger_before_and_after_the_audit() -> None:
    run = MadeRun()
    run.look.taps = {"search": run.look.sink, "sink": Snapshot()}
    run.look.ends = ("search", "sink")
    names = [row["name"] for row in state(run, "", 0)["ledger"]["rows"]]
    assert [name.partition(",")[0] for name in names] == [
        "step-1",
        "step-1 at search",
        "step-1 at sink",
    ]
    assert ", p50 10.0 ms" in names[1]

    tap: TapFigures = {
        "messages": 7,
        "latency_ms": {"p50": 3.0, "p99": None},
        "ledger": {"lost": 3},
        "lost_at": {"search": 3},
    }
    made = result(Verdict.FAIL)
    run.result = replace(made, steps=[replace(made.steps[0], taps={"search": tap})])
    ledger = state(run, "", 0)["ledger"]
    row = ledger["rows"][1]
    counts = dict(zip(ledger["classes"], row["counts"], strict=True))
    assert row["name"].endswith(" at search, p50 3.00 ms")
    assert (counts["delivered"], counts["lost"], counts["stale"]) == (7, 3, None)


def test_the_verdict_comes_with_its_reasons_and_the_answer() -> None:
    run = MadeRun(result=result(Verdict.INVALID, ["the generator was behind"]))

    assert state(run, "", 0)["verdict"] == {
        "verdict": "INVALID",
        "reasons": ["the generator was behind"],
        "notes": [],
        "warnings": [],
        "answer": "This run answers nothing: its numbers may not be used.",
        "usable": False,
        "command": "locust -f locustfiles/throughput.py --headless",
    }


def test_a_second_more_costs_a_fraction_of_the_whole() -> None:
    run = MadeRun(moments=[moment(second) for second in range(1, 3601)])
    whole, new = orjson.dumps(state(run, "", 0)), orjson.dumps(state(run, "abcd1234", 3599))

    assert len(new) < len(whole) / 20


def test_a_look_a_second_at_a_run_of_an_hour_costs_little_of_a_core() -> None:
    run = MadeRun(moments=[moment(second) for second in range(1, 3601)])
    started_s = time.process_time()
    for _ in range(20):
        orjson.dumps(state(run, "abcd1234", 3599))

    # 2 % of a core at one look a second; CPU time, so that a busy machine does not matter.
    assert (time.process_time() - started_s) / 20 < 0.02


def test_marks_leave_out_what_every_name_begins_with() -> None:
    run = MadeRun(marks=[ChartMark(1.0, "throughput-100-rows", "x")])

    assert state(run, "", 0)["marks"] == [{"x": 1.0, "name": "100-rows"}]


def test_what_goes_on_is_told_from_the_first_second_with_how_long_it_takes() -> None:
    run = MadeRun(moments=[], activities=[Activity(0.0, "servers")], elapsed_s=3.5)

    assert activities(run) == [{"name": "servers", "took_s": 3.5}]
    assert state(run, "", 0)["count"] == 0


def test_a_run_that_has_just_been_made_has_done_nothing_yet() -> None:
    assert head(MadeRun(moments=[], activities=[], elapsed_s=0.1))["activities"] == []


def test_each_activity_lasts_until_the_next_one_begins() -> None:
    told = head(MadeRun())

    assert [(one["name"], one["took_s"]) for one in told["activities"]] == [
        ("servers", 2.0),
        ("load", 6.0),
    ]
    assert told["elapsed_s"] == 8.0


def test_only_columns_of_the_heat_map_that_may_have_changed_are_sent_again() -> None:
    run = MadeRun()
    for second in range(1, 7):
        run.heat.add(float(second), run.lately)

    assert len(state(run, "", 0)["heat"]["columns"]) == 6
    assert [column["x"] for column in state(run, "abcd1234", 5)["heat"]["columns"]] == [5.0, 6.0]


def test_the_tiles_of_a_page_are_plain_data() -> None:
    tiles = state(MadeRun(), "", 0)["tiles"]

    assert tiles[0]["label"] == "verdict"
    assert orjson.dumps(tiles)
