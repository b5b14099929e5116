"""The consolidated table shows what a scenario was about, at any width, and the verdict is last."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc_users.measure.judgement.result import Result, StepResult, Verdict
from cdc_users.report.answer import answer
from cdc_users.report.table import BenchmarkReport, distinct_names, render
from tests.scenarios.screen import folded
from tests.unit.made_result import result, step_result


def table(*results: Result, width: int = 120) -> list[str]:
    report = BenchmarkReport()
    for made in results:
        report.add(made)
    return report.table(width).splitlines()


def piped(name: str = "wal-100-rows", **pipeline: Any) -> StepResult:
    return step_result(name, pipeline={"transport": "kafka", "sink": "counting", **pipeline})


@pytest.mark.parametrize(
    ("sink", "shown"),
    [("webhook", True), ("postgres", True), ("iceberg", True), ("counting", False)],
)
def test_a_sinks_write_times_are_in_the_table_where_it_does_something(
    sink: str, shown: bool
) -> None:
    latency = {"sink_write": {"count": 1000, "p50": 1.25, "p95": 2.5, "p99": 3.75}}
    step = replace(step_result(), latency_ms=latency, pipeline={"sink": sink})
    text = "\n".join(table(replace(result(), steps=[step])))

    assert ("write p50" in text) == shown
    assert all((figure in text) == shown for figure in ("1.25 ms", "2.50 ms", "3.75 ms"))


def test_a_sink_that_is_seen_as_a_state_has_no_count_in_the_table() -> None:
    made = result(steps=[step_result(messages=None, throughput_per_s=None, duration_s=0.0)])

    assert "None" not in render(made, Path("results"))
    assert answer(made).startswith("The rows that step-1 brought to the sink were compared")


def test_the_table_of_a_usual_run_fits_120_columns_in_one_line_a_step() -> None:
    steps = [step_result(f"throughput-{rows}-rows", messages=rows) for rows in (100, 500, 10_000)]
    lines = table(result(steps=steps))

    assert max(map(len, lines)) <= 120
    assert len(lines) == 3 + len(steps)
    assert "10,000" in lines[-1]


@pytest.mark.parametrize("width", [40, 60, 80])
def test_what_does_not_fit_is_folded_and_loses_nothing(width: int) -> None:
    step = step_result("throughput-10000-rows", messages=10_000, pipeline={"sink": "postgres"})
    lines = table(result(steps=[step]), width=width)
    text = " ".join(" ".join(lines).split())

    assert max(map(len, lines)) <= width
    for figure in ("throughput-10000-rows PASS", "10,000", "10.0 s", "p99 10.0 ms", "lost 0"):
        assert figure in text.replace("throughput-10000-rows  ", "throughput-10000-rows "), figure


def test_figures_of_an_invalid_run_are_in_brackets_folded_or_not() -> None:
    made = result(Verdict.INVALID, ["behind its plan"])

    assert "[100/s]" in table(made)[-1]
    assert "[100/s]" in " ".join(table(made, width=60))


def test_a_warm_up_is_marked_as_one() -> None:
    lines = table(result(steps=[step_result("warm", warm_up=True), step_result("step-2")]))

    assert [line.split()[-1] for line in lines[3:]] == ["warm-up", "PASS"]


def test_rows_of_one_name_say_what_tells_them_apart() -> None:
    lines = table(
        result(steps=[piped(transport="kinesis")]), result(steps=[piped(transport="kafka")])
    )

    assert [" ".join(line.split()[:2]) for line in lines[3:]] == [
        "wal-100-rows (kinesis)",
        "wal-100-rows (kafka)",
    ]


def test_rows_that_nothing_else_tells_apart_name_their_run() -> None:
    lines = table(result(run="aaaaaaaa", steps=[piped()]), result(run="bbbbbbbb", steps=[piped()]))

    assert "wal-100-rows (run aaaaaaaa)" in lines[3]
    assert "wal-100-rows (run bbbbbbbb)" in lines[4]


@given(
    st.lists(
        st.tuples(st.sampled_from("ab"), st.sampled_from(["x", "y"]), st.sampled_from(["u", "v"])),
        max_size=8,
    )
)
def test_no_two_rows_ever_have_one_name(found: list[tuple[str, str, str]]) -> None:
    rows = [
        (piped(name, transport=transport, sink=sink), result(run=str(number)))
        for number, (name, transport, sink) in enumerate(found)
    ]
    names = distinct_names(rows)

    assert len(set(names)) == len(names)


def test_the_verdict_and_its_reasons_are_the_last_thing_on_a_small_screen() -> None:
    reasons = [f"reason {number}: " + "words " * 30 for number in range(20)]
    made = result(Verdict.INVALID, reasons, notes=["a note " * 40])
    lines = render(made, Path("results/x"), 80).splitlines()
    screen = folded(lines)[-24:]

    assert "verdict: INVALID" in screen
    assert screen[-1] == "  and more: see the report"
    assert any(line.startswith("  reason 0:") for line in screen)


def test_a_verdict_without_reasons_is_the_last_line() -> None:
    assert render(result(), Path("results/x")).splitlines()[-1] == "verdict: PASS"


def test_a_path_is_never_torn_apart() -> None:
    place = Path("results") / ("long-" * 30)

    assert f"report:  {place}/report.html" in render(result(), place, 80)
