"""What a headless run leaves and says: files that equal the result, no secret, metrics, clear
refusals.
"""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import requests

from infra.stack.endpoints import Endpoints
from infra.stack.servers.port import free_ports
from infra.stack.supervise.state import CHECKOUT
from tests.scenarios.locust_process import LocustProcess

CANARY = "canary-0b7e44"


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_files_console_and_result_agree_and_hold_no_secret(
    stack: Endpoints, results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPASSWORD", CANARY)
    prefix, html = tmp_path / "out" / "run", tmp_path / "out" / "run.html"
    options = ("--rows", "120,250", "--smoke", "no", "--csv", str(prefix), "--html", str(html))
    run = LocustProcess("throughput", results, *options)

    # The session's stack may be the quick-starting one, whose figures are INVALID; they must agree
    # all the same.
    assert run.wait() in (0, 4), run.output
    result = run.result()
    rows, seconds = read(Path(f"{prefix}_cdc_stats.csv")), read(Path(f"{prefix}_cdc_timeline.csv"))
    for step in result["steps"]:
        mine = [row for row in rows if row["step"] == step["name"]]
        assert {row["series"] for row in mine} == set(step["latency_ms"])
        for row in mine:
            assert (int(row["messages"]), int(row["sent"])) == (
                step["messages"],
                step["ledger"]["sent"],
            )
            assert row["p50_ms"] == _text(step["latency_ms"][row["series"]]["p50"])
            assert row["throughput_per_s"] == _text(step["throughput_per_s"])
        assert re.search(
            rf"^{step['name']} +\[?{step['messages']}\]? ", run.output, re.MULTILINE
        ), run.output
    for second in seconds:
        delivered, sent, due = (int(second[name]) for name in ("delivered", "sent", "offered"))
        assert 0 <= delivered <= sent <= due, second
        assert int(second["backlog"]) == sent - delivered
    last = {second["step"]: int(second["delivered"]) for second in seconds}
    assert last == {step["name"]: step["ledger"]["delivered"] for step in result["steps"]}
    (place,) = results.iterdir()
    assert (place / "timeline.csv").read_text(encoding="utf-8") == Path(
        f"{prefix}_cdc_timeline.csv"
    ).read_text(encoding="utf-8")
    for name in ("run_stats.csv", "run_stats_history.csv", "run.html"):
        own = prefix.with_name(name)
        assert (place / f"locust-{name}").read_bytes() == own.read_bytes(), name
    assert f"{place.name}/report.html" in html.read_text(encoding="utf-8")
    assert str(place / "report.html") in run.output
    for path in (path for path in tmp_path.rglob("*") if path.is_file()):
        assert CANARY.encode() not in path.read_bytes(), path
    assert CANARY not in run.output


def _text(value: float | None) -> str:
    return "" if value is None else str(value)


def test_a_result_that_cannot_be_written_is_no_pass(stack: Endpoints, results: Path) -> None:
    run = LocustProcess("throughput", results, "--rows", "20")
    run.await_output("benchmark.start")
    (place,) = results.iterdir()
    (place / "samples.csv").mkdir()

    assert run.wait() == 2, run.output
    assert f"{place / 'samples.csv'} cannot be written: Is a directory" in run.output
    assert not (place / "result.json").exists()


def test_a_quiet_run_says_only_what_it_came_to(stack: Endpoints, results: Path) -> None:
    run = LocustProcess("throughput", results, "--rows", "20", "--quiet")

    assert run.wait() == 0, run.output
    assert "CONSOLIDATED BENCHMARK RESULTS" in run.output
    assert "verdict: PASS" in run.output
    assert "benchmark." not in run.output
    assert "/INFO/locust.runners" not in run.output
    assert "Aggregated" not in run.output


def test_a_headless_run_serves_its_metrics_and_without_a_terminal_tells_events_as_json_lines(
    stack: Endpoints, results: Path
) -> None:
    (port,) = free_ports(1)
    run = LocustProcess(
        "throughput", results, "--rate", "50", "--duration", "3s", "--metrics-port", str(port)
    )
    run.await_output("benchmark.step")
    text = requests.get(f"http://127.0.0.1:{port}/metrics", timeout=30).text

    assert 'cdc_run_info{run="' in text
    assert run.wait() == 0, run.output
    events = [json.loads(line)["event"] for line in run.output.splitlines() if line.startswith("{")]
    assert events[0] == "benchmark.metrics"
    assert events[-1] == "benchmark.result"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--web-host", "0.0.0.0"), "--allow-web-host yes"),
        (("--web-host", "*"), "every interface"),
        (("--headless", "--metrics-port", "99999"), "'99999' is not a port"),
        (("--headless", "--quiet", "perhaps"), "'perhaps' is neither yes nor no"),
    ],
)
def test_an_address_or_switch_that_may_not_be_ends_with_2(
    arguments: tuple[str, ...], told: str
) -> None:
    command = [sys.executable, "-m", "locust", "-f", "locustfiles/throughput.py", *arguments]
    done = subprocess.run(
        command, cwd=CHECKOUT, capture_output=True, text=True, check=False, timeout=60
    )

    assert done.returncode == 2, done.stdout + done.stderr
    assert told in done.stderr
