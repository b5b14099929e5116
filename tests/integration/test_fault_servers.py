"""Faults that servers are prepared for: a standby that takes over, and disks that fill."""

from __future__ import annotations

import functools
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Event, Thread

import psycopg
import pytest
from confluent_kafka import Producer

from cdc_users.pipeline.provision.kafka_topics import create_topic, delete_topics
from infra.faults.fault import (
    FaultGround,
    FaultObjects,
    faults,
    heal,
    inject,
    prepare,
    restore,
)
from infra.faults.small_disk import is_moved, may_mount
from infra.platform.wal.replication import slot as platform_slot
from infra.postgres.slot import create_slot, drop_slot
from infra.stack import one_server
from infra.stack.endpoints import Endpoints
from infra.stack.servers.standby import SLOT
from infra.stack.supervise.state import state_of
from tests.real_stack import server_processes

LIMIT_S, POLL_S = 60.0, 0.05
#: What a primary with a standby has and one without has not.
NAMED = "SELECT count(*) FROM pg_settings WHERE setting = %s"
SLOTS = "SELECT slot_name FROM pg_replication_slots"


@pytest.fixture
def ground(stack: Endpoints) -> FaultGround:
    state = state_of()
    return FaultGround(
        stack,
        FaultObjects(),
        functools.partial(one_server.act, state, stack),
        directory=functools.partial(one_server.directory, state),
    )


@pytest.fixture
def schema(stack: Endpoints) -> Iterator[str]:
    """An empty schema, gone after the test, on no connection that a fault would end."""
    name = f"cdc_fault_{uuid.uuid4().hex[:8]}"
    with postgres(stack) as connection:
        connection.execute(f"CREATE SCHEMA {name}")
    yield name
    with postgres(stack) as connection:
        connection.execute(f"DROP SCHEMA {name} CASCADE")


@pytest.fixture
def slot(stack: Endpoints) -> Iterator[str]:
    """A slot that standbys have too, made when a standby is there."""
    name = f"cdc_fault_{uuid.uuid4().hex[:8]}"
    yield name
    with postgres(stack) as connection:
        drop_slot(connection, name)


def postgres(stack: Endpoints) -> closing[psycopg.Connection[tuple[object, ...]]]:
    return closing(psycopg.connect(stack.postgres_dsn, autocommit=True))


def column(stack: Endpoints, query: str, *arguments: object) -> list[object]:
    with postgres(stack) as connection:
        return [row[0] for row in connection.execute(query.encode(), arguments).fetchall()]


def standbys() -> list[int]:
    return [
        process.pid
        for process in server_processes()
        if any("primary_slot_name" in part for part in process.cmdline())
    ]


def assert_alone(stack: Endpoints, ground: FaultGround) -> None:
    """No standby, and nothing of one."""
    assert standbys() == []
    assert column(stack, NAMED, SLOT) == [0]
    assert SLOT not in column(stack, SLOTS)
    place = ground.directory("postgres").parent
    names = [path.name for path in place.iterdir()]
    assert [name for name in names if "standby" in name or name == "old"] == []


@contextmanager
def read(stack: Endpoints, slot: str) -> Iterator[None]:
    """Meanwhile a reader confirms what there is, as under load."""
    over = Event()

    def keep_on() -> None:
        with postgres(stack) as connection:
            while not over.wait(POLL_S):
                connection.execute(
                    "SELECT pg_replication_slot_advance(%s, pg_current_wal_lsn())", (slot,)
                )

    reader = Thread(target=keep_on)
    reader.start()
    try:
        yield
    finally:
        over.set()
        reader.join()


