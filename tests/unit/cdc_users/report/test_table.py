"""The consolidated table shows what a scenario was about."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from cdc_users.report.answer import answer
from cdc_users.report.table import BenchmarkReport, render
from tests.unit.made_result import result, step_result


@pytest.mark.parametrize(
    ("sink", "shown"),
    [("webhook", True), ("postgres", True), ("iceberg", True), ("counting", False)],
)
def test_a_sinks_write_times_are_in_the_table_where_it_does_something(
    sink: str, shown: bool
) -> None:
    latency = {"sink_write": {"count": 1000, "p50": 1.25, "p95": 2.5, "p99": 3.75}}
    step = replace(step_result(), latency_ms=latency, pipeline={"sink": sink})
    report = BenchmarkReport()
    report.add(replace(result(), steps=[step]))

    table = report.table()

    assert ("write p50" in table) == shown
    assert all((figure in table) == shown for figure in ("1.2ms", "2.5ms", "3.8ms"))


def test_a_sink_that_is_seen_as_a_state_has_no_count_in_the_table() -> None:
    made = result(steps=[step_result(messages=None, throughput_per_s=None, duration_s=0.0)])

    assert "None" not in render(made, Path("results"))
    assert answer(made).startswith("What step-1 brought to the sink was compared")
