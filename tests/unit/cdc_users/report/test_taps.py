"""Several taps in a run's output and in its report."""

from __future__ import annotations

from pathlib import Path

from cdc_users.measure.judgement.result import Result, TapFigures, Verdict
from cdc_users.report import html as page
from cdc_users.report.table import render
from cdc_users.report.taps import taps_table
from tests.unit.made_result import result, step_result

SEARCH: TapFigures = {
    "messages": 7,
    "latency_ms": {"p50": 3.0, "p95": 4.0, "p99": None},
    "ledger": {"lost": 3, "stale": 1},
    "lost_at": {"topic-2": 2, "search": 1},
}


def several() -> Result:
    return result(Verdict.FAIL, steps=[step_result(taps={"search": SEARCH})])


def test_each_tap_has_a_line_with_its_latency_its_ledger_and_where_events_are_missing() -> None:
    head, line = taps_table(several())

    assert head.split()[:3] == ["Tap", "(step-1)", "Received"]
    assert line.split()[:7] == ["search", "7", "3.00", "ms", "4.00", "ms", "-"]
    assert line.endswith(
        "3          -          -          1          -          - topic-2 2, search 1"
    )


def test_the_lines_stand_in_the_output_and_in_the_report_where_there_are_several(
    tmp_path: Path,
) -> None:
    digest = page.Digest("answer", True, (), ())

    assert "topic-2 2, search 1" in render(several(), tmp_path)
    assert "topic-2 2, search 1" in page.render(tmp_path, several(), digest)
    assert "Where events come out" not in page.render(tmp_path, result(), digest)


def test_they_survive_the_file() -> None:
    assert Result.from_json(several().to_json()).steps[0].taps == {"search": SEARCH}
