"""The documentation of options and thresholds is what the code says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from cdc_users.measure.judgement.threshold import METRICS, SERIES, STATISTICS
from cdc_users.options.options import OPTIONS
from cdc_users.options.page import metric_table, options_page, scenario_shapes
from cdc_users.options.table.record import Option

pytestmark = pytest.mark.gevent

DOCS = Path(__file__).resolve().parents[4] / "docs"


def test_the_page_of_options_is_up_to_date() -> None:
    """If not: `python -m cdc_users.options > docs/options.md`."""
    command = [sys.executable, "-m", "cdc_users.options"]
    printed = subprocess.run(
        command, cwd=DOCS.parent, capture_output=True, text=True, check=True
    ).stdout

    assert (DOCS / "options.md").read_text(encoding="utf-8") == printed


@pytest.mark.parametrize("option", OPTIONS)
def test_every_option_is_explained_with_what_it_takes(option: Option) -> None:
    assert option.takes
    assert options_page([]).count(f"- **`{option.flag}`**: ") == 1


def test_the_page_says_where_an_option_does_nothing_and_what_each_scenario_takes_for_granted() -> (
    None
):
    page = options_page(scenario_shapes())

    assert "latency (use --records)" in page
    assert "Default: 500; 10 in backpressure; 100 in latency." in page


def test_the_table_of_thresholds_is_up_to_date() -> None:
    """If not: put there what cdc_users.options.page.metric_table returns."""
    assert metric_table() in (DOCS / "ci.md").read_text(encoding="utf-8")


def test_every_metric_of_a_threshold_stands_in_the_table() -> None:
    table = metric_table()
    series = {f"{name}.{statistic}" for name in SERIES for statistic in (*STATISTICS, "count")}
    paths = {metric.path for name, metric in METRICS.items() if name not in series}
    named = {METRICS[name].path for name in METRICS if f"`{name}`" in table}

    assert {path for path in paths if path[0] != "latency_ms"} <= named
    assert all(f"`{name}`" in table for name in SERIES)
    assert all(f"`SERIES.{statistic}`" in table for statistic in (*STATISTICS, "count"))
