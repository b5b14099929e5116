"""Locust's tables and files have our figures, with our precision."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from locust import stats as locust_stats

from cdc_users.measure.latency.histogram import LatencyHistogram
from cdc_users.run.locust import stats
from cdc_users.run.locust.stats import add_latencies

pytestmark = pytest.mark.gevent
stats.install()


def histogram(*values_us: int) -> LatencyHistogram:
    made = LatencyHistogram()
    made.record_many_us(np.array(values_us, dtype=np.int64))
    return made


def test_samples_stand_in_a_line_of_their_own_and_not_in_the_sum_of_what_users_sent() -> None:
    target = locust_stats.RequestStats()

    add_latencies(target, "CDC", "end_to_end", histogram(500, 1500, 250_000), 1000.5)

    line = target.get("end_to_end", "CDC")
    assert (line.num_requests, line.num_failures) == (3, 0)
    assert line.total_response_time == pytest.approx(252.0, rel=0.01)
    assert line.min_response_time == pytest.approx(0.5, rel=0.01)
    assert line.max_response_time == pytest.approx(250.0, rel=0.01)
    assert line.num_reqs_per_sec == {1000: 3}
    assert sum(line.response_times.values()) == 3
    assert target.total.num_requests == 0


def test_samples_of_two_looks_are_added_up() -> None:
    target = locust_stats.RequestStats()
    for at_s in (1000.0, 1001.0, 1001.9):
        add_latencies(target, "CDC", "end_to_end", histogram(2000), at_s)
    add_latencies(target, "CDC", "end_to_end", histogram(), 1005.0)

    line = target.get("end_to_end", "CDC")
    assert (line.num_requests, line.num_reqs_per_sec) == (3, {1000: 1, 1001: 2})
    assert line.last_request_timestamp == pytest.approx(1001.9)


def test_nothing_is_no_line() -> None:
    target = locust_stats.RequestStats()

    add_latencies(target, "CDC", "end_to_end", histogram(), 1000.0)

    assert target.entries == {}


def test_percentiles_below_a_millisecond_keep_their_digits() -> None:
    target = locust_stats.RequestStats()
    add_latencies(target, "CDC", "x", histogram(*[713] * 100), 1000.0)
    writer = SimpleNamespace(percentiles_to_report=[0.5, 0.99], percentiles_na=["N/A", "N/A"])

    fields = stats._percentile_fields(cast(Any, writer), target.get("x", "CDC"))

    assert fields == pytest.approx([0.713, 0.713], rel=0.01)
    assert stats._percentile_fields(cast(Any, writer), target.get("none", "CDC")) == ["N/A", "N/A"]


def test_an_empty_table_is_not_printed(capsys: pytest.CaptureFixture[str]) -> None:
    target = locust_stats.RequestStats()
    locust_stats.print_stats(target)
    locust_stats.print_percentile_stats(target)
    assert capsys.readouterr().out == ""

    target.log_request("GET", "/größe", 5, 1)
    seen: list[object] = []
    stats._where_any(seen.append)(target)
    assert seen == [target]


def test_a_line_of_failures_alone_is_one(tmp_path: Path) -> None:
    target = locust_stats.RequestStats()
    target.log_error("GET", "/größe", "refused")

    stats._save_json(target, str(tmp_path / "a, b#1"))

    (line,) = json.loads((tmp_path / "a, b#1.json").read_text(encoding="utf-8"))
    assert (line["name"], line["num_failures"]) == ("/größe", 1)
    assert target.get("/größe", "GET").num_failures == 1


def test_json_does_not_empty_what_the_csv_has_to_show(capsys: pytest.CaptureFixture[str]) -> None:
    target = locust_stats.RequestStats()
    target.log_request("GET", "/", 5, 1)

    for _ in range(2):
        stats._print_json(target)
        assert json.loads(capsys.readouterr().out)[0]["num_requests"] == 1


def test_to_install_it_twice_changes_nothing() -> None:
    before = (locust_stats.print_stats, locust_stats.StatsCSVFileWriter.close_files)

    stats.install()

    assert (locust_stats.print_stats, locust_stats.StatsCSVFileWriter.close_files) == before
