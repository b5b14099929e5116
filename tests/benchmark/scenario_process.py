"""Runs a scenario as its users do: `locust --headless` in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cdc_users.measure.judgement.result import worst

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Finished:
    """A scenario that has ended: locust's exit code, and the result that it wrote (empty where it
    wrote none).
    """

    exit_code: int
    result: dict[str, Any]

    def __str__(self) -> str:
        reasons = (
            "; ".join(self.result.get("reasons", ())) or "no reason was given; see the output above"
        )
        return f"exit {self.exit_code}, verdict {self.result.get('verdict', 'none')}: {reasons}"


def run_scenario(name: str, *options: str) -> Finished:
    """Run locustfiles/NAME.py to its end, its output as it comes."""
    results = Path(os.environ.get("CDC_RESULTS", ROOT / "results"))
    results.mkdir(parents=True, exist_ok=True)
    before = set(results.glob("*/result.json"))
    command = [
        sys.executable,
        "-m",
        "locust",
        "-f",
        f"locustfiles/{name}.py",
        "--headless",
        "--only-summary",
    ]
    code = subprocess.run(
        [*command, "--results", str(results), *options], cwd=ROOT, check=False
    ).returncode
    if "CDC_BENCH_STATUS" in os.environ:
        status = Path(os.environ["CDC_BENCH_STATUS"])
        earlier = [int(status.read_text(encoding="ascii"))] if status.exists() else []
        status.write_text(str(worst([*earlier, code])), encoding="ascii")
    fresh = list(set(results.glob(f"*-{name}-*/result.json")) - before)
    return Finished(code, json.loads(fresh[0].read_text(encoding="utf-8")) if fresh else {})
