"""Verdicts: INVALID beats FAIL beats PASS, and what broke the run beats them all."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from cdc_users.measure.judgement.result import Result, Verdict, worst
from cdc_users.measure.judgement.threshold import parse_threshold, with_defaults
from cdc_users.measure.latency.recorder import Recorder
from cdc_users.measure.ledger.ledger import CLASSES, Audit, Outcomes
from cdc_users.measure.offset import ClockOffset
from cdc_users.measure.schedule.plan import Schedule
from cdc_users.observe.message import FINAL_FINDINGS, Final
from cdc_users.pipeline.telemetry import StepSnapshot
from cdc_users.scenario import Pipeline, Scenario, Step
from cdc_users.step.harness_facts import writers_twice
from cdc_users.step.result import FINAL_CLASSES, RunRequest, conclude, hasty, ledger
from cdc_users.step.state import Broken, Facts, Gone, ReportedShare, StepState
from cdc_users.users.message import Tally

CLEAN: dict[str, Any] = {
    "sent": 10,
    "delivered": 10,
    "lost": 0,
    "duplicated": 0,
    "reordered": 0,
    "unseen": 0,
    "unknown": 0,
    "phantom": 0,
    "undeleted": 0,
    "resurrected": 0,
}


def recorded(counts: dict[str, int]) -> Recorder:
    recorder = Recorder()
    recorder.record_many_us("response", np.full(counts["completed"], 1000, dtype=np.int64))
    recorder.record_many_us("failed", np.full(counts["failed"], 1000, dtype=np.int64))
    return recorder


def state(**tally: int) -> StepState:
    counts: dict[str, Any] = {
        "offered": 10,
        "started": 10,
        "completed": 10,
        "failed": 0,
        "dropped": 0,
        "late": 0,
        "rows": 10,
        "exhausted": 0,
        **tally,
    }
    report = ReportedShare(
        Tally(**counts),
        recorded(counts),
        outcomes={10_000: Outcomes(acked=[(1, 10)])},
        cpu_s=0.1,
        wanted_cpu_s=0.1,
        done=True,
    )
    step = Step("s", "burst", Schedule.volume(10), Pipeline(), lanes=1)
    return StepState(
        1, step, ("local",), t0_us=0, loaded_us=1_000_000, drained=True, reports={"local": report}
    )


def facts(**changes: Any) -> Facts:
    made = Facts(
        fenced=True,
        thresholds=with_defaults(()),
        audits={1: {"sink": Audit(**CLEAN)}},
        sink={1: StepSnapshot(delivered=10, last_us=2_000_000)},
    )
    for name, value in changes.items():
        setattr(made, name, value)
    return made


def result(found: Facts, *states: StepState) -> Result:
    request = RunRequest(Scenario("s", question="?"), "abcd1234", "locust")
    return conclude(request, states or (state(),), found)


def test_a_clean_run_passes() -> None:
    assert result(facts()).verdict is Verdict.PASS
    assert result(facts()).steps[0].throughput_per_s == 5.0


@pytest.mark.parametrize(
    ("started", "rate_per_s"), [(10, 10.0), (9, 11.1)], ids=["carried out", "stopped early"]
)
def test_a_plan_that_was_carried_out_is_never_faster_than_it_was_offered(
    started: int, rate_per_s: float
) -> None:
    paced = state(started=started)
    paced.step = replace(paced.step, mode="paced", schedule=Schedule.constant(10, 1))

    seen = StepSnapshot(delivered=10, last_us=902_000)
    assert result(facts(sink={1: seen}), paced).steps[0].throughput_per_s == rate_per_s


@pytest.mark.parametrize("finding", [name for name in CLASSES if name != "unseen"])
def test_every_class_of_the_ledger_fails_the_run(finding: str) -> None:
    found = result(facts(audits={1: {"sink": Audit(**{**CLEAN, finding: 2})}}))

    assert found.verdict is Verdict.FAIL
    share = " (20% of 10 sent)" if finding == "lost" else ""
    assert found.reasons == [f"s: {finding} == 0, but it is 2{share}"]


def test_a_warm_up_is_judged_by_what_it_lost_and_not_by_how_much_it_was() -> None:
    warm_up = state()
    warm_up.step = replace(warm_up.step, warm_up=True)
    wanted = with_defaults((parse_threshold("delivered >= 1000"),))
    lost = {1: {"sink": Audit(**{**CLEAN, "lost": 2})}}

    assert result(facts(thresholds=wanted), warm_up).verdict is Verdict.PASS
    assert result(facts(thresholds=wanted)).verdict is Verdict.FAIL
    assert result(facts(thresholds=wanted, audits=lost), warm_up).verdict is Verdict.FAIL


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"fenced": False}, "fences"),
        ({"stop_reason": "stopped early by SIGTERM"}, "stopped early"),
        ({"profile": "test"}, "profile 'test'"),
    ],
)
def test_numbers_that_may_not_be_used_make_the_run_invalid(
    changes: dict[str, Any], word: str
) -> None:
    found = result(facts(**changes))

    assert found.verdict is Verdict.INVALID
    assert word in found.reasons[0]


def test_invalid_beats_fail_and_tells_both() -> None:
    found = result(facts(fenced=False, audits={1: {"sink": Audit(**{**CLEAN, "duplicated": 1})}}))

    assert found.verdict is Verdict.INVALID
    assert any("duplicated" in reason for reason in found.reasons)


def test_arrivals_that_do_not_add_up_make_the_run_invalid() -> None:
    assert result(facts(), state(completed=9)).verdict is Verdict.INVALID


def test_failed_arrivals_fail_the_run() -> None:
    assert result(facts(), state(completed=9, failed=1)).verdict is Verdict.FAIL


def test_what_broke_the_run_decides_its_exit_code() -> None:
    found = result(facts(broken=[Broken("the stack died", 3)], fenced=False))

    assert (found.verdict.exit_code, found.reasons) == (3, ["the stack died"])


def test_a_result_survives_its_file() -> None:
    found = result(facts())

    assert Result.from_json(found.to_json()).to_json() == found.to_json()
    with pytest.raises(ValueError, match="schema 0"):
        Result.from_json({**found.to_json(), "schema": 0})


def test_the_worst_exit_code_wins_in_the_documented_order() -> None:
    assert worst([0, 1, 4, 3]) == 3
    assert worst([4, 1]) == 4
    assert worst([0, -9]) == 2
    assert worst([]) == 0


def test_drains_that_are_mostly_their_start_are_not_compared_without_a_word() -> None:
    (step,) = result(facts()).steps
    short, long = (
        replace(step, drain_rate_per_s=10.0, duration_s=seconds) for seconds in (0.4, 4.0)
    )

    (note,) = hasty([short, long])

    assert "s took less than 1 s" in note
    assert hasty([long, step]) == []


def test_a_writer_number_that_two_processes_or_two_steps_have_spoils_the_ledger() -> None:
    one = state()
    report = one.reports["local"]

    def of_writers(*numbers: int) -> ReportedShare:
        return replace(report, outcomes=dict.fromkeys(numbers, Outcomes()))

    apart = replace(one, reports={"a": report, "b": of_writers(10010, 10011)})
    twice = replace(one, reports={"a": report, "b": of_writers(10000, 10011)})
    astray = replace(one, reports={"a": of_writers(10000, 20000)})
    found = result(facts(), twice)

    assert [writers_twice([made]) for made in (apart, twice, astray)] == [0, 1, 1]
    assert found.verdict is Verdict.INVALID
    assert any("1 writer numbers" in reason for reason in found.reasons)


def test_a_sink_that_is_seen_as_a_state_has_no_messages_and_no_rate() -> None:
    (step,) = result(facts(sink={}, blind={1})).steps

    assert (step.messages, step.throughput_per_s, step.bytes_per_s) == (None, None, None)
    assert step.ledger["delivered"] == 10
    assert result(facts(sink={}, blind={1})).verdict is Verdict.PASS


def sink(
    latency_ms: float, durable_ms: float | None = None, late_ms: float | None = None
) -> StepSnapshot:
    recorder = Recorder()
    earliest_ms = None if late_ms is None else latency_ms - late_ms
    series = {"end_to_end": latency_ms, "durable": durable_ms, "earliest": earliest_ms}
    for name, value_ms in series.items():
        if value_ms is not None:
            values = np.full(2000, round(value_ms * 1000), dtype=np.int64)
            recorder.record_many_us(name, values)
    return StepSnapshot(delivered=2000, last_us=2_000_000, recorder=recorder)


def test_a_platform_that_is_durable_before_its_tap_saw_it_makes_the_run_invalid() -> None:
    found = result(facts(sink={1: sink(485.0, 177.0)}))

    assert found.verdict is Verdict.INVALID
    assert "durable 308.0 ms (in the mean) before the sink's tap saw them" in found.reasons[0]
    assert found.steps[0].latency_ms["end_to_end"]["mean"] == 485.0
    assert found.steps[0].latency_ms["durable"]["mean"] == 177.0


@pytest.mark.parametrize(
    "seen", [sink(10.0, 9.0), sink(10.0, 400.0), sink(30.0, 9.0, 25.0), sink(10.0)]
)
def test_witnesses_agree_within_their_clocks_and_the_taps_rhythm(seen: StepSnapshot) -> None:
    assert result(facts(sink={1: seen})).verdict is Verdict.PASS


def test_the_rhythm_of_a_tap_stands_beside_its_figure_and_decides_no_threshold_within_it() -> None:
    thresholds = [parse_threshold("end_to_end.p99 < 20ms")]

    found = result(facts(sink={1: sink(30.0, late_ms=25.0)}, thresholds=thresholds))

    assert found.steps[0].latency_ms["end_to_end"]["late"] == pytest.approx(25.0, abs=0.05)
    assert found.verdict is Verdict.INVALID
    assert "may be anything from " in found.reasons[0]
    assert any("may be too high by up to 25.0 ms" in note for note in found.notes)


def test_dropped_arrivals_are_in_every_percentile_from_their_intended_time() -> None:
    dropping = state(started=9, completed=9, dropped=1)
    recorder = Recorder()
    recorder.record_many_us("response", np.full(940, 1000, dtype=np.int64))
    recorder.record_many_us("service", np.full(940, 1000, dtype=np.int64))
    recorder.record_many_us("dropped", np.full(60, 100_000, dtype=np.int64))
    dropping.reports = {"local": replace(dropping.reports["local"], recorder=recorder)}

    latency = result(facts(sink={1: sink(5.0)}), dropping).steps[0].latency_ms

    assert (latency["response"]["p50"], latency["response"]["p95"]) == (1.0, None)
    assert latency["service"]["mean"] == 1.0
    assert latency["end_to_end"]["censored"] == 60


def test_a_capture_that_is_gone_is_a_failure_and_not_a_matter_of_measuring() -> None:
    unseen = {1: {"sink": Audit(**{**CLEAN, "delivered": 4, "unseen": 6})}}
    seen = {1: StepSnapshot(delivered=4, last_us=1_500_000)}

    found = result(
        facts(gone=[Gone(1, "the capture is gone: slot")], fenced=False, audits=unseen, sink=seen),
        replace(state(), drained=False),
    )

    assert found.verdict is Verdict.FAIL
    assert found.reasons[0] == (
        "s: the capture is gone: slot; the last of 4 events (of 10 sent) came 1.5 s after s began"
    )


@pytest.mark.parametrize(
    ("quiet_s", "fences_seen", "verdict"),
    [(60.0, False, "FAIL"), (60.0, True, "INVALID"), (3.0, False, "INVALID")],
)
def test_a_system_that_lets_nothing_through_for_long_stands_still(
    quiet_s: float, fences_seen: bool, verdict: str
) -> None:
    stopped = replace(state(), drained=False, quiet_s=quiet_s)

    found = result(facts(fenced=False, fences_seen=fences_seen), stopped)

    assert found.verdict == verdict
    assert ("the system stands still" in found.reasons[0]) is (verdict == "FAIL")


def test_what_others_wrote_is_said_and_no_class_of_the_pipelines() -> None:
    audits = {1: {"sink": Audit(**{**CLEAN, "duplicated": 1})}}

    found = result(facts(disturbed=["somebody else changed 1 of the run's rows"], audits=audits))

    assert found.verdict is Verdict.INVALID
    assert len(found.reasons) == 1
    assert "somebody else changed 1 of the run's rows in mid-run" in found.reasons[0]


def test_a_sampled_count_says_of_how_many_it_is() -> None:
    audits = {1: {"sink": Audit(**{**CLEAN, "corrupt": 2}, checked=5)}}

    found = result(facts(audits=audits))

    assert found.reasons == ["s: corrupt == 0, but it is 2 of 5 rows looked at (10 came)"]
    assert found.steps[0].ledger["checked"] == 5


def test_a_loser_fails_with_the_share_and_not_for_a_backlog() -> None:
    lost = {1: {"sink": Audit(**{**CLEAN, "delivered": 8, "lost": 2})}}

    found = result(facts(audits=lost), replace(state(), drained=False))

    assert found.verdict is Verdict.FAIL
    assert found.reasons == ["s: lost == 0, but it is 2 (20% of 10 sent)"]


def paced(service_ms: float, own_ms: float, lanes: int) -> StepState:
    """A thousand arrivals at 100/s; all were late by 300 ms."""
    made = state()
    step = Step("s", "paced", Schedule.constant(100, 10), Pipeline(), lanes=lanes)
    recorder = Recorder()
    for name, ms in (("service", service_ms), ("own_delay", own_ms), ("send_delay", 300.0)):
        recorder.record_many_us(name, np.full(1000, round(ms * 1000), dtype=np.int64))
    recorder.record_many_us("response", np.full(1000, 1000, dtype=np.int64))
    tally = Tally(offered=1000, started=1000, completed=1000, rows=1000)
    report = replace(made.reports["local"], tally=tally, recorder=recorder)
    return replace(made, step=step, loaded_us=10_000_000, reports={"local": report})


@pytest.mark.parametrize(
    ("service_ms", "own_ms", "lanes", "word"),
    [
        (5.0, 0.3, 8, ""),
        (5.0, 150.0, 8, "own delay p99 150"),
        (100.0, 0.3, 8, "send delay p99 3"),
    ],
)
def test_lanes_that_wait_for_the_system_are_told_from_a_generator_that_is_late(
    service_ms: float, own_ms: float, lanes: int, word: str
) -> None:
    seen = replace(sink(400.0), last_us=10_300_000)

    found = result(facts(sink={1: seen}), paced(service_ms, own_ms, lanes))

    assert [reason for reason in found.reasons if "behind its plan" in reason] == (
        [] if not word else [found.reasons[0]]
    )
    assert word in "".join(found.reasons)


def test_moments_in_which_the_generator_stopped_decide_no_threshold() -> None:
    seen = replace(sink(98.0), last_us=10_098_000)
    thresholds = [parse_threshold("end_to_end.p99 < 60ms")]

    found = result(facts(sink={1: seen}, thresholds=thresholds), paced(5.0, 45.0, 8))

    assert found.steps[0].latency_ms["end_to_end"]["late"] == pytest.approx(45.0, abs=0.1)
    assert any("cannot be decided: it is 98" in reason for reason in found.reasons)


def test_a_source_with_a_clock_of_its_own_is_corrected_and_said_so() -> None:
    recorder = Recorder()
    for name, ms in (("commit", 3002.0), ("capture", -2999.0), ("end_to_end", 5.0)):
        recorder.record_many_us(name, np.full(2000, round(ms * 1000), dtype=np.int64))
    seen = StepSnapshot(delivered=10, last_us=2_000_000, recorder=recorder)

    found = result(facts(sink={1: seen}, source_clock=ClockOffset(3_000_000, 150)))

    latency = found.steps[0].latency_ms
    assert latency["commit"]["mean"] == 2.0
    assert latency["commit"]["p50"] == pytest.approx(2.0, abs=3.1)
    assert (latency["capture"]["mean"], latency["capture"]["p50"]) == (1.0, None)
    assert latency["commit"]["clock"] == 0.15
    assert latency["end_to_end"]["mean"] == 5.0
    assert any("PostgreSQL's clock is +3000.0 ms off" in note for note in found.notes)


def test_one_clock_is_not_corrected_by_what_a_question_takes() -> None:
    assert not result(facts(source_clock=ClockOffset(-90, 120))).notes


def audited(**counts: Any) -> Audit:
    return Audit(**{**CLEAN, **counts})


def test_a_steps_ledger_has_the_worst_of_all_taps_and_what_the_last_one_delivered() -> None:
    audits = {
        "topic": audited(delivered=10, duplicated=4, reordered=2),
        "sink": audited(delivered=7, lost=3, duplicated=1),
    }

    found = ledger(audits, None, fenced=True)

    assert (found["sent"], found["delivered"], found["fences"]) == (10, 7, "complete")
    assert {name: found[name] for name in CLASSES if found[name]} == {
        "lost": 3,
        "duplicated": 4,
        "reordered": 2,
    }
    assert ledger(audits, None, fenced=False)["fences"] == "incomplete"
    assert ledger({}, Final(missing=3), fenced=True) == {}, "there was no audit"


@pytest.mark.parametrize(
    ("finding", "name"),
    [
        ("missing", "lost"),
        ("repeated", "duplicated"),
        ("stale", "stale"),
        ("undeleted", "undeleted"),
        ("resurrected", "resurrected"),
        ("corrupt", "corrupt"),
        ("extra", "phantom"),
    ],
)
def test_a_difference_of_the_final_state_counts_in_a_class_of_the_ledger(
    finding: str, name: str
) -> None:
    taps = {"sink": audited(**{name: 2})}

    # The same rows may be in both, so the larger one counts and not the sum.
    for count, larger in ((5, 5), (1, 2)):
        differences: dict[str, Any] = {finding: count}
        assert ledger(taps, Final(**differences), fenced=True)[name] == larger


def test_every_finding_of_the_final_state_has_a_class() -> None:
    assert sorted(FINAL_CLASSES.values()) == sorted(FINAL_FINDINGS)
    assert set(FINAL_CLASSES) <= set(CLASSES)


def test_how_far_rows_were_checked_is_said_of_the_tap_that_found_most() -> None:
    audits = {
        "topic": audited(checked=500, uncheckable=9),
        "sink": audited(checked=20, corrupt=1, uncheckable=3),
    }

    found = ledger(audits, None, fenced=True)
    assert (found["corrupt"], found["checked"], found["uncheckable"]) == (1, 20, 3)

    audits["sink"] = audited(checked=20, uncheckable=3)
    found = ledger(audits, None, fenced=True)
    assert (found["corrupt"], found["checked"], found["uncheckable"]) == (0, 500, 9)


def test_steps_of_one_rig_share_a_final_state_and_lose_each_row_once() -> None:
    shared = Final(missing=5, stale=1)
    found = facts(
        audits={1: {"sink": audited(lost=2)}, 2: {"sink": audited(lost=3)}},
        finals={1: shared, 2: shared},
        sink={number: StepSnapshot(delivered=10, last_us=2_000_000) for number in (1, 2)},
    )

    first, second = result(found, state(), replace(state(), number=2)).steps

    assert (first.ledger["lost"], second.ledger["lost"]) == (2, 3)
    assert (first.ledger["stale"], second.ledger["stale"]) == (1, 1)


def test_a_result_says_what_was_asked_for() -> None:
    request = RunRequest(Scenario("s", question="?"), "abcd1234", "locust -f s.py", {"rows": [10]})

    found = conclude(request, [state()], facts())

    assert (found.scenario, found.run, found.command) == ("s", "abcd1234", "locust -f s.py")
    assert found.options == {"rows": [10]}
    assert found.scaling is None


def test_each_of_several_taps_has_its_own_ledger_and_a_verdict_names_it() -> None:
    seen = StepSnapshot(delivered=8, last_us=2_000_000)
    found = facts(
        audits={
            1: {
                "topic": audited(),
                "search": audited(delivered=7, lost=3, lost_at={"search": 3}),
                "copy": audited(stale=1),
            }
        },
        taps={1: {"search": seen, "copy": None}},
        tap_finals={1: {"copy": Final(compared=10, corrupt=2)}},
        finals={1: Final(compared=10, corrupt=2)},
        sink={1: seen},
        thresholds=with_defaults(()),
    )

    concluded = result(found, state())
    taps = concluded.steps[0].taps

    assert [(name, tap["messages"], tap["lost_at"]) for name, tap in taps.items()] == [
        ("search", 7, {"search": 3}),
        ("copy", 10, {}),
    ]
    assert {name: count for name, count in taps["search"]["ledger"].items() if count} == {"lost": 3}
    assert {name: count for name, count in taps["copy"]["ledger"].items() if count} == {
        "stale": 1,
        "corrupt": 2,
    }
    assert any(reason.endswith("by tap: search 3") for reason in concluded.reasons)
    assert any(reason.endswith("by tap: copy 2") for reason in concluded.reasons)
