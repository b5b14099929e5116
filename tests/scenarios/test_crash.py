"""What happens when something dies or is asked to stop in the middle of a run."""

from __future__ import annotations

import os
import shlex
import signal
import sys
from pathlib import Path

import psutil
import pytest

from infra.stack.endpoints import Endpoints
from infra.stack.supervise.state import recorded, state_of
from tests.real_stack import SERVERS, server
from tests.scenarios.chaos.scene import PageProcess
from tests.scenarios.locust_process import NOTHING, LocustProcess, await_that, leftovers

LONG = ("--rate", "200", "--duration", "60s")
SHUT_DOWN = "Shutting down (exit code"


def loading(results: Path) -> LocustProcess:
    """A long run that is in the middle of its load."""
    run = LocustProcess("throughput", results, *LONG)
    run.await_output("benchmark.step")
    return run


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_run_that_is_told_to_stop_concludes_as_invalid(
    stack: Endpoints, results: Path, number: int
) -> None:
    run = loading(results)
    family = run.family()

    run.signal(number)

    assert run.wait() == 4, run.output
    assert run.result()["verdict"] == "INVALID"
    assert run.result()["reasons"][0].startswith("stopped early")
    ledger = run.result()["steps"][0]["ledger"]
    assert ledger["sent"] == ledger["delivered"]
    assert run.output.count(SHUT_DOWN) == 1
    assert leftovers(stack) == NOTHING
    assert not [process for process in family if process.is_running()]


def test_a_page_that_is_told_to_stop_in_a_run_shuts_down_once(
    stack: Endpoints, results: Path, tmp_path: Path
) -> None:
    """Locust has an answer of its own to SIGTERM, which must not run beside ours."""
    page = tmp_path / "page.html"
    run = PageProcess(results, "--html", str(page))
    run.await_output("benchmark.step")

    run.signal(signal.SIGTERM)

    assert run.wait() == 4, run.output
    assert run.output.count(SHUT_DOWN) == 1, run.output
    assert "Traceback" not in run.output
    assert page.read_text(encoding="utf-8")
    assert leftovers(stack) == NOTHING


def test_a_platform_that_dies_in_the_audit_fails_the_run_too(
    stack: Endpoints, results: Path
) -> None:
    broken = shlex.join(
        [sys.executable, "-m", "tests.scenarios.broken_platform", "--defect", "dies-in-the-audit"]
    )
    run = LocustProcess("throughput", results, "--rows", "50", "--platform", broken)

    assert run.wait() == 1, run.output
    assert "the system under test died: platform-1 ended with 9" in run.result()["reasons"][0]


def test_a_killed_locust_leaves_nothing_behind(stack: Endpoints, results: Path) -> None:
    run = loading(results)
    family = run.family()

    run.signal(signal.SIGKILL)
    run.wait()

    await_that(lambda: leftovers(stack) == NOTHING, "the steward did not clean up")
    await_that(lambda: not any(map(psutil.Process.is_running, family)), "a process was left behind")


def test_what_a_run_and_its_steward_left_behind_is_cleared_by_the_next_run(
    stack: Endpoints, results: Path
) -> None:
    run = loading(results)
    run.child("cdc_users.pipeline.provision.steward").kill()
    run.signal(signal.SIGKILL)
    run.wait()
    assert leftovers(stack) != NOTHING

    again = LocustProcess("throughput", results, "--rows", "10")

    assert again.wait() == 0, again.output
    assert leftovers(stack) == NOTHING


@pytest.mark.parametrize("victim", SERVERS)
def test_a_server_that_dies_ends_the_run_with_exit_3_and_takes_the_stack_down(
    stack: Endpoints, results: Path, victim: str
) -> None:
    run = loading(results)
    processes, _ = recorded(state_of())
    attacked = server(victim)
    assert attacked is not None

    attacked.kill()

    assert run.wait() == 3, run.output
    await_that(lambda: not any(item.process() for item in processes), "a server was left behind")
    assert victim in (state_of().root / "failure.json").read_text(encoding="utf-8")


def test_a_killed_supervisor_takes_its_servers_with_it(stack: Endpoints, results: Path) -> None:
    run = loading(results)
    processes, places = recorded(state_of())

    os.kill(processes[0].pid, signal.SIGKILL)

    assert run.wait() == 3, run.output
    await_that(lambda: not any(item.process() for item in processes), "a server was left behind")
    await_that(
        lambda: not state_of().run.exists() and not any(map(Path.exists, places)),
        "a directory was left",
    )
