"""A run in an environment that is meant for other things: nothing of it reaches the servers."""

from __future__ import annotations

import json
import os
from pathlib import Path

from infra.client.environment import TELEMETRY_TOKEN
from infra.stack.endpoints import Endpoints
from tests.real_stack import server_processes
from tests.recording_proxy import recording_proxy
from tests.scenarios.locust_process import LocustProcess

CANARY = "canary-5f1e"
STEWARD = "cdc_users.pipeline.provision.steward"
#: What is secret, each with a word of its own; those of servers elsewhere are not for ours.
SECRETS = {
    name: f"{CANARY}-{number}"
    for number, name in enumerate(
        (
            "PGPASSWORD",
            "CDC_WEB_PASSWORD",
            "CDC_SCHEMA_REGISTRY_PASSWORD",
            "CDC_CONNECT_TOKEN",
            "CDC_WEBHOOK_TOKEN",
            "AWS_SECRET_ACCESS_KEY",
            "AWS_SESSION_TOKEN",
        )
    )
}
#: What a webhook's clients read in every process of a run.
FOR_CLIENTS = {"CDC_WEBHOOK_TOKEN"}
#: The steward alone may have to remove something from AWS: what an earlier run has left there.
FOR_STEWARD = {"AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"}
VARIABLES = {
    "PGSSLMODE": "verify-full",
    "PGOPTIONS": "-c nonsense=1",
    "PGSERVICE": "nowhere",
    "PGHOSTADDR": "192.0.2.1",
    "JAVA_TOOL_OPTIONS": '-Dnonsense="1"',
    "PYTHONIOENCODING": "latin-1",
    "PYTHONWARNINGS": "ignore",
}


def environments(run: LocustProcess) -> dict[str, dict[str, str]]:
    """What every child of a run and every server of the stack was started with, by its command."""
    family = [*run.family()[1:], *server_processes()]
    return {" ".join(one.cmdline()): one.environ() for one in family}


def test_no_variable_changes_a_run_and_no_secret_goes_anywhere_on_our_own_servers(
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
            environment={**VARIABLES, **SECRETS, **proxies, "no_proxy": "", "NO_PROXY": ""},
            directory=elsewhere,
        )
        run.await_output("benchmark.step")
        told = "".join(str(child.cmdline()) for child in run.family())
        inherited = environments(run)
        assert run.wait() == 0, run.output

        assert not asked
    (token,) = {env[TELEMETRY_TOKEN] for env in inherited.values() if TELEMETRY_TOKEN in env}
    written = [path for path in results.rglob("*") if path.is_file()]
    for word in (CANARY, token):
        assert not [path for path in written if word.encode() in path.read_bytes()]
        assert word not in run.output + told
    for command, env in inherited.items():
        names = {name for name, value in env.items() if CANARY in value}
        assert names <= FOR_CLIENTS | (FOR_STEWARD if STEWARD in command else set()), command
    assert len(inherited) >= 7, "steward, observer, platform and the stack's servers"
    (place,) = results.glob("*/environment.json")
    secret = {
        name for name in SECRETS if name not in FOR_CLIENTS | FOR_STEWARD | {"CDC_WEB_PASSWORD"}
    }
    variables = json.loads(place.read_text(encoding="utf-8"))["variables"]
    foreign = {name for name in VARIABLES if name.startswith("PG")} | secret
    assert {*VARIABLES, *SECRETS} & set(variables["left_out"]) == foreign
    assert set(proxies) <= set(variables["obeyed"])
    assert not set(os.environ) & set(variables["left_out"])
