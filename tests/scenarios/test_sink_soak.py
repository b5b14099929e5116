"""A great many events through each sink, every one of them accounted for (`make soak`)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from infra.stack.endpoints import Endpoints
from tests.scenarios.locust_process import LocustProcess

DEADLINE_S = 3600.0

pytestmark = [pytest.mark.soak, pytest.mark.timeout(DEADLINE_S + 60)]

MIX = ("--mix", "insert=70,update=20,delete=10", "--key-skew", "zipf:1.1", "--row-bytes", "100")


@pytest.mark.parametrize(
    ("records", "options"),
    [
        (200_000, ("--sinks", "webhook")),
        (1_000_000, ("--sinks", "postgres")),
        (1_000_000, ("--sinks", "iceberg")),
        (200_000, ("--sinks", "iceberg", "--iceberg-mode", "upsert")),
    ],
    ids=["webhook", "postgres", "iceberg", "iceberg-upsert"],
)
def test_every_event_arrives_once_and_the_sink_holds_the_last_version_of_each_key(
    stack: Endpoints, results: Path, records: int, options: tuple[str, ...]
) -> None:
    load = ("--records", str(records), "--partitions", "4", "--batch-size", "1000", *MIX)
    run = LocustProcess("latency", results, *load, *options, "--drain-timeout", "60m")

    assert run.wait(DEADLINE_S) == 0, run.output
    (step,) = run.result()["steps"]
    ledger = step["ledger"]
    assert step["arrivals"]["completed"] == records
    assert ledger["sent"] == ledger["delivered"] >= records
    assert {
        ledger[name]
        for name in ("lost", "duplicated", "reordered", "stale", "torn", "corrupt", "unknown")
    } == {0}
    if "webhook" not in options:
        (audit,) = results.glob("*/audit.json")
        (final,) = json.loads(audit.read_text(encoding="utf-8"))["final"].values()
        assert final["compared"] > 0
        assert {final[name] for name in ("missing", "extra", "stale", "corrupt")} == {0}
