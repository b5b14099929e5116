"""Processes that die, stop or come from elsewhere, output that breaks, and every way of being told
to stop: each run ends within its limit, with one sentence, the right exit code and nothing left.
"""

from __future__ import annotations

import contextlib
import csv
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from infra.stack.endpoints import Endpoints
from infra.stack.servers.port import free_ports
from infra.stack.supervise.state import CHECKOUT, state_of
from tests.real_stack import SERVERS, server
from tests.scenarios.locust_process import (
    NOTHING,
    LocustProcess,
    await_that,
    leftovers,
    start_worker,
)

LOAD = ("--rate", "50", "--duration", "20s", "--lanes", "4", "--drain-timeout", "10s")
#: From the first request to stop to the end of the process.
STOPPED_S = 30.0


@contextlib.contextmanager
def loading(tmp_path: Path, *options: str) -> Iterator[LocustProcess]:
    """A run in the middle of its load."""
    process = LocustProcess("throughput", tmp_path, *LOAD, *options)
    try:
        process.await_output("benchmark.step")
        yield process
    finally:
        with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
            process.signal(signal.SIGKILL)


def reasons(process: LocustProcess) -> str:
    return "; ".join(process.result()["reasons"])


def wait_for_cleaning(stack: Endpoints) -> None:
    """A steward that outlives its run needs a moment."""
    await_that(lambda: leftovers(stack) == NOTHING, f"left behind: {leftovers(stack)}")


OBSERVER, PLATFORM = "cdc_users.observe", "infra.platform"


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (
            signal.SIGKILL,
            {OBSERVER: (2, "observer ended with -9"), PLATFORM: (1, "the system under test died")},
        ),
        (
            signal.SIGSTOP,
            {OBSERVER: (2, "the observer does not answer"), PLATFORM: (1, "silent for")},
        ),
    ],
    ids=["dies", "stops"],
)
def test_a_process_that_dies_or_stops_is_named_and_ends_the_run(
    stack: Endpoints, tmp_path: Path, number: int, expected: dict[str, tuple[int, str]]
) -> None:
    def attacked(module: str) -> tuple[int, LocustProcess]:
        with loading(tmp_path / module) as run:
            run.child(module).send_signal(number)
            return run.wait(), run

    with ThreadPoolExecutor() as pool:  # they wait most of the time, so both at once
        ended = dict(zip(expected, pool.map(attacked, expected), strict=True))
    for module, (code, run) in ended.items():
        assert code == expected[module][0], run.output
        assert expected[module][1] in reasons(run)
    wait_for_cleaning(stack)


def test_a_steward_that_is_killed_is_named_and_the_next_run_cleans_up(
    stack: Endpoints, tmp_path: Path
) -> None:
    with loading(tmp_path / "killed", "--duration", "5s") as run:
        run.child(STEWARD).kill()

        assert run.wait() == 2
        assert "the steward process ended with -9" in reasons(run)
        assert "BrokenPipe" not in run.output
    assert leftovers(stack) != NOTHING

    after = LocustProcess("throughput", tmp_path / "next", "--rows", "20")
    assert after.wait() == 0
    assert "cleared away what run" in after.output
    wait_for_cleaning(stack)


def test_a_worker_that_is_killed_makes_the_run_invalid_and_is_counted(
    stack: Endpoints, tmp_path: Path
) -> None:
    with loading(tmp_path, "--processes", "2") as run:
        run.forked()[0].kill()

        assert run.wait() == 4
        assert "1 of 2 workers was lost" in reasons(run)
    wait_for_cleaning(stack)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_a_signal_to_the_whole_group_ends_a_run_with_workers_in_order(
    stack: Endpoints, tmp_path: Path, number: signal.Signals
) -> None:
    with loading(tmp_path, "--processes", "2") as run:
        began_s = time.monotonic()
        for process in [*run.forked(), psutil.Process(run.pid)]:
            process.send_signal(number)

        assert run.wait() == 4
        assert time.monotonic() - began_s < STOPPED_S
        assert f"stopped early by {number.name}" in reasons(run)
        assert "lost" not in reasons(run)
    wait_for_cleaning(stack)


STEWARD = "cdc_users.pipeline.provision.steward"


def server_family(name: str) -> list[psutil.Process]:
    """One of the stack's servers with all its processes."""
    process = server(name)
    assert process is not None
    return [process, *process.children(recursive=True)]


@contextlib.contextmanager
def standing_still(family: Sequence[psutil.Process]) -> Iterator[None]:
    """These processes are stopped (SIGSTOP), and go on afterwards."""
    for process in family:
        process.suspend()
    try:
        yield
    finally:
        for process in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.resume()


