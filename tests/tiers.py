"""What `make check`, `make test` and `make soak` run, one process after another, going on when one fails.

Tests that import Locust patch the standard library, so they never share a process with the others.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
PYTEST = (sys.executable, "-m", "pytest", "-q")


@dataclass(frozen=True, slots=True)
class Stage:
    """One process of a tier: what it is for, and its command."""

    name: str
    command: Sequence[str]


CHECK = (
    Stage("format", (str(BIN / "ruff"), "format", "--check", ".")),
    Stage("lint", (str(BIN / "ruff"), "check", ".")),
    Stage("types", (str(BIN / "mypy"),)),
    Stage("import rules", (str(BIN / "lint-imports"), "--no-logo")),
    Stage("unit tests", (*PYTEST, "tests/unit", "--ignore=tests/unit/gevent")),
    Stage("unit tests that import Locust", (*PYTEST, "-p", "no:anyio", "tests/unit/gevent")),
)
TEST = (
    *CHECK,
    Stage("integration tests on the real stack", (*PYTEST, "tests/integration", "-m", "not soak")),
    Stage("scenarios in smoke size", (*PYTEST, "tests/scenarios", "-m", "not soak")),
)
SOAK = (Stage("long proofs", (*PYTEST, "-s", "tests/scenarios", "-m", "soak")),)
TIERS: Mapping[str, Sequence[Stage]] = {"check": CHECK, "test": TEST, "soak": SOAK}


def run(stages: Sequence[Stage], extra: Sequence[str]) -> int:
    """Run all stages and say at the end what failed; returns the exit code."""
    failed = []
    for stage in stages:
        print(f"\n== {stage.name}: {' '.join(Path(part).name for part in stage.command[:1])} …", flush=True)
        started_s = time.monotonic()
        arguments = extra if "pytest" in stage.command else ()
        code = subprocess.run([*stage.command, *arguments], cwd=ROOT, env=os.environ, check=False).returncode
        print(f"== {stage.name}: {'ok' if code == 0 else f'FAILED ({code})'} in {time.monotonic() - started_s:.0f} s")
        if code:
            failed.append(stage.name)
    print(f"\n{'all passed' if not failed else 'failed: ' + ', '.join(failed)}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(run(TIERS[sys.argv[1]], sys.argv[2:]))
