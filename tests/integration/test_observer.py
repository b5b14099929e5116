"""The observer as a process beside real servers: what it says is what the writers did."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import psycopg
import psycopg2
import pytest
import requests
from confluent_kafka import Producer
from psycopg2.extras import execute_values

from cdc_users.error import TargetError
from cdc_users.measure.clock import new_anchor
from cdc_users.measure.ledger.ledger import Outcomes, audit
from cdc_users.measure.ledger.probe import Operation, Probe, format_probe
from cdc_users.measure.wire import decode, encode
from cdc_users.observe.config import ObserverSettingsError, read
from cdc_users.observe.message import GaugeSample, TapPlace, TapSide
from cdc_users.observe.settings import ObserverSettings, PostgresSideSettings
from cdc_users.pipeline.process.observer import Observer, expected, start_observer
from cdc_users.pipeline.provision.kafka_topics import create_topic, delete_subjects, delete_topics
from cdc_users.users.producer.in_flight import ChangeFlight, PipelinedWriter
from cdc_users.users.producer.producer import AvroProducer
from cdc_users.users.workload.workload import Workload, Writer
from infra.postgres.table import CUSTOMERS_COLUMNS, create_customers, create_schema
from infra.stack.endpoints import Endpoints

RUN = "obs00001"
STEP = 1
WRITER = STEP * 10_000 + 1
PARTITIONS = 4
ANCHOR = new_anchor()
DEADLINE_S = 30.0
MIXED = Workload(mix=(70, 25, 5), live_keys=100)


@pytest.fixture
def topic(stack: Endpoints) -> Iterator[str]:
    name = f"cdc.cdc_observer_{uuid.uuid4().hex[:8]}.customers"
    create_topic(stack.kafka_bootstrap, name, PARTITIONS)
    yield name
    delete_topics(stack.kafka_bootstrap, [name])
    delete_subjects(stack.schema_registry_url, name)


def settings(taps: list[dict[str, Any]], **gauges: Any) -> ObserverSettings:
    """Settings from a configuration as docs/observer.md writes it, not checked here."""
    config = {"run": RUN, "anchor": ANCHOR, "taps": taps, "gauges": gauges}
    return decode(encode(config), ObserverSettings, "the test")


@contextmanager
def observing(tmp_path: Path, taps: list[dict[str, Any]], **gauges: Any) -> Iterator[Observer]:
    observer = start_observer(settings(taps, **gauges), tmp_path / "observer.log")
    try:
        yield observer
    finally:
        assert observer.stop() == 0, (tmp_path / "observer.log").read_text()


def until(done: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + DEADLINE_S
    while not done():
        assert time.monotonic() < deadline_s, "the condition did not come about"
        time.sleep(0.02)


def delivered(observer: Observer, tap: str) -> int:
    return int(observer.progress().taps[tap].steps.get(STEP, 0))


def write(count: int) -> tuple[list[Any], dict[int, Outcomes], dict[int, int]]:
    """Transactions of one writer, all acknowledged; its outcomes, and its keys' final versions."""
    writer = Writer(RUN, WRITER, MIXED)
    made = []
    versions: dict[int, int] = {}
    for _ in range(count):
        transaction = writer.transaction(3, ANCHOR.now_us())
        writer.settle(transaction, "acked")
        made.append(transaction)
        for change in transaction.changes:
            versions[change.key] = change.key_version
            if change.row is None:
                del versions[change.key]
    return made, {WRITER: Outcomes(acked=[(1, made[-1].last)])}, versions


