"""A run in an environment that is meant for other things: nothing of it reaches the servers."""

from __future__ import annotations

import json
import os
from pathlib import Path

from infra.stack.endpoints import Endpoints
from tests.recording_proxy import recording_proxy
from tests.scenarios.locust_process import LocustProcess

CANARY = "canary-5f1e"
VARIABLES = {
    "PGPASSWORD": CANARY,
    "PGSSLMODE": "verify-full",
    "PGOPTIONS": "-c nonsense=1",
    "PGSERVICE": "nowhere",
    "PGHOSTADDR": "192.0.2.1",
    "JAVA_TOOL_OPTIONS": '-Dnonsense="1"',
    "PYTHONIOENCODING": "latin-1",
    "PYTHONWARNINGS": "ignore",
}


def test_no_variable_changes_a_run_on_our_own_servers(
    stack: Endpoints,
    results: Path,
    tmp_path: Path,
) -> None:
    elsewhere = tmp_path / "work"
    (elsewhere / "infra").mkdir(parents=True)
    (elsewhere / "infra" / "__init__.py").touch()
    with recording_proxy() as (proxies, asked):
        run = LocustProcess(
            "throughput",
            results,
            "--rows",
            "20",
            environment={**VARIABLES, **proxies, "no_proxy": "", "NO_PROXY": ""},
            directory=elsewhere,
        )
        run.await_output("benchmark.step")
        told = "".join(str(child.cmdline()) for child in run.family())
        assert run.wait() == 0, run.output

        assert not asked
    written = [path for path in results.rglob("*") if path.is_file()]
    assert not [path for path in written if CANARY.encode() in path.read_bytes()]
    assert CANARY not in run.output + told
    (place,) = results.glob("*/environment.json")
    variables = json.loads(place.read_text(encoding="utf-8"))["variables"]
    assert set(VARIABLES) & set(variables["left_out"]) == {n for n in VARIABLES if n[:2] == "PG"}
    assert set(proxies) <= set(variables["obeyed"])
    assert not set(os.environ) & set(variables["left_out"])
