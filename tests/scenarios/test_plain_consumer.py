"""A consumer of somebody else's making behind `--platform none`: two that are right pass, and each
fault is named as what it is.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from infra.stack.endpoints import Endpoints
from infra.stack.supervise.state import CHECKOUT
from tests.scenarios.locust_process import LocustProcess
from tests.scenarios.test_own_pipeline import own_table, own_topic

#: By fault, the class that the ledger must have; none of the others but those that may follow.
FAULTS = {
    "commits-early": "lost",
    "skips": "lost",
    "rebalance": "lost",
    "arrival": "stale",
    "cuts": "corrupt",
    "rounds": "corrupt",
    "deletes": "undeleted",
}
#: An event that is left out leaves its key at an older state, or there at all.
LEFT = {"stale", "undeleted", "resurrected"}
MAY_FOLLOW = {
    "arrival": {"resurrected"},
    "skips": LEFT,
    "rebalance": LEFT,
    "commits-early": LEFT,
}
CLASSES = ("lost", "duplicated", "stale", "undeleted", "resurrected", "corrupt", "phantom")


@contextmanager
def consumer(stack: Endpoints, topic: str, table: str, fault: str) -> Iterator[None]:
    command = [
        sys.executable, "-m", "tests.scenarios.plain_consumer",
        f"--bootstrap={stack.kafka_bootstrap}", f"--schema-registry={stack.schema_registry_url}",
        f"--topic={topic}", f"--group={topic}", f"--dsn={stack.postgres_dsn}",
        f"--table={table}", f"--fault={fault}",
    ]  # fmt: skip
    process = subprocess.Popen(command, cwd=CHECKOUT)
    try:
        yield
    finally:
        process.terminate()
        process.wait(60)


def audited(stack: Endpoints, results: Path, fault: str) -> tuple[int, dict[str, int], str]:
    """The exit code, the findings and what was printed."""
    with own_topic(stack) as topic, own_table(stack) as table:
        load = ("--rate", "300", "--duration", "6s", "--mix", "insert=70,update=20,delete=10")
        own = ("--platform", "none", "--sink-tap", f"postgres:{table}", "--topic", topic)
        more = ("--row-bytes", "300", "--drain-timeout", "30s")
        with consumer(stack, topic, table, fault):
            run = LocustProcess("latency", results, "--sinks", "postgres", *load, *own, *more)
            code = run.wait()
    (step,) = run.result()["steps"]
    ledger = step["ledger"]
    return code, {name: ledger[name] for name in CLASSES if ledger[name]}, run.output


def test_a_consumer_that_swallows_deletes_is_told_so(stack: Endpoints, results: Path) -> None:
    code, found, output = audited(stack, results, "deletes")

    assert code == 1, output
    assert set(found) == {"undeleted"}, output


@pytest.mark.soak
@pytest.mark.parametrize("fault", FAULTS)
def test_a_consumer_with_one_fault_is_named_as_what_it_is(
    stack: Endpoints, results: Path, fault: str
) -> None:
    code, found, output = audited(stack, results, fault)

    assert code == 1, output
    assert FAULTS[fault] in found, output
    assert set(found) <= {FAULTS[fault], *MAY_FOLLOW.get(fault, ())}, output


@pytest.mark.soak
@pytest.mark.parametrize("number", range(2))
def test_a_consumer_that_is_right_passes(stack: Endpoints, results: Path, number: int) -> None:
    code, found, output = audited(stack, results, "none")

    assert (code, found) == (0, {}), output