def test_the_topic_tap_accounts_for_what_was_produced(
    stack: Endpoints, topic: str, tmp_path: Path
) -> None:
    tap = {
        "name": "topic",
        "kind": "topic",
        "bootstrap": stack.kafka_bootstrap,
        "schema_registry_url": stack.schema_registry_url,
        "topic": topic,
        "check_every": 1,
    }
    producer = AvroProducer.open(stack.kafka_bootstrap, stack.schema_registry_url, [topic], ANCHOR)
    group = {
        "bootstrap": stack.kafka_bootstrap,
        "group": f"cdc_{uuid.uuid4().hex[:8]}",
        "topic": topic,
    }
    with observing(tmp_path, [tap], group=group, processes={"harness": os.getpid()}) as observer:
        writer = PipelinedWriter(RUN, WRITER, MIXED)
        flight = ChangeFlight()
        for _ in range(300):
            flight.add(
                writer.transaction(3, ANCHOR.now_us()), ANCHOR.monotonic_ns_at(ANCHOR.now_us())
            )
        assert producer.push(flight)
        assert producer.flush(30) == [flight]

        until(lambda: delivered(observer, "topic") == len(flight))
        found = audit(
            STEP,
            {WRITER: Outcomes(acked=[(1, len(flight))])},
            observer.ledger("topic"),
            fenced=True,
        )
        assert (found.findings, found.checked) == ({}, len(flight))
        step = observer.snapshot().taps["topic"].steps[STEP]
        assert {"end_to_end", "commit", "capture", "remainder"} <= set(step.series)

        until(
            lambda: (
                (gauges := observer.snapshot().gauges) is not None
                and gauges.group_lag == at_end(observer)
            )
        )
        # Processes are looked at once a second, so not every sample has them.
        until(lambda: any(uss_bytes(sample) > 0 for sample in observer.samples().samples))
        assert observer.samples(observer.samples().next).forgotten == 0


def uss_bytes(sample: GaugeSample) -> int:
    harness = (sample.processes or {}).get("harness")
    return (harness.uss_bytes if harness else None) or 0


def at_end(observer: Observer) -> int:
    """Messages in the topic, tombstones included: the lag of a group that has committed nothing."""
    read: Any = observer.snapshot().taps["topic"].gauges["read"]
    return sum(read.values())


def test_the_json_topic_tap_reads_what_the_wal_reader_publishes(
    stack: Endpoints, topic: str, tmp_path: Path
) -> None:
    made, outcomes, _ = write(200)
    # Without idempotence, batches that are sent again at a leader's election change places.
    producer = Producer(
        {
            "bootstrap.servers": stack.kafka_bootstrap,
            "partitioner": "murmur2_random",
            "enable.idempotence": True,
        }
    )
    for transaction in made:
        for change in transaction.changes:
            producer.produce(
                topic, orjson.dumps(as_json(change), default=str), str(change.key).encode()
            )
    producer.produce(topic, b"no json", b"1")
    producer.produce(topic, None, b"1")  # the last message of its partition
    assert producer.flush(DEADLINE_S) == 0
    tap = {
        "name": "topic",
        "kind": "json-topic",
        "bootstrap": stack.kafka_bootstrap,
        "topic": topic,
        "check_every": 1,
    }

    with observing(tmp_path, [tap]) as observer:
        until(lambda: delivered(observer, "topic") == made[-1].last)

        assert audit(STEP, outcomes, observer.ledger("topic"), fenced=True).clean
        until(lambda: observer.snapshot().taps["topic"].unreadable == 1)
        (error,) = observer.snapshot().taps["topic"].errors
        assert "cannot be read" in error
        until(lambda: at_end(observer) == made[-1].last + 2)


def as_json(change: Any) -> dict[str, Any]:
    def row(values: Any) -> Any:
        return None if values is None else dict(zip(CUSTOMERS_COLUMNS, values, strict=True))

    operation = {"i": "c", "u": "u", "s": "u", "d": "d"}[change.operation]
    source = {"lsn": 1, "commit_ts_us": ANCHOR.now_us(), "xid": 7}
    return {
        "op": operation,
        "before": row(change.before),
        "after": row(change.row),
        "source": source,
    }


