"""Workers that come in mid-step take their part: no arrival is lost and none is done twice."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from infra.stack.endpoints import Endpoints
from infra.stack.servers.port import free_ports
from infra.stack.supervise.state import CHECKOUT
from tests.scenarios.locust_process import DEADLINE_S, LocustProcess

ARRIVALS = 1600
#: A worker that is ready to go, and goes when it is told to: starting Python would take part of
#: the step.
HELD = (
    "import sys, locust.main, cdc_users.run.locust.hooks, cdc_users.users.postgres,"
    " cdc_users.users.kafka; sys.stdin.readline(); locust.main.main()"
)


def start_worker(scenario: str, port: str) -> subprocess.Popen[bytes]:
    locustfile = f"locustfiles/{scenario}.py"
    command = [sys.executable, "-c", HELD, "-f", locustfile, "--worker", "--master-port", port]
    nowhere = subprocess.DEVNULL
    return subprocess.Popen(
        command, cwd=CHECKOUT, stdin=subprocess.PIPE, stdout=nowhere, stderr=nowhere
    )


def let_go(worker: subprocess.Popen[bytes]) -> None:
    assert worker.stdin is not None
    with worker.stdin as held:
        held.write(b"\n")


@pytest.mark.soak
@pytest.mark.parametrize(
    ("scenario", "options"),
    [("throughput", ()), ("latency", ("--sinks", "counting"))],
    ids=["postgres", "topic"],
)
def test_a_worker_that_comes_in_mid_step_takes_its_part(
    stack: Endpoints, results: Path, scenario: str, options: tuple[str, ...]
) -> None:
    (port,) = map(str, free_ports(1))
    load = (
        "--rate",
        "200",
        "--duration",
        "8s",
        "--lanes",
        "8",
        "--mix",
        "insert=80,update=20",
        *options,
    )
    run = LocustProcess(
        scenario, results, "--master", "--master-bind-port", port, "--expect-workers", "1", *load
    )
    first, second = start_worker(scenario, port), start_worker(scenario, port)
    try:
        let_go(first)
        run.await_output("benchmark.step")
        let_go(second)

        assert run.wait() == 0, run.output
        assert first.wait(DEADLINE_S) == second.wait(DEADLINE_S) == 0
    finally:
        for worker in (first, second):
            worker.kill()
            worker.wait()
    assert "benchmark.shares" in run.output
    (step,) = run.result()["steps"]
    assert step["arrivals"]["offered"] == step["arrivals"]["completed"] == ARRIVALS
    assert step["ledger"]["sent"] == step["ledger"]["delivered"] == ARRIVALS
