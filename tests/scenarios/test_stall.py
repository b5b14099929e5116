"""A system that freezes for a second: the percentiles show it in full, with one process and with
several.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from infra.stack.servers.port import free_ports
from infra.stack.supervise.state import CHECKOUT

DEADLINE_S = 120.0
ARRIVALS = 4000
#: Of 4,000 arrivals the 1,000 of the frozen second wait for its end, each a millisecond less than
#: the one before; so 40 of them wait longer than this.
P99_MS = 960.0


def start(user: str, result: Path, *options: str) -> subprocess.Popen[str]:
    command = [
        sys.executable,
        "-m",
        "locust",
        "-f",
        "tests/scenarios/frozen_system.py",
        "--headless",
        "--only-summary",
    ]
    return subprocess.Popen(
        [*command, *options],
        cwd=CHECKOUT,
        env={
            **os.environ,
            "FROZEN_USER": user,
            "FROZEN_RESULT": str(result),
            "PYTHONPATH": str(CHECKOUT),
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """What three runs side by side have measured, by name."""
    place = tmp_path_factory.mktemp("frozen")
    (port,) = map(str, free_ports(1))
    runs = {
        "one process": start("FrozenLane", place / "one process"),
        "two processes": start(
            "FrozenLane",
            place / "two processes",
            "--processes",
            "2",
            "--master-bind-port",
            port,
            "--master-port",
            port,
        ),
        "constant_throughput": start("FrozenLoop", place / "constant_throughput"),
    }
    for name, run in runs.items():
        output, _ = run.communicate(timeout=DEADLINE_S)
        assert run.returncode == 0, f"{name}: {output}"
    found = {name: json.loads((place / name).read_text(encoding="utf-8")) for name in runs}
    yield found
    for name, seen in found.items():
        ours = seen["series"].get("response", {})
        print(f"{name}: p99 {ours.get('p99')} ms, in Locust's table {seen['locust']['p99']} ms")


@pytest.mark.parametrize("name", ["one process", "two processes"])
def test_the_p99_of_a_freeze_is_the_analytic_one(measured: dict[str, Any], name: str) -> None:
    series = measured[name]["series"]

    assert series["response"]["count"] == ARRIVALS
    # A machine that is itself stalled adds to the freeze, and the harness says by how much; at
    # rest that is a few ms.
    assert series["response"]["p99"] == pytest.approx(
        P99_MS, abs=0.05 * P99_MS + series["loop_lag"]["max"]
    )


@pytest.mark.parametrize("name", ["one process", "two processes"])
def test_locusts_own_table_agrees(measured: dict[str, Any], name: str) -> None:
    assert measured[name]["locust"]["count"] == ARRIVALS
    assert measured[name]["locust"]["p99"] == pytest.approx(
        measured[name]["series"]["response"]["p99"], rel=0.005
    )


@pytest.mark.parametrize("name", ["one process", "two processes"])
def test_every_arrival_is_accounted_for(measured: dict[str, Any], name: str) -> None:
    tallies = measured[name]["tallies"]

    assert len(tallies) == (2 if name == "two processes" else 1)
    for count in ("offered", "started", "completed"):
        assert sum(tally[count] for tally in tallies) == ARRIVALS


def test_locusts_constant_throughput_misses_the_freeze(measured: dict[str, Any]) -> None:
    own = measured["constant_throughput"]["locust"]

    assert own["p99"] < P99_MS / 10
    assert own["count"] < ARRIVALS * 0.85
