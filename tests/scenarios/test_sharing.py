"""Workers that come in mid-step take their part: no arrival is lost and none is done twice."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from infra.stack.endpoints import Endpoints
from infra.stack.port import free_ports
from infra.stack.state import CHECKOUT
from tests.scenarios.locust_process import DEADLINE_S, LocustProcess

ARRIVALS = 1600


def start_worker(port: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "locust", "-f", "locustfiles/throughput.py", "--worker", "--master-port", port]
    return subprocess.Popen(command, cwd=CHECKOUT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def test_a_worker_that_comes_in_mid_step_takes_its_part(stack: Endpoints, results: Path) -> None:
    (port,) = map(str, free_ports(1))
    load = ("--rate", "200", "--duration", "8s", "--lanes", "8", "--mix", "insert=80,update=20")
    run = LocustProcess("throughput", results, "--master", "--master-bind-port", port, "--expect-workers", "1", *load)
    workers = [start_worker(port)]
    run.await_output("benchmark.step")
    workers.append(start_worker(port))

    assert run.wait() == 0, run.output
    for worker in workers:
        assert worker.wait(DEADLINE_S) == 0
    assert "benchmark.shares" in run.output
    (step,) = run.result()["steps"]
    assert step["arrivals"]["offered"] == step["arrivals"]["completed"] == ARRIVALS
    assert step["ledger"]["sent"] == step["ledger"]["delivered"] == ARRIVALS
