"""What `make check`, `make test` and `make soak` run: every stage a process, going on when one
fails.

Tests that import Locust patch the standard library, so they never share a process with the others.
The stages of a check need no servers and nothing of each other, so two of them run at a time, one
a core; what a stage prints is shown when it has ended. Stages with servers run one after another,
their output as it comes.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
PYTEST = (sys.executable, "-m", "pytest", "-q", "-m", "not soak")
#: The slowest tests are named, since a tier has a budget.
SLOWEST = ("--durations=15", "--durations-min=10")
LOCUST = (sys.executable, "-m", "pytest", "-q", "-m", "gevent and not soak", "-p", "no:anyio")
MEASURING = ("tests/unit/cdc_users/measure", "tests/unit/cdc_users/observe")
PROVE = (sys.executable, "-m", "pytest", "-s", "-m", "soak")
AT_A_TIME = 2
#: What a tier may take on two cores; a longer one is said to be too long, so that it is noticed
#: before CI's limit.
BUDGET_S = {"check": 180.0, "test": 900.0, "soak": 3600.0}


@dataclass(frozen=True, slots=True)
class Stage:
    """One process of a tier: what it is for, and its command;

    `alone` where it needs servers or the terminal.
    """

    name: str
    command: Sequence[str]
    alone: bool = False


@dataclass(frozen=True, slots=True)
class Ended:
    """A stage that has ended."""

    stage: Stage
    exit_code: int
    seconds: float
    output: str = ""


#: Warns only: what is known of a package changes, and a revision must not fail for that.
ADVISORIES = Stage("known advisories", (sys.executable, "-m", "tests.advisories"))
#: Makes an advisory a failure.
FAILING = "--advisories"
#: The longest first, so that the two cores end together.
CHECK = (
    Stage("unit tests of measuring", (*PYTEST, *MEASURING)),
    Stage("types", (str(BIN / "mypy"),)),
    Stage("unit tests", (*PYTEST, "tests/unit", *(f"--ignore={apart}" for apart in MEASURING))),
    Stage("unit tests that import Locust", (*LOCUST, "tests/unit")),
    Stage("import rules", (str(BIN / "lint-imports"), "--no-logo", "--no-cache")),
    Stage("format", (str(BIN / "ruff"), "format", "--check", ".")),
    Stage("lint", (str(BIN / "ruff"), "check", ".")),
    ADVISORIES,
)
TEST = (
    *CHECK,
    Stage(
        "integration tests on the real stack", (*PYTEST, *SLOWEST, "tests/integration"), alone=True
    ),
    Stage("scenarios in smoke size", (*PYTEST, *SLOWEST, "tests/scenarios"), alone=True),
)
SOAK = tuple(
    Stage(
        f"long proofs in {room}",
        (*PROVE, f"tests/{room}"),
        alone=True,
    )
    for room in ("unit", "integration", "scenarios")
)
TIERS: Mapping[str, Sequence[Stage]] = {"check": CHECK, "test": TEST, "soak": SOAK}


def stages(tier: str, *, failing: bool) -> Sequence[Stage]:
    """The stages of a tier; `failing` is whether an advisory is a failure."""
    strict = replace(ADVISORIES, command=(*ADVISORIES.command, "--fail"))
    return [strict if failing and stage == ADVISORIES else stage for stage in TIERS[tier]]


def run_stage(stage: Stage, extra: Sequence[str]) -> Ended:
    """Run one stage to its end."""
    started_s = time.monotonic()
    command = [*stage.command, *(extra if "pytest" in stage.command else ())]
    kept = None if stage.alone else subprocess.PIPE
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=os.environ,
        stdout=kept,
        stderr=subprocess.STDOUT if kept else None,
        check=False,
        text=True,
    )
    return Ended(stage, done.returncode, time.monotonic() - started_s, done.stdout or "")


def run_all(stages: Sequence[Stage], extra: Sequence[str]) -> Iterator[Ended]:
    """Run all stages, those that need no servers first; yields each as it ends."""
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        running = [pool.submit(run_stage, stage, extra) for stage in stages if not stage.alone]
        yield from (future.result() for future in as_completed(running))
    for stage in stages:
        if stage.alone:
            print(f"\n== {stage.name} …", flush=True)
            yield run_stage(stage, extra)


def run(tier: str, extra: Sequence[str]) -> int:
    """Run a tier, and say at the end what failed; returns the exit code."""
    started_s = time.monotonic()
    failed = []
    wanted = stages(tier, failing=FAILING in extra)
    for ended in run_all(wanted, [option for option in extra if option != FAILING]):
        if ended.output:
            print(f"\n== {ended.stage.name} …\n{ended.output.rstrip()}")
        verdict = "ok" if ended.exit_code == 0 else f"FAILED ({ended.exit_code})"
        print(f"== {ended.stage.name}: {verdict} in {ended.seconds:.0f} s", flush=True)
        if ended.exit_code:
            failed.append(ended.stage.name)
    took_s = time.monotonic() - started_s
    slow = (
        f", more than the {BUDGET_S[tier]:.0f} s that it may take"
        if took_s > BUDGET_S[tier]
        else ""
    )
    print(
        f"\n{'all passed' if not failed else 'failed: ' + ', '.join(failed)} in {took_s:.0f}"
        f" s{slow}",
        flush=True,
    )
    return 1 if failed else 0


if __name__ == "__main__":
    top = argparse.ArgumentParser(prog="python -m tests.tiers")
    top.add_argument("tier", choices=TIERS)
    top.add_argument("extra", nargs=argparse.REMAINDER, help=f"{FAILING}, and options for pytest")
    chosen = top.parse_args()
    sys.exit(run(chosen.tier, chosen.extra))
