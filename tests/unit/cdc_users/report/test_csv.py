"""The statistics' rows: one a step and series, equal to the result in every figure."""

from __future__ import annotations

import csv
import io
from pathlib import Path

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
