"""What others do to a run's servers and rows in mid-run is seen and called by its name."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from cdc_users.pipeline.provision.kafka_topics import delete_topics
from infra.client import http
from infra.stack.endpoints import Endpoints
from tests.scenarios.locust_process import LocustProcess, await_that

LOAD = ("--rate", "50", "--duration", "8s", "--drain-timeout", "40s")


@contextmanager
def loading(results: Path) -> Iterator[LocustProcess]:
    """A run in the middle of its load."""
    process = LocustProcess("throughput", results, *LOAD)
    process.await_output("benchmark.step")
    yield process
    process.wait()


class Party:
    """Somebody who is at work on the same servers."""

    def __init__(self, stack: Endpoints, run: LocustProcess) -> None:
        self.stack = stack
        self.topic = run.topic()
        _, self.schema, self.table = self.topic.split(".")
        self.connector = f"{stack.connect_url}/connectors/{self.schema.replace('_', '-')}"

    def do(self, statement: str, *values: Any) -> Any:
        """One statement, with the run's table as {}."""
        place = sql.Identifier(self.schema, self.table)
        with psycopg.connect(self.stack.postgres_dsn, autocommit=True) as connection:
            cursor = connection.execute(sql.SQL(statement).format(place), values)
            return cursor.fetchall() if cursor.description else cursor.rowcount

    def await_rows(self, count: int) -> None:
        """Wait until the run has written so many rows."""
        await_that(lambda: self.do("SELECT count(*) FROM {}")[0][0] >= count, "no rows")

    def ask_connect(self, method: str, path: str = "") -> None:
        assert http.request(method, self.connector + path, timeout=10).status_code < 300

    def drop_slot(self) -> None:
        with closing(psycopg.connect(self.stack.postgres_dsn, autocommit=True)) as connection:

            def dropped() -> bool:
                connection.execute(
                    "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE"
                    " slot_name = %s AND active",
                    (self.schema,),
                )
                try:
                    connection.execute("SELECT pg_drop_replication_slot(%s)", (self.schema,))
                except psycopg.errors.ObjectInUse:
                    return False
                return True

            await_that(dropped, "the slot stays in use")


GONE: dict[str, tuple[Callable[[Party], Any], str]] = {
    "paused": (lambda party: party.ask_connect("PUT", "/pause"), "is PAUSED"),
    "deleted": (lambda party: party.ask_connect("DELETE"), "is deleted"),
    "slot": (Party.drop_slot, "the capture is gone"),
    "topic": (
        lambda party: delete_topics(party.stack.kafka_bootstrap, [party.topic]),
        "was deleted",
    ),
}


@pytest.mark.parametrize("kinds", [("paused", "slot"), ("deleted", "topic")], ids=" and ".join)
def test_a_capture_that_is_gone_for_good_is_a_failure_and_named(
    stack: Endpoints, results: Path, kinds: Sequence[str]
) -> None:
    def lose(kind: str) -> LocustProcess:
        with loading(results / kind) as run:
            party = Party(stack, run)
            party.await_rows(50)
            GONE[kind][0](party)
        return run

    with ThreadPoolExecutor() as pool:  # they wait most of the time, so both at once
        runs = dict(zip(kinds, pool.map(lose, kinds), strict=True))
    for kind, run in runs.items():
        assert run.wait() == 1, run.output
        first = run.result()["reasons"][0]
        assert GONE[kind][1] in first, run.result()["reasons"]
        assert "after throughput-50-per-s" in first or "began" in first


def recreate(party: Party) -> None:
    """Put another table of the same name where the run's was, and have it published."""
    party.do("CREATE TABLE public.kept_shape (LIKE {} INCLUDING ALL)")
    try:
        party.do("DROP TABLE {}")
        party.do("CREATE TABLE {} (LIKE public.kept_shape INCLUDING ALL)")
    finally:
        party.do("DROP TABLE public.kept_shape")
    party.do("ALTER TABLE {} REPLICA IDENTITY FULL")
    publication = sql.Identifier(party.schema).as_string(None)
    party.do("ALTER PUBLICATION " + publication + " ADD TABLE {}")


DISTURBED: dict[str, tuple[Callable[[Party], Any], str]] = {
    "truncate": (lambda party: party.do("TRUNCATE {}"), "somebody emptied or rewrote source table"),
    "column": (
        lambda party: party.do("ALTER TABLE {} DROP COLUMN phone"),
        "somebody altered source table",
    ),
    "recreated": (recreate, "somebody dropped source table"),
    "update": (
        lambda party: party.do(
            "UPDATE {0} SET notes = 'mine' WHERE id IN (SELECT id FROM {0} LIMIT 7)"
        ),
        "somebody else changed 7 of the run's rows",
    ),
    "delete": (
        lambda party: party.do("DELETE FROM {0} WHERE id IN (SELECT id FROM {0} LIMIT 3)"),
        "somebody else changed 3 of the run's rows",
    ),
}


@pytest.mark.parametrize(
    "kinds", [("update", "column"), ("delete", "truncate"), ("recreated",)], ids=" and ".join
)
def test_a_third_partys_work_on_the_source_is_no_fault_of_the_pipelines(
    stack: Endpoints, results: Path, kinds: Sequence[str]
) -> None:
    with loading(results) as run:
        party = Party(stack, run)
        party.await_rows(50)
        for kind in kinds:
            DISTURBED[kind][0](party)

        assert run.wait() == 4, run.output
    for kind in kinds:
        reasons = run.result()["reasons"]
        assert any(DISTURBED[kind][1] in told for told in reasons), reasons
    assert "harness crashed" not in run.output
