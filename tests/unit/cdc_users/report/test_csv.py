"""The statistics' rows: one a step and series, equal to the result in every figure."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from cdc_users.report import csv as statistic
from tests.unit.made_result import STAGES_MS, result, step_result


def read(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_there_is_one_row_for_each_step_and_series() -> None:
    rows = read(statistic.statistics_csv(result(steps=[step_result("a"), step_result("b")])))

    assert len(rows) == 2 * len(step_result().latency_ms)
    assert {row["series"] for row in rows if row["step"] == "b"} >= set(STAGES_MS)


def test_every_figure_is_the_results() -> None:
    step = step_result(messages=1234, throughput_per_s=None, drain_rate_per_s=567.8, mode="drain")
    row = read(statistic.statistics_csv(result(steps=[step])))[0]

    assert (row["messages"], row["throughput_per_s"], row["drain_rate_per_s"]) == (
        "1234",
        "",
        "567.8",
    )
    assert float(row["mean_ms"]) == step.latency_ms[row["series"]]["mean"]
    assert (row["sent"], row["fences"]) == ("1000", "complete")


def test_a_smoke_run_has_its_counts_in_one_row() -> None:
    (row,) = read(statistic.statistics_csv(result(steps=[step_result(latency_ms={})])))

    assert (row["series"], row["count"], row["delivered"]) == ("", "", "1000")


def test_a_name_that_a_spreadsheet_would_run_stays_a_name() -> None:
    row = read(statistic.statistics_csv(result(steps=[step_result("=HYPERLINK(1)")])))[0]

    assert row["step"] == "'=HYPERLINK(1)"


def test_both_files_stand_beside_locusts(tmp_path: Path) -> None:
    statistic.write_beside(str(tmp_path / "out" / "run"), "a\n", "b\n")

    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "run_cdc_stats.csv",
        "run_cdc_timeline.csv",
    ]


def test_no_text_ends_its_row(tmp_path: Path) -> None:
    text = statistic.as_csv(["a", "b"], [["one\r=1", "two\r\nlines"]])

    (tmp_path / "a.csv").write_text(text, encoding="utf-8", newline="")
    with (tmp_path / "a.csv").open(newline="", encoding="utf-8") as file:
        assert list(csv.reader(file)) == [["a", "b"], ["one =1", "two \nlines"]]


@pytest.mark.parametrize("text", ["=1", "+1", "-1", "@a", "\t=1"])
def test_no_text_is_a_formula(text: str) -> None:
    (row,) = csv.reader(io.StringIO(statistic.as_csv([], [[text]])[1:], newline=""))

    assert row == [f"'{text}"]


@pytest.mark.parametrize("text", ["", "a=1", " =1", 'größe, "5"; #1', "two\nlines"])
def test_other_texts_are_read_back_as_they_are(text: str) -> None:
    (row,) = csv.reader(io.StringIO(statistic.as_csv([], [[text, "end"]])[1:], newline=""))

    assert row == [text, "end"]


def test_numbers_are_no_texts() -> None:
    assert statistic.as_csv(["a", "b", "c"], [[-1, None, -0.5]]) == "a,b,c\n-1,,-0.5\n"


def test_several_runs_stand_below_one_head() -> None:
    text = statistic.statistics_of_all(
        [result(run=run, steps=[step_result(latency_ms={})]) for run in ("one", "two")]
    )

    assert [row["run"] for row in read(text)] == ["one", "two"]
    assert text.count("scenario,run,") == 1
    assert statistic.statistics_of_all([]) == ",".join(statistic.HEAD) + "\n"


def test_a_count_that_nobody_knows_is_left_empty() -> None:
    step = step_result(ledger={"sent": 5}, latency_ms={"end_to_end": {"p50": 1.5}})
    (row,) = read(statistic.statistics_csv(result(steps=[step])))

    assert (row["sent"], row["lost"], row["p50_ms"], row["p99_ms"]) == ("5", "", "1.5", "")
