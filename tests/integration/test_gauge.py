"""Gauges on real servers: what is not known is None, never 0."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, closing

import psycopg
import psycopg2
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from psycopg2.extras import LogicalReplicationConnection

from cdc_users.measure.clock import new_anchor
from cdc_users.observe.gauge import Gauges, GroupGauge, Sampling, SlotGauge
from cdc_users.observe.process_gauge import HARNESS, ProcessGauge
from cdc_users.observe.settings import GroupSettings, ProcessSettings, SlotSettings
from cdc_users.pipeline.provision.kafka_topics import create_topic, delete_groups, delete_topics
from infra.postgres.slot import create_slot, drop_slot
from infra.stack.endpoints import Endpoints


@pytest.fixture
def topic(stack: Endpoints) -> Iterator[str]:
    name = f"cdc_gauge_{uuid.uuid4().hex[:8]}"
    create_topic(stack.kafka_bootstrap, name, 2)
    yield name
    delete_groups(stack.kafka_bootstrap, [name])
    delete_topics(stack.kafka_bootstrap, [name])


def test_a_groups_lag_is_what_it_has_not_committed(stack: Endpoints, topic: str) -> None:
    producer = Producer({"bootstrap.servers": stack.kafka_bootstrap})
    for number in range(10):
        producer.produce(topic, b"x", partition=number % 2)
    assert producer.flush(30) == 0
    gauge = GroupGauge(GroupSettings(bootstrap=stack.kafka_bootstrap, group=topic, topic=topic))
    with closing(gauge):
        found = gauge.read()
        assert found.partitions == {f"{topic}[0]": 5, f"{topic}[1]": 5}
        assert (found.lag, found.error) == (10, None)
        assert (found.took_ms or 0) > 0
    settings = {
        "bootstrap.servers": stack.kafka_bootstrap,
        "group.id": topic,
        "enable.auto.commit": False,
    }
    with closing(Consumer(settings)) as consumer:
        consumer.commit(offsets=[TopicPartition(topic, 0, 3)], asynchronous=False)

    with closing(
        GroupGauge(GroupSettings(bootstrap=stack.kafka_bootstrap, group=topic, topic=topic))
    ) as later:
        assert later.read().partitions == {f"{topic}[0]": 2, f"{topic}[1]": 5}


def test_the_lag_behind_a_topic_that_is_not_there_is_unknown(stack: Endpoints) -> None:
    gauge = GroupGauge(
        GroupSettings(bootstrap=stack.kafka_bootstrap, group="cdc_gauge", topic="cdc_nowhere")
    )
    with closing(gauge):
        assert gauge.read().lag is None
        assert "cdc_nowhere" in (gauge.read().error or "")


def test_a_slots_lag_grows_with_what_is_written(stack: Endpoints) -> None:
    name = f"cdc_gauge_{uuid.uuid4().hex[:8]}"
    with (
        closing(psycopg.connect(stack.postgres_dsn, autocommit=True)) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute("SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", (name,))
        try:
            with closing(SlotGauge(SlotSettings(dsn=stack.postgres_dsn, slot=name))) as gauge:
                before = gauge.read()
                cursor.execute("SELECT pg_logical_emit_message(true, 'cdc', repeat('x', 100000))")
                after = gauge.read()
        finally:
            drop_slot(connection, name)

    assert (before.active, before.wal_status) == (False, "reserved")
    assert (before.sent_lag_bytes, before.spilled_bytes, before.error) == (None, 0, None)
    assert before.sender_busy is None
    assert (after.lag_bytes or 0) >= (before.lag_bytes or 0) + 100_000


def test_a_walsender_that_waits_for_wal_is_not_at_work(stack: Endpoints) -> None:
    name = f"cdc_gauge_{uuid.uuid4().hex[:8]}"
    with ExitStack() as undo:
        connection = psycopg.connect(stack.postgres_dsn, autocommit=True)
        undo.enter_context(closing(connection))
        create_slot(connection, name)
        undo.callback(drop_slot, connection, name)
        gauge = undo.enter_context(
            closing(SlotGauge(SlotSettings(dsn=stack.postgres_dsn, slot=name)))
        )
        reader = psycopg2.connect(
            stack.postgres_dsn, connection_factory=LogicalReplicationConnection
        )
        undo.enter_context(closing(reader))
        with reader.cursor() as cursor:
            options = {"proto_version": "1", "publication_names": name}
            cursor.start_replication(name, options=options, decode=False)
            deadline_s = time.monotonic() + 30
            while gauge.read().sender_busy is not False:
                assert time.monotonic() < deadline_s, gauge.read()
                time.sleep(0.05)


def test_the_lag_of_every_other_slot_is_told_beside(stack: Endpoints) -> None:
    name = f"cdc_gauge_{uuid.uuid4().hex[:8]}"
    with psycopg.connect(stack.postgres_dsn, autocommit=True) as connection:
        connection.execute("SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", (name,))
        try:
            with closing(SlotGauge(SlotSettings(dsn=stack.postgres_dsn, slot="cdc_none"))) as gauge:
                connection.execute("SELECT pg_logical_emit_message(true, 'cdc', 'x')")
                seen = gauge.read()
        finally:
            drop_slot(connection, name)

    assert seen.error == "there is no slot 'cdc_none'"
    assert seen.lag_bytes is None
    assert seen.others[name] > 0


def test_a_server_that_does_not_answer_is_an_unknown_lag() -> None:
    gauge = SlotGauge(SlotSettings(dsn="host=127.0.0.1 port=1 user=nobody", slot="cdc"))

    assert gauge.read().lag_bytes is None
    assert "connection" in (gauge.read().error or "")


def test_every_server_of_a_stack_is_found_by_its_supervisor(stack: Endpoints) -> None:
    if stack.supervisor_pid is None:
        pytest.skip("the servers are no processes of this machine")
    gauge = ProcessGauge(ProcessSettings(harness=os.getpid(), supervisor=stack.supervisor_pid))

    with psycopg.connect(stack.postgres_dsn) as client:
        client.execute("SELECT count(*) FROM generate_series(1, 1000000)")
        found = gauge.read()

    assert found is not None
    servers = {"postgres", "postgres-clients", "kafka", "connect", "schema-registry"}
    assert servers | {HARNESS} <= set(found)
    for name in servers:
        assert found[name].rss_bytes >= (found[name].uss_bytes or 0)
        assert found[name].cpu_s > 0


def test_samples_are_numbered_and_asked_for_from_where_one_was() -> None:
    sampling = Sampling(
        Gauges(processes=ProcessGauge(ProcessSettings(harness=os.getpid()))), new_anchor()
    )
    sampling.start()
    deadline_s = time.monotonic() + 30
    while len(sampling.after(0).samples) < 3:
        assert time.monotonic() < deadline_s, "no samples"
        time.sleep(0.02)
    sampling.stop()

    first = sampling.after(0)
    rest = sampling.after(2)
    assert rest.samples == first.samples[2:]
    assert rest.next == first.next == len(first.samples)
    times = [sample.at_us for sample in first.samples]
    assert times == sorted(times)
