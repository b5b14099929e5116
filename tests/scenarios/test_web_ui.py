"""Locust's own web UI: a run is started by its form, twice, and a mistake in the form starts
nothing.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from infra.stack.endpoints import Endpoints
from infra.stack.servers.port import free_ports
from infra.stack.supervise.state import CHECKOUT
from tests.scenarios.locust_process import await_that, page_answers

FORM = {"user_count": "1", "spawn_rate": "1", "shape_class": "ThroughputShape", "smoke": "yes"}


@pytest.fixture
def page(stack: Endpoints, results: Path) -> Iterator[str]:
    (port,) = free_ports(1)
    command = [
        sys.executable,
        "-m",
        "locust",
        "-f",
        "locustfiles",
        "--class-picker",
        "--results",
        str(results),
    ]
    process = subprocess.Popen(
        [*command, "--web-host", "127.0.0.1", "--web-port", str(port)],
        cwd=CHECKOUT,
        stdin=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"
    await_that(lambda: page_answers(url), "the page does not come up")
    yield url
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 0  # nothing was under way, and no run has failed


def start(page: str, **form: str) -> None:
    answer = requests.post(
        f"{page}/swarm", data={**FORM, "user_classes": "ThroughputWriter", **form}, timeout=30
    )
    assert answer.ok, answer.text


def state(page: str) -> str:
    return str(requests.get(f"{page}/stats/requests", timeout=30).json()["state"])


def test_the_form_offers_the_scenarios_options(page: str) -> None:
    text = requests.get(page, timeout=30).text

    assert "rows_per_transaction" in text
    assert "drain_timeout" in text


def test_runs_can_be_started_one_after_another(page: str, results: Path) -> None:
    def finished() -> int:
        return len(list(results.glob("*/result.json")))

    start(page, rows="20,30")
    await_that(lambda: finished() == 1 and state(page) == "stopped", "the first run does not end")
    start(page, rows="20,30")
    await_that(lambda: finished() == 2 and state(page) == "stopped", "the second run does not end")


def test_a_mistake_in_the_form_starts_no_run(page: str, results: Path) -> None:
    start(page, rows="many")

    await_that(lambda: state(page) in ("stopped", "ready"), "the mistake was not noticed")
    assert not results.exists()
