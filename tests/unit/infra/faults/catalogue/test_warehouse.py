"""What is done to an Iceberg table is met by whoever commits to it, and ends with the fault."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from infra.faults.catalogue.warehouse import CATALOG
from infra.faults.fault import FaultGround, FaultObjects, heal, inject
from infra.schemas.warehouse import catalog_file, local_catalog
from infra.stack.endpoints import Endpoints

catalogs = pytest.importorskip("pyiceberg.catalog")
pyarrow = pytest.importorskip("pyarrow")
exceptions = pytest.importorskip("pyiceberg.exceptions")

NAME = "run.customers"
LIMIT_S = 30.0


@pytest.fixture
def table(tmp_path: Path) -> Iterator[Any]:
    with closing(catalogs.load_catalog(CATALOG, **local_catalog(tmp_path))) as catalog:
        catalog.create_namespace("run")
        columns = pyarrow.schema([("id", pyarrow.int64())])
        yield catalog.create_table(NAME, columns, properties={"commit.retry.num-retries": "0"})


class Acts:
    """Notes what was done, and which version of the table was there then."""

    def __init__(self, warehouse: Path) -> None:
        self.done: list[tuple[str, str]] = []
        self._warehouse = warehouse

    def __call__(self, action: str, name: str, /) -> None:
        self.done.append((action, self.version() if action == "kill" else name))

    def version(self) -> str:
        with closing(sqlite3.connect(catalog_file(self._warehouse))) as catalog:
            row = catalog.execute("SELECT metadata_location FROM iceberg_tables").fetchone()
        return str(row[0])


def ground(warehouse: Path) -> FaultGround:
    objects = FaultObjects(sink_table=NAME, warehouse=str(warehouse))
    return FaultGround(Endpoints("external", "", "", "", ""), objects, Acts(warehouse))


def touch(table: Any) -> None:
    table.append(pyarrow.table({"id": [1]}))


def test_a_platform_is_killed_at_once_behind_its_commit(tmp_path: Path, table: Any) -> None:
    place = ground(tmp_path)
    killing = Thread(target=inject, args=("kill-platform-at-commit", place))
    before, deadline_s = place.act.version(), time.monotonic() + LIMIT_S  # type: ignore[attr-defined]
    killing.start()
    while killing.is_alive() and time.monotonic() < deadline_s:
        touch(table)
        killing.join(0.05)

    heal("kill-platform-at-commit", place)

    (killed, version), started = place.act.done  # type: ignore[attr-defined]
    assert killed == "kill"
    assert version != before
    assert started == ("restart", "platform")


def test_a_locked_catalog_takes_no_commit_until_it_is_let_go(tmp_path: Path, table: Any) -> None:
    place = ground(tmp_path)
    inject("lock-catalog", place)
    with (
        closing(sqlite3.connect(catalog_file(tmp_path), timeout=0.1)) as other,
        pytest.raises(sqlite3.OperationalError, match="locked"),
    ):
        other.execute("BEGIN IMMEDIATE")

    heal("lock-catalog", place)

    touch(table)


def test_concurrent_commits_meet_those_of_whoever_looked_before(tmp_path: Path, table: Any) -> None:
    place = ground(tmp_path)
    held = table.metadata_location
    inject("concurrent-commits", place)
    deadline_s = time.monotonic() + LIMIT_S
    while place.act.version() == held and time.monotonic() < deadline_s:  # type: ignore[attr-defined]
        time.sleep(0.01)

    with pytest.raises(exceptions.CommitFailedException):
        touch(table)

    heal("concurrent-commits", place)
    table.refresh()
    touch(table)
    assert table.scan().to_arrow().num_rows == 1
