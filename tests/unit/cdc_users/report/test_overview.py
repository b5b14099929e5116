"""What `make bench` leaves and says last: all modules, what was left out, files, the verdict."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from cdc_users.measure.judgement.result import Result, Verdict
from cdc_users.report import overview
from tests.unit.made_result import result, step_result

EVIL = "</script><img src=x onerror=alert(1)>"


def directory(root: Path, name: str, made: Result) -> Path:
    place = root / name
    place.mkdir()
    (place / "result.json").write_text(json.dumps(made.to_json()), encoding="utf-8")
    (place / "environment.json").write_text(
        json.dumps({"host": "bench-1", "cores": 2, "revision": "abc"}), encoding="utf-8"
    )
    return place


@pytest.fixture
def summary(tmp_path: Path) -> overview.Overview:
    good = directory(tmp_path, "20261124T000000Z-throughput-aaaaaaaa", result())
    bad = directory(
        tmp_path,
        "20261124T000100Z-wal-bbbbbbbb",
        result(
            Verdict.INVALID,
            [EVIL],
            scenario="wal",
            steps=[step_result("wal-1")],
            notes=["pubsub was left out: no emulator"],
        ),
    )
    modules = [
        overview.module_of("throughput", 0, [good], []),
        overview.module_of("wal", 4, [bad], ["test_x[kinesis]: no Node.js"]),
        overview.module_of("latency", 3, [], []),
    ]
    return overview.Overview(3, modules, overview.facts_of([good, bad]))


def test_the_last_line_is_the_verdict_over_all_and_every_module_has_its_own(
    summary: overview.Overview,
) -> None:
    lines = overview.text(summary, Path("results"), 80).splitlines()

    assert lines[-1] == "verdict: STACK"
    assert [line.split() for line in lines[-4:-1]] == [
        ["throughput", "PASS"],
        ["wal", "INVALID"],
        ["latency", "STACK", "(no", "result)"],
    ]
    assert max(map(len, lines)) <= 80


def test_files_and_what_was_left_out_are_said_with_their_reason(
    summary: overview.Overview,
) -> None:
    text = overview.text(summary, Path("results"), 120)

    assert "HTML  results/bench.html\nCSV   results/bench.csv\nJSON  results/bench.json" in text
    assert "left out: wal: test_x[kinesis]: no Node.js" in text
    assert "left out: wal: pubsub was left out: no emulator" in text


def test_the_page_links_every_report_and_strikes_what_may_not_be_used(
    summary: overview.Overview,
) -> None:
    page = overview.html(summary)

    assert 'href="./20261124T000000Z-throughput-aaaaaaaa/report.html"' in page
    assert 'href="./20261124T000100Z-wal-bbbbbbbb/report.html"' in page
    assert "<s>100/s</s>" in page
    assert "It left no result" in page
    assert "bench-1, 2 cores" in page
    assert EVIL not in page


def test_one_csv_has_the_rows_of_all_runs_below_one_head(summary: overview.Overview) -> None:
    rows = list(csv.DictReader(io.StringIO(summary.csv())))

    assert {row["scenario"] for row in rows} == {"throughput", "wal"}
    assert {row["verdict"] for row in rows} == {"PASS", "INVALID"}


def test_the_json_has_exit_codes_results_and_what_was_left_out(
    summary: overview.Overview,
) -> None:
    told = json.loads(json.dumps(summary.to_json()))

    assert told["exit_code"] == 3
    assert [module["exit_code"] for module in told["modules"]] == [0, 4, 3]
    assert told["modules"][1]["results"] == ["20261124T000100Z-wal-bbbbbbbb"]
    assert told["modules"][1]["left_out"][0].startswith("test_x[kinesis]")


def test_without_any_result_there_is_still_a_page_and_a_verdict() -> None:
    empty = overview.Overview(2, [overview.module_of("wal", 2, [], [])], overview.facts_of([]))

    assert "ERROR" in overview.html(empty)
    assert overview.text(empty, Path("results"), 80).endswith("verdict: ERROR")
