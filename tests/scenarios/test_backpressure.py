"""Backpressure in smoke size: a sound platform passes, and each defect of a broken one is named as
what it is.
"""

from __future__ import annotations

import csv
import shlex
import sys
from pathlib import Path

import pytest

from infra.stack.endpoints import Endpoints
from infra.stack.servers.port import free_ports
from tests.scenarios.locust_process import LocustProcess

SMALL = (
    "--sink-delay",
    "20ms",
    "--max-buffered-messages",
    "200",
    "--warm-up",
    "1s",
    "--fill",
    "1s",
    "--hold",
    "2s",
)


def broken(defect: str) -> tuple[str, ...]:
    return (
        "--platform",
        shlex.join([sys.executable, "-m", "tests.scenarios.broken_platform", "--defect", defect]),
    )


def test_a_slow_sink_bounds_the_queue_and_everything_arrives(
    stack: Endpoints, results: Path
) -> None:
    run = LocustProcess("backpressure", results, *SMALL)

    assert run.wait() == 0, run.output
    warm_up, step = run.result()["steps"]
    assert warm_up["warm_up"]
    assert step["ledger"]["sent"] == step["ledger"]["delivered"] == 4500
    pressure = step["pressure"]
    assert 0 < warm_up["pressure"]["queue_high_water"] < pressure["queue_high_water"] <= 200
    for told in (warm_up, step):
        assert told["pressure"]["partition_events"] == [told["ledger"]["sent"]]
    assert pressure["backlog_at_end"] > 1000
    assert pressure["time_to_drain_s"] > 0
    filled = {place["place"]: place for place in pressure["travel"]}
    assert filled["queue"]["full_s"] is not None
    assert filled["paused"]["most"] == 1
    assert filled["topic"]["most"] > 200
    (samples,) = results.glob("*/samples.csv")
    with samples.open(encoding="utf-8") as file:
        depths = [
            int(row["queue_depth"])
            for row in csv.DictReader(file)
            # What a process takes stands in rows of its own.
            if row["process"] == "platform-1" and row["queue_depth"]
        ]
    assert 0 < max(depths) <= 200


def test_pressure_travels_back_to_the_slot_when_the_source_is_postgres(
    stack: Endpoints, results: Path
) -> None:
    run = LocustProcess(
        "backpressure", results, *SMALL, "--source", "postgres", "--overload", "1.5"
    )

    assert run.wait() == 0, run.output
    places = {place["place"]: place for place in run.result()["steps"][1]["pressure"]["travel"]}
    assert places["slot"]["most"] > 0


def test_stages_are_marked_where_they_began(stack: Endpoints, results: Path) -> None:
    (port,) = map(str, free_ports(1))
    ports = ("--master-bind-port", port, "--master-port", port)
    run = LocustProcess("backpressure", results, *SMALL, "--processes", "2", *ports)

    assert run.wait() == 0, run.output
    (timeline,) = results.glob("*/timeline.csv")
    with timeline.open(encoding="utf-8") as file:
        stages = list(dict.fromkeys(row["stage"] for row in csv.DictReader(file)))
    assert stages[-2:] == ["hold", "drain"]


@pytest.mark.parametrize(
    ("defect", "limit", "reason"),
    [
        ("unbounded", "60s", "queue_high_water_share <= 1, but it is"),
        ("never-resumes", "8s", "partitions stayed paused for"),
        ("drops", "8s", "lost == 0, but it is"),
    ],
)
def test_a_broken_platform_fails_for_the_right_reason(
    stack: Endpoints, results: Path, defect: str, limit: str, reason: str
) -> None:
    run = LocustProcess("backpressure", results, *SMALL, "--drain-timeout", limit, *broken(defect))

    assert run.wait() == 1, run.output
    assert any(reason in told for told in run.result()["reasons"]), run.result()["reasons"]
