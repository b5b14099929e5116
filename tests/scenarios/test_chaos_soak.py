"""Many short runs, each under an attack that a seed has drawn: none hangs, none passes with wrong
numbers, none leaves anything, and no secret comes out.

`CDC_CHAOS_RUNS` says how many (200), `CDC_CHAOS_SEED` which.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil
import pytest

from infra.stack.endpoints import Endpoints
from tests.scenarios.chaos import CANARY, LOAD, PASS, Drawn, draw
from tests.scenarios.locust_process import NOTHING, LocustProcess, await_that, leftovers

#: The longest that a run may take after an attack: Kafka stopped for good costs a wait for each of
#: its objects.
ENDS_S = 150.0
SECRETS = {"PGPASSWORD": CANARY, "AWS_SECRET_ACCESS_KEY": CANARY}


def drawn() -> Sequence[Drawn]:
    return draw(
        int(os.environ.get("CDC_CHAOS_SEED", "1")), int(os.environ.get("CDC_CHAOS_RUNS", "200"))
    )


def seen_secrets(run: LocustProcess) -> list[str]:
    """Which processes of a run have a secret where others of the machine, or servers, can see it;
    its own environment is locust's, as the user gave it.
    """
    found = []
    for process in run.family():
        with contextlib.suppress(psutil.Error):
            if CANARY in " ".join(process.cmdline()):
                found.append(f"the command line of {process.name()}")
            if process.pid != run.pid and CANARY in "".join(process.environ().values()):
                found.append(f"the environment of {process.cmdline()[-1:]}")
    return found


@contextlib.contextmanager
def nobody_left(run: LocustProcess) -> Iterator[None]:
    """What stands still goes on in the end, and then all processes of the run end."""
    family = run.family()
    try:
        yield
    finally:
        for process in family:
            with contextlib.suppress(psutil.Error):
                if process.status() == psutil.STATUS_STOPPED:
                    process.resume()
        await_that(
            lambda: not any(process.is_running() for process in family),
            f"still there: {[process for process in family if process.is_running()]}",
        )


def wrong(run: LocustProcess, code: int, under: Drawn, place: Path) -> list[str]:
    """What is not as it should be after one run."""
    told = [] if code in under.attack.codes else [f"exit {code}"]
    if "harness crashed" in run.output or "Traceback" in run.output:
        told.append("a traceback")
    if CANARY in run.output:
        told.append("a secret in its output")
    told += [
        f"a secret in {path.name}"
        for path in place.rglob("*")
        if path.is_file() and CANARY.encode() in path.read_bytes()
    ]
    if code == -signal.SIGKILL:
        return told
    result = run.result()
    if code == PASS:
        ledger = result["steps"][0]["ledger"]
        if not ledger["sent"] == ledger["delivered"] == result["steps"][0]["arrivals"]["offered"]:
            told.append(f"PASS with {ledger}")
    elif not result["reasons"]:
        told.append("no reason")
    return told


def attacked(stack: Endpoints, place: Path, under: Drawn) -> list[str]:
    """One run under one attack; returns what was wrong about it."""
    own = {**SECRETS, **under.attack.environment}
    run = LocustProcess("throughput", place / "run", *LOAD, environment=own)
    run.await_output("benchmark.step")
    with nobody_left(run):
        secrets = seen_secrets(run)
        time.sleep(under.after_s)
        began_s = time.monotonic()
        under.attack.act(run, stack, place)
        code = run.wait(ENDS_S)
        took_s = time.monotonic() - began_s
    reason = "" if code == -signal.SIGKILL else "; ".join(run.result()["reasons"][:1])
    print(
        f"| {under.attack.name} at {under.after_s:g} s | {code} | {took_s:.0f} s | {reason[:80]} |",
        flush=True,
    )
    return secrets + wrong(run, code, under, place)


@pytest.mark.soak
def test_no_attack_makes_a_run_lie_hang_or_leave_anything(stack: Endpoints, tmp_path: Path) -> None:
    found = {}
    print("\n| attack | exit code | ended after | first reason |\n|---|---|---|---|")
    for number, under in enumerate(drawn(), start=1):
        place = tmp_path / str(number)
        if told := attacked(stack, place, under):
            found[f"{number}: {under.attack.name} at {under.after_s:g} s"] = told

    # What was killed with its steward is cleared by the next run.
    last = LocustProcess("throughput", tmp_path / "last", "--rows", "20")
    assert last.wait() == PASS, last.output
    await_that(lambda: leftovers(stack) == NOTHING, f"left behind: {leftovers(stack)}")
    assert not found