@pytest.mark.parametrize("fault", ["planned-fail-over", "kill-primary"])
def test_a_standby_takes_over_with_every_row_and_the_slot(
    stack: Endpoints, ground: FaultGround, schema: str, slot: str, fault: str
) -> None:
    prepare(fault, ground)
    assert len(standbys()) == 1
    with postgres(stack) as connection:
        create_slot(connection, slot, failover=True)
        connection.execute(f"CREATE TABLE {schema}.kept (id int)")
    with read(stack, slot):
        faults().by_name[fault].await_ready(ground)
    (timeline,) = column(stack, "SELECT timeline_id FROM pg_control_checkpoint()")
    with postgres(stack) as connection:
        connection.execute(f"INSERT INTO {schema}.kept VALUES (1)")

    inject(fault, ground)

    assert column(stack, f"SELECT id FROM {schema}.kept") == [1]
    assert column(stack, "SELECT pg_is_in_recovery()") == [False]
    (later,) = column(stack, "SELECT timeline_id FROM pg_control_checkpoint()")
    assert isinstance(timeline, int)
    assert later == timeline + 1
    # What the server goes on saying of a slot that follows no other any more.
    assert column(stack, "SELECT synced FROM pg_replication_slots") == [True]
    with closing(platform_slot.connect(stack.postgres_dsn)) as connection:
        found = platform_slot.find_slot(connection, slot)
    assert found is not None
    assert not found.synced
    heal(fault, ground)
    restore(fault, ground)
    assert_alone(stack, ground)
    ground.act("restart", "postgres")
    assert column(stack, f"SELECT id FROM {schema}.kept") == [1]


@pytest.mark.parametrize("down", [False, True], ids=["up", "down"])
def test_a_standby_that_nobody_needs_goes_whatever_its_primary_does(
    stack: Endpoints, ground: FaultGround, schema: str, down: bool
) -> None:
    prepare("kill-primary", ground)
    if down:
        ground.act("kill", "postgres")

    restore("kill-primary", ground)

    assert_alone(stack, ground)
    with postgres(stack) as connection:
        connection.execute(f"CREATE TABLE {schema}.written (id int)")
    restore("kill-primary", ground)


def test_a_fail_over_without_a_standby_leaves_the_server_alone(
    stack: Endpoints, ground: FaultGround
) -> None:
    with pytest.raises(Exception, match="no standby that could take over"):
        ground.act("fail-over", "postgres")

    assert column(stack, "SELECT 1") == [1]


def produce(stack: Endpoints, topic: str, value: bytes) -> list[str]:
    """What the broker says to one record, if anything in time."""
    told: list[str] = []
    producer = Producer(
        {"bootstrap.servers": stack.kafka_bootstrap, "message.timeout.ms": 3000, "log_level": 0}
    )
    producer.produce(topic, value, on_delivery=lambda error, _: told.append(str(error or "")))
    producer.flush(LIMIT_S)
    return told


@pytest.mark.skipif(not may_mount(), reason="no tmpfs may be mounted here")
def test_a_broker_whose_disk_is_full_is_back_with_its_records_on_its_old_disk(
    stack: Endpoints, ground: FaultGround
) -> None:
    topic = f"cdc_faults_{uuid.uuid4().hex[:8]}"
    create_topic(stack.kafka_bootstrap, topic, 1)
    directory = ground.directory("kafka")
    prepare("full-broker-disk", ground)
    try:
        assert is_moved(directory)
        assert produce(stack, topic, b"before") == [""]
        inject("full-broker-disk", ground)
        assert produce(stack, topic, b"x" * 100_000) != [""]
        heal("full-broker-disk", ground)
        assert produce(stack, topic, b"after") == [""]
    finally:
        restore("full-broker-disk", ground)

    assert not is_moved(directory)
    assert produce(stack, topic, b"later") == [""]
    delete_topics(stack.kafka_bootstrap, [topic])


@pytest.mark.skipif(not may_mount(), reason="no tmpfs may be mounted here")
def test_a_server_whose_wal_has_no_room_is_back_with_its_rows_on_its_old_disk(
    stack: Endpoints, ground: FaultGround, schema: str
) -> None:
    directory: Path = ground.directory("postgres") / "pg_wal"
    prepare("full-wal-disk", ground)
    try:
        assert is_moved(directory)
        with postgres(stack) as connection:
            connection.execute(f"CREATE TABLE {schema}.kept AS SELECT 1 AS id")
        inject("full-wal-disk", ground)
        await_that(lambda: not answers(stack), "PostgreSQL goes on although it has no room")
        heal("full-wal-disk", ground)
        assert column(stack, f"SELECT id FROM {schema}.kept") == [1]
    finally:
        restore("full-wal-disk", ground)

    assert not is_moved(directory)
    assert column(stack, f"SELECT id FROM {schema}.kept") == [1]


def answers(stack: Endpoints) -> bool:
    try:
        return column(stack, "SELECT 1") == [1]
    except psycopg.Error:
        return False


def await_that(condition: Callable[[], bool], message: str) -> None:
    deadline_s = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < deadline_s, message
        time.sleep(POLL_S)