def test_the_webhook_tap_applies_a_request_once_however_often_it_comes(tmp_path: Path) -> None:
    made, outcomes, versions = write(50)
    with observing(tmp_path, [{"name": "sink", "kind": "webhook", "check_every": 1}]) as observer:
        url = observer.taps["sink"].webhook_url
        for number, transaction in enumerate(made):
            body = orjson.dumps([as_json(change) for change in transaction.changes], default=str)
            for _ in range(1 + (number % 10 == 0)):
                answer = requests.post(
                    url, data=body, headers={"Idempotency-Key": f"t-0-{number}"}, timeout=5
                )
                assert answer.status_code == 200
        assert requests.post(url, data=b"{", timeout=5).status_code == 400

        assert delivered(observer, "sink") == made[-1].last
        assert audit(STEP, outcomes, observer.ledger("sink"), fenced=True).clean
        assert observer.snapshot().taps["sink"].gauges == {"requests": 56, "retries": 5}
        keys = np.fromiter(versions, dtype=np.int64)
        source = expected(keys, np.fromiter(versions.values(), dtype=np.int64))
        final = observer.final(source, TapSide(name="sink"))
        assert final.clean
        with pytest.raises(TargetError, match="not one of sink"):
            observer.final(source, TapSide(name="nothing"))


@pytest.fixture
def schema(stack: Endpoints) -> Iterator[str]:
    name = f"cdc_observer_{uuid.uuid4().hex[:8]}"
    with closing(psycopg.connect(stack.postgres_dsn, autocommit=True)) as connection:
        create_schema(connection, name, RUN)
        for table in ("customers", "sink"):
            create_customers(connection, name, table)
        yield name
        with connection.cursor() as cursor:
            cursor.execute(f"DROP SCHEMA {name} CASCADE")


def test_two_tables_are_compared_and_every_difference_is_located(
    stack: Endpoints, schema: str, tmp_path: Path
) -> None:
    made, _, versions = write(400)
    rows = {change.key: change.row for transaction in made for change in transaction.changes}
    old = {
        change.key: change.before
        for transaction in made
        for change in transaction.changes
        if change.before
    }
    alive = [row for row in rows.values() if row is not None]
    updated = next(key for key, version in versions.items() if version > 1)
    gone, hurt = [key for key, version in versions.items() if version == 1][:2]
    with (
        closing(psycopg2.connect(stack.postgres_dsn)) as connection,
        connection,
        connection.cursor() as cursor,
    ):
        for table in ("customers", "sink"):
            execute_values(cursor, f"INSERT INTO {schema}.{table} VALUES %s", alive)
        sides = [
            PostgresSideSettings(dsn=stack.postgres_dsn, table=f"{schema}.{t}")
            for t in ("customers", "sink")
        ]
        connection.commit()
        with observing(tmp_path, []) as observer:
            same = observer.final(*sides)
            cursor.execute(f"DELETE FROM {schema}.sink WHERE id IN (%s, %s)", (gone, updated))
            cursor.execute(f"UPDATE {schema}.sink SET first_name = 'Ida' WHERE id = %s", (hurt,))
            lost_delete = next(row for key, row in old.items() if key not in versions)
            execute_values(
                cursor, f"INSERT INTO {schema}.sink VALUES %s", [old[updated], lost_delete]
            )
            connection.commit()
            differs = observer.final(*sides)
            promised = observer.final(
                expected(
                    np.fromiter(versions, np.int64),
                    np.fromiter(versions.values(), np.int64),
                    [updated],
                ),
                sides[1],
            )

    assert (same.compared, same.examples) == (len(alive), [])
    found = {example.finding: example.key for example in differs.examples}
    assert found == {"missing": gone, "stale": updated, "extra": lost_delete[0], "corrupt": hurt}
    assert [getattr(differs, name) for name in found] == [1, 1, 1, 1]
    assert (promised.stale, promised.missing, promised.extra, promised.corrupt) == (
        0,
        1,
        1,
        1,
    )