def told_to_stop_beside(run: LocustProcess, family: Sequence[psutil.Process]) -> None:
    """The run ends in order and in time, although these stand still until it has."""
    with standing_still(family):
        began_s = time.monotonic()
        run.signal(signal.SIGINT)

        assert run.wait() == 4, run.output
        took_s = time.monotonic() - began_s
    assert reasons(run).startswith("stopped early by SIGINT"), run.result()["reasons"]
    assert "harness crashed" not in run.output
    assert took_s < STOPPED_S


def test_ctrl_c_ends_a_run_whose_database_has_stopped_with_a_true_verdict(
    stack: Endpoints, tmp_path: Path
) -> None:
    with loading(tmp_path) as run:
        told_to_stop_beside(run, server_family("postgres"))
        assert any("left behind" in note for note in run.result()["notes"])
    wait_for_cleaning(stack)


@pytest.mark.soak
@pytest.mark.parametrize("stopped", ["kafka", "connect", STEWARD, OBSERVER, PLATFORM])
def test_ctrl_c_ends_a_run_whatever_has_stopped(
    stack: Endpoints, tmp_path: Path, stopped: str
) -> None:
    with loading(tmp_path / "stopped") as run:
        family = server_family(stopped) if stopped in SERVERS else [run.child(stopped)]
        told_to_stop_beside(run, family)

    after = LocustProcess("throughput", tmp_path / "next", "--rows", "20")
    assert after.wait() == 0, after.output
    wait_for_cleaning(stack)


@pytest.mark.soak
def test_a_service_that_nobody_runs_stops_neither_the_cleaning_nor_the_next_run(
    stack: Endpoints, tmp_path: Path
) -> None:
    (port,) = free_ports(1)
    run = LocustProcess(
        "wal", tmp_path / "first", "--rows", "10", "--kinesis-endpoint", f"http://127.0.0.1:{port}/"
    )
    assert run.wait() == 3, run.output
    assert "Could not connect to the endpoint URL" in run.output
    assert leftovers(stack) == NOTHING

    after = LocustProcess("throughput", tmp_path / "next", "--rows", "20")
    journal = state_of(CHECKOUT).runs / f"{run.result()['run']}.jsonl"
    try:
        assert after.wait() == 0, after.output
        assert journal.exists(), "what could not be removed is tried again later"
    finally:
        journal.unlink(missing_ok=True)


def locust(*options: str) -> list[str]:
    file = "locustfiles/throughput.py"
    return [sys.executable, "-m", "locust", "-f", file, "--headless", "--smoke", "yes", *options]


def test_a_reader_that_goes_away_and_a_full_disk_stop_nothing(
    stack: Endpoints, tmp_path: Path
) -> None:
    """GIVEN `| head -1` and `2> log` on a full disk WHEN both break THEN the run goes on."""
    command = locust("--rows", "20", "--results", str(tmp_path))
    with Path("/dev/full").open("w") as full:
        run = subprocess.Popen(command, cwd=CHECKOUT, stdout=subprocess.PIPE, stderr=full)
    assert run.stdout is not None
    run.stdout.readline()
    run.stdout.close()

    assert run.wait(120) == 0
    assert len(list(tmp_path.glob("*/result.json"))) == 1


def test_json_and_csv_say_the_same_and_standard_output_is_json_alone(
    stack: Endpoints, tmp_path: Path
) -> None:
    command = locust("--only-summary", "--rows", "50", "--json", "--csv", str(tmp_path / "out"))
    run = subprocess.run(
        [*command, "--results", str(tmp_path)],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert run.returncode == 0, run.stderr
    told = {entry["name"]: entry["num_requests"] for entry in json.loads(run.stdout)}
    with (tmp_path / "out_stats.csv").open(newline="") as file:
        written = {row["Name"]: int(row["Request Count"]) for row in csv.DictReader(file)}
    assert told["insert (response)"] == written["insert (response)"] == 50
    assert {name: written[name] for name in told} == told


def test_a_worker_of_a_dead_master_is_told_to_quit_and_counts_for_nothing(
    stack: Endpoints, tmp_path: Path
) -> None:
    (port,) = free_ports(1)
    shared = ("--master-bind-port", str(port), "--master", "--expect-workers")
    dead = LocustProcess("throughput", tmp_path / "dead", *LOAD, *shared, "1")
    orphan = start_worker(port)
    try:
        dead.await_output("benchmark.step")
        dead.signal(signal.SIGKILL)
        dead.wait()
        master = LocustProcess(
            "throughput", tmp_path / "new", "--rate", "20", "--duration", "8s", *shared, "1"
        )
        own = start_worker(port)
        try:
            assert master.wait() == 0, master.output
            assert orphan.wait(60) == 0
            assert own.wait(60) == 0
        finally:
            own.kill()
            own.wait()
    finally:
        orphan.kill()
        orphan.wait()

    (step,) = master.result()["steps"]
    assert step["arrivals"]["offered"] == 160
    assert "benchmark.stranger" in master.output
    assert any("did not belong to the run" in note for note in master.result()["notes"])
