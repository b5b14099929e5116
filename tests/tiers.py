"""What `make check`, `make test` and `make soak` run: every stage a process, going on when one
fails.

Tests that import Locust patch the standard library, so they never share a process with the others.
The stages of a tier need nothing of each other, so two of them run at a time, one a core; what a
stage prints is shown when it has ended, and each minute it is said what is still at work. Of the
stages with servers only one runs in this checkout. The others run in copies of it, because a
checkout has one stack, and a test that looks for what a run has left would find another's. Long
proofs run one after another, their output as it comes.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
PYTEST = (sys.executable, "-m", "pytest", "-q", "-m", "not soak")
#: Tests with servers: those that share the machine, and those that measure milliseconds.
SHARING = (*PYTEST[:-1], "not soak and not quiet")
QUIET = (*PYTEST[:-1], "quiet and not soak")
LOCUST = (sys.executable, "-m", "pytest", "-q", "-m", "gevent and not soak", "-p", "no:anyio")
MEASURING = ("tests/unit/cdc_users/measure", "tests/unit/cdc_users/observe")
PROVE = (sys.executable, "-m", "pytest", "-s", "-m", "soak")
AT_A_TIME = 2
#: So often a tier says that it is alive.
ALIVE_S = 60.0
#: What a copy of the checkout has; the rest are environments, caches, and what runs have left.
COPIED = ("cdc_users", "docs", "infra", "locustfiles", "tests", "pyproject.toml", "README.md")
UNWANTED = shutil.ignore_patterns("__pycache__")
#: What a tier may take on two cores; a longer one is said to be too long, so that it is noticed
#: before CI's limit.
BUDGET_S = {"check": 120.0, "test": 900.0, "soak": 3600.0}


@dataclass(frozen=True, slots=True)
class Stage:
    """One process of a tier: what it is for, and its command.

    `alone` where it takes the whole machine; `copied` where it needs servers in a checkout of its
    own.
    """

    name: str
    command: Sequence[str]
    alone: bool = False
    copied: bool = False


@dataclass(frozen=True, slots=True)
class Ended:
    """A stage that has ended."""

    stage: Stage
    exit_code: int
    seconds: float
    output: str = ""


#: The longest first, so that the two cores end together.
CHECK = (
    Stage("unit tests of measuring", (*PYTEST, *MEASURING)),
    Stage("types", (str(BIN / "mypy"),)),
    Stage("unit tests", (*PYTEST, "tests/unit", *(f"--ignore={apart}" for apart in MEASURING))),
    Stage("unit tests that import Locust", (*LOCUST, "tests/unit")),
    Stage("import rules", (str(BIN / "lint-imports"), "--no-logo", "--no-cache")),
    Stage("format", (str(BIN / "ruff"), "format", "--check", ".")),
    Stage("lint", (str(BIN / "ruff"), "check", ".")),
)
TEST = (
    Stage("scenarios in smoke size", (*SHARING, "tests/scenarios")),
    Stage("integration tests on the real stack", (*SHARING, "tests/integration"), copied=True),
    *CHECK,
    Stage("tests of small times", (*QUIET, "tests/integration"), alone=True),
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


@contextmanager
def place_of(stage: Stage) -> Iterator[Path]:
    """Where a stage runs: here, or in a copy of this checkout that is removed behind it."""
    if not stage.copied:
        yield ROOT
        return
    with tempfile.TemporaryDirectory(prefix="locust-cdc-tests-") as directory:
        for name in COPIED:
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, Path(directory) / name, ignore=UNWANTED)
            else:
                shutil.copy2(ROOT / name, directory)
        place = Path(directory)
        try:
            yield place
        finally:
            # Of a test session that was killed; one that ended has done it.
            down = [sys.executable, "-m", "infra.stack", "down"]
            subprocess.run(
                down, cwd=place, env=_environment(place), capture_output=True, check=False
            )


def _environment(place: Path) -> Mapping[str, str]:
    """With the modules of this place, and not those of the checkout that is installed."""
    return {**os.environ, "PYTHONPATH": str(place)}


def run_stage(stage: Stage, extra: Sequence[str]) -> Ended:
    """Run one stage to its end."""
    with place_of(stage) as place:
        return run_in(place, stage, extra)


def run_in(place: Path, stage: Stage, extra: Sequence[str]) -> Ended:
    """Run one stage in this checkout."""
    started_s = time.monotonic()
    command = [*stage.command, *(extra if "pytest" in stage.command else ())]
    kept = None if stage.alone else subprocess.PIPE
    done = subprocess.run(
        command,
        cwd=place,
        env=_environment(place),
        stdout=kept,
        stderr=subprocess.STDOUT if kept else None,
        check=False,
        text=True,
    )
    return Ended(stage, done.returncode, time.monotonic() - started_s, done.stdout or "")


def run_all(stages: Sequence[Stage], extra: Sequence[str]) -> Iterator[Ended]:
    """Run all stages, two at a time in the order in which they are declared, those that need the
    whole machine last; yields each as it ends.
    """
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        running: dict[Future[Ended], Stage] = {
            pool.submit(run_stage, stage, extra): stage for stage in stages if not stage.alone
        }
        while running:
            ended, _ = wait(running, ALIVE_S, FIRST_COMPLETED)
            if not ended:
                begun = [stage.name for future, stage in running.items() if future.running()]
                print(f"== at work: {', '.join(begun)}", flush=True)
            for future in ended:
                del running[future]
                yield future.result()
    for stage in stages:
        if stage.alone:
            print(f"\n== {stage.name} …", flush=True)
            yield run_stage(stage, extra)


def run(tier: str, extra: Sequence[str]) -> int:
    """Run a tier, and say at the end what failed; returns the exit code."""
    started_s = time.monotonic()
    failed = []
    for ended in run_all(TIERS[tier], extra):
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
    top.add_argument("extra", nargs=argparse.REMAINDER, help="options for pytest")
    chosen = top.parse_args()
    sys.exit(run(chosen.tier, chosen.extra))
