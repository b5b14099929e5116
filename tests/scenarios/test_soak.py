"""Long proofs (`make soak`)."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.stack.endpoints import Endpoints
from tests.scenarios.locust_process import NOTHING, LocustProcess, leftovers

pytestmark = pytest.mark.soak


def test_two_hundred_thousand_rows_all_arrive_once(stack: Endpoints, results: Path) -> None:
    load = ("--rows", "200000", "--rows-per-transaction", "100", "--insert-method", "values")
    run = LocustProcess(
        "throughput", results, *load, "--tuning", "throughput", "--drain-timeout", "5m"
    )

    assert run.wait() == 0, run.output
    ledger = run.result()["steps"][0]["ledger"]
    assert (ledger["sent"], ledger["delivered"], ledger["lost"], ledger["duplicated"]) == (
        200_000,
        200_000,
        0,
        0,
    )
    assert leftovers(stack) == NOTHING


def test_ten_runs_one_after_another_leave_nothing_behind(stack: Endpoints, results: Path) -> None:
    for number in range(10):
        run = LocustProcess("throughput", results / str(number), "--rows", "1000")
        assert run.wait() == 0, run.output
        assert leftovers(stack) == NOTHING
