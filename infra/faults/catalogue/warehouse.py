"""Faults of an Iceberg table in a local warehouse while the platform commits to it."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from threading import Event

from infra.faults.catalogue.process import REPEATS_S
from infra.faults.fault import Fault, FaultGround
from infra.faults.small_disk import empty, fill
from infra.schemas.warehouse import catalog_file, local_catalog
from infra.stack.error import StackError

#: The name that readers of the catalogue use as well.
CATALOG = "cdc"
POLL_S, COMMIT_S = 0.001, 30.0
#: The other writer's commits: about as often as the platform looks at the table and writes to it.
EVERY_S = 0.05
LOCK_S = 30.0


def _warehouse(ground: FaultGround) -> Path:
    return Path(ground.objects.warehouse)


def _kill_at_commit(ground: FaultGround) -> None:
    """Kill the platform as soon as the catalogue points to another version, so that it never gets
    the answer.

    The catalogue's file changes with each commit and with nothing else.
    """
    file = catalog_file(_warehouse(ground))
    before, deadline_s = _pointer(file), time.monotonic() + COMMIT_S
    while _pointer(file) == before:
        if time.monotonic() > deadline_s:
            raise StackError(f"nothing was committed to {file} within {COMMIT_S:g} s")
        time.sleep(POLL_S)
    ground.act("kill", "platform")


def _pointer(file: Path) -> list[tuple[str, ...]]:
    """Each table's version in the catalogue."""
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as catalog:
        return catalog.execute(
            "SELECT table_namespace, table_name, metadata_location FROM iceberg_tables"
        ).fetchall()


def _start_platform(ground: FaultGround) -> None:
    ground.act("restart", "platform")


def _lock_catalog(ground: FaultGround) -> None:
    """Nobody can read or write the catalogue; the lock ends with this process."""
    catalog = sqlite3.connect(catalog_file(_warehouse(ground)), LOCK_S, isolation_level=None)
    ground.held.enter_context(closing(catalog))
    catalog.execute("BEGIN EXCLUSIVE")


def _fill(ground: FaultGround) -> None:
    fill(_warehouse(ground))


def _make_room(ground: FaultGround) -> None:
    empty(_warehouse(ground))


def _commit_beside(ground: FaultGround) -> None:
    """Until it is undone, append to the platform's table: snapshots without rows."""
    from pyiceberg.catalog import load_catalog
    from pyiceberg.exceptions import CommitFailedException

    table = load_catalog(CATALOG, **local_catalog(_warehouse(ground))).load_table(
        ground.objects.sink_table
    )

    def commit(_over: Event) -> None:
        with contextlib.suppress(CommitFailedException):  # the platform was faster
            table.refresh()
            table.append(table.schema().as_arrow().empty_table())

    ground.keep_on(commit, EVERY_S)


KILL_AT_COMMIT = Fault(
    "kill-platform-at-commit",
    "Kills the platform (SIGKILL) when a commit to the Iceberg table has just come through, before"
    " the platform can have heard of it, and starts it again.",
    on="platform",
    inject=_kill_at_commit,
    heal=_start_platform,
    needs=("iceberg sink", "platform"),
    repeats_s=REPEATS_S,
    better="offsets in the snapshot's summary, so that a commit whose answer was lost is known"
    " again",
)
LOCK_CATALOG = Fault(
    "lock-catalog",
    "Locks the Iceberg catalogue's database, so that commits are refused.",
    on="sink",
    inject=_lock_catalog,
    needs=("iceberg sink",),
    repeats_s=REPEATS_S,
    better="commits that are tried again, after a look whether the one before came through",
)
CONCURRENT_COMMITS = Fault(
    "concurrent-commits",
    f"Appends nothing to the platform's Iceberg table every {1000 * EVERY_S:.0f} ms, as a second"
    " writer does, so that the platform's own commits meet others.",
    on="sink",
    inject=_commit_beside,
    needs=("iceberg sink",),
    repeats_s=REPEATS_S,
    better="fewer and larger commits; commit.retry.num-retries, or a writer that tries again"
    " itself",
)
FULL_WAREHOUSE = Fault(
    "full-warehouse",
    "Fills the disk of the Iceberg warehouse to the last byte, and makes room again.",
    on="sink",
    inject=_fill,
    heal=_make_room,
    needs=("iceberg sink", "small disk"),
    repeats_s=REPEATS_S,
    better="an alarm on free space; snapshots that expire and files that are compacted",
)
