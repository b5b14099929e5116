"""What runs share: workers that come in mid-step, and a stack with other runs, also from another
namespace.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from infra.stack.endpoints import Endpoints
from infra.stack.find.locate import locate
from infra.stack.servers.port import free_ports
from infra.stack.supervise.state import CHECKOUT
from tests.scenarios.locust_process import DEADLINE_S, NOTHING, LocustProcess, leftovers

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


NAMESPACE = ("unshare", "-p", "-f", "--mount-proc")


def test_two_runs_with_workers_at_once_leave_each_other_and_the_stack_alone(
    stack: Endpoints, tmp_path: Path
) -> None:
    """The second counts its processes apart, as one in a container on the same checkout does."""
    if subprocess.run([*NAMESPACE, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("no pid namespace can be made here")
    first = LocustProcess(
        "throughput", tmp_path / "1", "--processes", "2", "--rate", "20", "--duration", "8s"
    )
    second = LocustProcess(
        "throughput", tmp_path / "2", "--processes", "2", "--rows", "40", under=NAMESPACE
    )

    for run, sent in ((first, 160), (second, 40)):
        assert run.wait() == 0, run.output
        (step,) = run.result()["steps"]
        assert step["ledger"]["sent"] == step["ledger"]["delivered"] == sent
        assert "cleared away" not in run.output
        told = [line for line in run.output.splitlines() if "reported as ready" in line]
        assert len(told) == 2, told
    assert locate(CHECKOUT, os.environ) == stack
    assert leftovers(stack) == NOTHING


@pytest.mark.soak
def test_a_stack_that_a_run_has_started_stays_for_the_other_until_it_ends(tmp_path: Path) -> None:
    if locate(CHECKOUT, os.environ) is not None:
        pytest.skip("a stack is up already")
    first = LocustProcess("throughput", tmp_path / "1", "--rows", "20")
    first.await_output("Starting Locust")
    second = LocustProcess("throughput", tmp_path / "2", "--rate", "20", "--duration", "30s")

    assert first.wait(300) == 0, first.output
    assert locate(CHECKOUT, os.environ) is not None, "the first took the stack with it"
    assert second.wait(300) == 0, second.output
    assert locate(CHECKOUT, os.environ) is None, "nobody took the stack down"
