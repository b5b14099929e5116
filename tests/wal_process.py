"""The direct reader as the process that its users start, its source and its load, for integration
tests and soak.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import psycopg
from psycopg import Connection

from cdc_users.measure.ledger.audit import Audit, audit
from cdc_users.measure.ledger.ledger import Outcomes
from cdc_users.observe.tap import Tap
from cdc_users.users.workload.keyspace import RowChange
from cdc_users.users.workload.workload import Workload, Writer
from infra.postgres.publication import create_publication, drop_publication
from infra.postgres.slot import create_slot, drop_slot
from infra.postgres.table import CUSTOMERS_COLUMNS, create_customers, create_schema, drop_schema
from infra.stack.supervise.state import CHECKOUT

DEADLINE_S = 120.0
RUN = "waltests"
MIX = Workload(mix=(60, 30, 10), live_keys=200)
PLACES = ", ".join(["%s"] * len(CUSTOMERS_COLUMNS))
SETS = ", ".join(f"{name} = %s" for name in CUSTOMERS_COLUMNS)


def await_that(condition: Callable[[], bool], message: str) -> None:
    """Wait for a condition, with a deadline that no healthy machine reaches."""
    deadline_s = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline_s, message
        time.sleep(0.02)


class WalProcess:
    """`python -m infra.platform.wal`, of this checkout or another, from its ready line to its
    end.
    """

    def __init__(self, *options: str, directory: Path, checkout: Path = CHECKOUT) -> None:
        self._errors = (directory / "wal.log").open("ab")
        self.log = directory / "wal.log"
        self._process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "infra.platform.wal",
                "--journal",
                str(directory / "journal"),
                *options,
            ],
            cwd=checkout,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )
        self.ready: Mapping[str, Any] = {}

    def await_ready(self) -> WalProcess:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line.startswith("{"), self.log.read_text(encoding="utf-8")
        self.ready = json.loads(line)
        return self

    @property
    def code(self) -> int | None:
        """Its exit code; None while it runs."""
        return self._process.poll()

    def snapshot(self) -> dict[str, Any]:
        with urllib.request.urlopen(f"{self.ready['telemetry']}/snapshot", timeout=10) as answer:
            body: dict[str, Any] = json.load(answer)
            return body

    def end(self, number: signal.Signals) -> int:
        """Send a signal and wait for the end; returns the exit code."""
        self._process.send_signal(number)
        return self.wait()

    def wait(self) -> int:
        code = self._process.wait(DEADLINE_S)
        self.close()
        return code

    def close(self) -> None:
        """Kill what has not ended, after a failure."""
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._errors.close()


class Customers:
    """A run's schema with `customers`, a publication and a slot, and writers that fill it."""

    def __init__(self, dsn: str, name: str) -> None:
        self.dsn = dsn
        self.name = name
        self.connection: Connection = psycopg.connect(dsn, autocommit=True)
        create_schema(self.connection, name, RUN)
        table = create_customers(self.connection, name)
        create_publication(self.connection, name, [table])
        create_slot(self.connection, name)
        self._table = f"{name}.customers"
        self.writers: list[Writer] = []

    def options(self, *more: str) -> list[str]:
        """The reader's options for this source."""
        place = ["--dsn", self.dsn, "--slot", self.name, "--publication", self.name, "--run", RUN]
        return [*place, *more]

    def write(
        self, events: int, *, lanes: int = 4, pace: Callable[[int], None] = lambda _: None
    ) -> int:
        """Write at least so many mixed changes by new writers, transaction by transaction; returns
        how many.

        `pace` is called before each transaction with the number of changes so far.
        """
        first = len(self.writers) + 1
        writers = [Writer(RUN, 10_000 + first + lane, MIX) for lane in range(lanes)]
        self.writers += writers
        sent = number = 0
        with psycopg.connect(self.dsn) as connection:
            while sent < events:
                pace(sent)
                writer = writers[number % lanes]
                transaction = writer.transaction(1 + number % 20, time.time_ns() // 1000)
                self._apply(connection, transaction.changes)
                connection.commit()
                writer.settle(transaction, "acked")
                sent += len(transaction.changes)
                number += 1
        return sent

    def _apply(self, connection: Connection, changes: Sequence[RowChange]) -> None:
        with connection.cursor() as cursor:
            for change in changes:
                if change.row is None:
                    cursor.execute(f"DELETE FROM {self._table} WHERE id = %s", (change.key,))
                elif change.before is None:
                    cursor.execute(f"INSERT INTO {self._table} VALUES ({PLACES})", change.row)
                else:
                    cursor.execute(
                        f"UPDATE {self._table} SET {SETS} WHERE id = %s", (*change.row, change.key)
                    )

    def outcomes(self) -> dict[int, Outcomes]:
        """What the writers sent, all of it acknowledged."""
        return {
            writer.number: Outcomes(acked=[(a, b) for a, b in writer.ranges.runs["acked"]])
            for writer in self.writers
        }

    def audit(self, tap: Tap) -> Audit:
        """What the tap proves; everything that was published must have been read by it."""
        return audit(1, self.outcomes(), tap.record.arrivals(), fenced=True)

    def remove(self) -> None:
        drop_slot(self.connection, self.name)
        drop_publication(self.connection, self.name)
        drop_schema(self.connection, self.name)
        self.connection.close()


def slots(connection: Any) -> list[str]:
    """The names of all slots of the server."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT slot_name FROM pg_replication_slots ORDER BY 1")
        return [str(name) for (name,) in cursor.fetchall()]