def test_a_slot_that_is_not_there_is_an_unknown_lag_and_never_zero(
    stack: Endpoints, tmp_path: Path
) -> None:
    slot = {"dsn": stack.postgres_dsn, "slot": "cdc_nowhere"}
    with observing(tmp_path, [], slot=slot) as observer:
        until(lambda: observer.snapshot().gauges is not None)

        gauges = observer.snapshot().gauges
        assert gauges is not None
        assert gauges.slot is not None
        assert gauges.slot.lag_bytes is None
        assert "no slot" in (gauges.slot.error or "")


@pytest.mark.parametrize(
    ("tap", "message"),
    [
        ({"name": "t", "kind": "telepathy"}, "is not one of "),
        ({"name": "t", "kind": "json-topic", "topic": "x"}, "needs 'bootstrap'"),
    ],
)
def test_a_configuration_that_makes_no_sense_is_refused_with_its_remedy(
    tap: dict[str, Any], message: str
) -> None:
    with pytest.raises(ObserverSettingsError, match=message):
        read(encode({"run": RUN, "taps": [tap]}).decode())


def test_a_topic_that_is_not_there_is_named(stack: Endpoints, tmp_path: Path) -> None:
    tap = {
        "name": "t",
        "kind": "json-topic",
        "bootstrap": stack.kafka_bootstrap,
        "topic": "cdc_nowhere",
    }

    with pytest.raises(TargetError, match="topic 'cdc_nowhere' is not at"):
        start_observer(settings([tap]), tmp_path / "observer.log")


def test_a_table_tap_counts_a_row_once_however_often_it_is_written(
    stack: Endpoints, schema: str, tmp_path: Path
) -> None:
    writer = Writer(RUN, WRITER, Workload())
    rows = [change.row for change in writer.transaction(60, ANCHOR.now_us()).changes]
    tap = {
        "name": "sink",
        "kind": "postgres",
        "dsn": stack.postgres_dsn,
        "table": f"{schema}.sink",
        "poll_s": 0.05,
    }
    with (
        closing(psycopg2.connect(stack.postgres_dsn)) as connection,
        connection.cursor() as cursor,
        observing(tmp_path, [tap]) as observer,
    ):
        connection.autocommit = True
        assert observer.taps["sink"] == TapPlace(state=True)
        execute_values(cursor, f"INSERT INTO {schema}.sink VALUES %s", rows[:40])
        until(lambda: delivered(observer, "sink") == 40)
        cursor.execute(f"UPDATE {schema}.sink SET notes = notes WHERE id % 2 = 0")
        execute_values(cursor, f"INSERT INTO {schema}.sink VALUES %s", [*rows[40:59], fence_row()])
        until(lambda: bool(observer.progress().taps["sink"].fences))

        found = audit(
            STEP, {WRITER: Outcomes(acked=[(1, 60)])}, observer.ledger("sink"), fenced=True
        )
        assert (found.delivered, found.lost, found.duplicated) == (59, 1, 0)


def test_an_observer_that_has_gone_blind_ends_and_says_why(
    stack: Endpoints, topic: str, tmp_path: Path
) -> None:
    nowhere = {
        "bootstrap": stack.kafka_bootstrap,
        "schema_registry_url": "http://127.0.0.1:1",
        "topic": topic,
    }
    blind = settings([{"name": "topic", "kind": "topic", **nowhere}])
    observer = start_observer(blind, tmp_path / "observer.log")
    producer = Producer({"bootstrap.servers": stack.kafka_bootstrap})
    producer.produce(topic, b"\x00\x00\x00\x00\x07...")
    assert producer.flush(DEADLINE_S) == 0

    until(lambda: observer.dead() is not None)

    message = observer.dead() or ""
    assert "ended with 1" in message
    assert "schema 7 cannot be fetched" in message
    observer.stop()


def fence_row() -> tuple[Any, ...]:
    probe = Probe(RUN, 9_999_999, 1, 1, 0, 1, 1, Operation.FENCE, ANCHOR.now_us(), 0)
    return (9_999_999 * 10**8, "", "", "", None, None, "2026-01-01", None, format_probe(probe))
