"""What can happen to a source, a topic and a group: by name, each done to a world under load."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import psycopg
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]
from psycopg import sql

from cdc_users.pipeline.provision import kafka_topics
from infra.postgres.table import Table
from tests.moves.world import MovesWorld
from tests.platform_process import await_that

MoveEvent = Callable[[MovesWorld], None]
#: Changes that are written where something has to happen in between.
SOME = 60
LIMIT_S = 30.0


def restored_copy(world: MovesWorld) -> None:
    """The server is what it was some hundred changes before."""
    world.postgres.copy()
    world.written(3 * SOME, LIMIT_S)
    world.postgres.restore()


def new_cluster(world: MovesWorld) -> None:
    """The rows are moved to another cluster, whose positions are lower; the operator makes a new
    connector for it, which writes to the same topic.
    """
    with world.load.held():
        world.capture.disconnect()
        world.source.move(world.postgres.renew)
        world.capture.connect()
    world.written(SOME, LIMIT_S)
    world.capture.await_position()


def timeline_switch(world: MovesWorld) -> None:
    """A standby that has everything is promoted."""
    world.postgres.become_standby()
    world.postgres.promote()


def slot_recreated(world: MovesWorld) -> None:
    """The slots are dropped from under their readers, and made again some changes later."""
    for slot in world.source.slots:
        _drop_at_once(world, slot)
    world.written(SOME, LIMIT_S)
    world.source.make_slots()


def _drop_at_once(world: MovesWorld, slot: str) -> None:
    """Drop a slot from under its reader, which may come back in between; `drop_slot` would first
    wait for it to let go.
    """
    until_s = time.monotonic() + LIMIT_S
    with world.source.connected() as connection:
        while True:
            connection.execute(
                "SELECT pg_terminate_backend(active_pid, 1000) FROM pg_replication_slots"
                " WHERE slot_name = %s AND active_pid IS NOT NULL",
                (slot,),
            )
            try:
                connection.execute("SELECT pg_drop_replication_slot(%s)", (slot,))
            except psycopg.errors.UndefinedObject:
                return
            except psycopg.errors.ObjectInUse:
                assert time.monotonic() < until_s, f"slot {slot} is always in use"
            else:
                return


def topic_recreated(world: MovesWorld) -> None:
    """Both topics are deleted and made again."""
    for topic in (world.capture.topic, world.reader.topic):
        kafka_topics.delete_topics(world.stack.kafka_bootstrap, [topic])
        kafka_topics.create_topic(world.stack.kafka_bootstrap, topic, 1)


def retention(world: MovesWorld) -> None:
    """What the platforms have not read yet is deleted from the topic."""
    with world.suspended():
        world.written(3 * SOME, LIMIT_S)
        topic, tap = world.capture.topic, world.capture.tap
        await_that(
            lambda: tap.record.events >= world.load.acked, lambda: "the tap has not come so far"
        )
        admin = AdminClient({"bootstrap.servers": world.stack.kafka_bootstrap, "log_level": 0})
        latest: OffsetSpec = OffsetSpec.latest()  # type: ignore[no-untyped-call]
        (end,) = admin.list_offsets({TopicPartition(topic, 0): latest}).values()
        until = TopicPartition(topic, 0, end.result(LIMIT_S).offset)
        for future in admin.delete_records([until]).values():
            future.result(LIMIT_S)


def group_deleted(world: MovesWorld) -> None:
    """The consumer groups are deleted while the platforms are down for an upgrade."""
    for pipeline in world.sinks:
        pipeline.platform.stop()
        kafka_topics.delete_groups(world.stack.kafka_bootstrap, [pipeline.group])
    world.written(SOME, LIMIT_S)
    for pipeline in world.sinks:
        pipeline.restart()


def key_changed(world: MovesWorld) -> None:
    """The key becomes (tenant, id), and another tenant has rows of the same ids."""
    world.source.alter(
        "ALTER TABLE {table} DROP CONSTRAINT customers_pkey",
        "ALTER TABLE {table} ADD PRIMARY KEY (tenant, id)",
    )
    world.source.execute(
        "INSERT INTO {table} SELECT id, first_name, last_name, email, phone, balance, created_at,"
        " 'of tenant 2', NULL, 2 FROM {table} WHERE tenant = 1 ORDER BY id LIMIT 20"
    )
    world.source.execute(
        "DELETE FROM {table} WHERE tenant = 2 AND id ="
        " (SELECT min(id) FROM {table} WHERE tenant = 2)"
    )


def type_changed(world: MovesWorld) -> None:
    """A number gets more digits behind its point, and uses them."""
    world.source.alter("ALTER TABLE {table} ALTER COLUMN balance TYPE numeric(16, 4)")
    world.source.execute(
        "INSERT INTO {table} (id, first_name, last_name, email, balance, created_at)"
        " SELECT -g, 'a', 'b', 'c', 1.2345, now() FROM generate_series(1, 20) g"
    )


def table_renamed(world: MovesWorld) -> None:
    """The table has another name, and is written on."""
    with world.load.held():
        world.source.alter("ALTER TABLE {table} RENAME TO clients")
        world.source.table = Table(world.source.name, "clients")


def table_dropped(world: MovesWorld) -> None:
    """The table is gone; its writers go on in vain."""
    world.source.execute("DROP TABLE {table}")


def table_recreated(world: MovesWorld) -> None:
    """The table is dropped and another one has its name, and is published and written."""
    with world.source.connected() as connection, connection.transaction():
        connection.execute(sql.SQL("DROP TABLE {}").format(world.source.table.identifier))
        world.source.make_table(connection)
        connection.execute(
            sql.SQL("ALTER PUBLICATION {} ADD TABLE {}").format(
                sql.Identifier(world.source.name), world.source.table.identifier
            )
        )


def schema_dropped(world: MovesWorld) -> None:
    """The table is gone with its schema."""
    world.source.execute("DROP SCHEMA {name} CASCADE")


def publication_loses_table(world: MovesWorld) -> None:
    """The publication no longer has the table."""
    world.source.execute("ALTER PUBLICATION {name} DROP TABLE {table}")


def publication_loses_operation(world: MovesWorld) -> None:
    """The publication no longer publishes updates and deletes."""
    world.source.execute("ALTER PUBLICATION {name} SET (publish = 'insert')")


def publication_filters_rows(world: MovesWorld) -> None:
    """The publication now has a part of the rows only."""
    world.source.execute("ALTER PUBLICATION {name} SET TABLE {table} WHERE (id % 2 = 0)")


EVENTS: Mapping[str, MoveEvent] = {
    event.__name__: event
    for event in (
        type_changed,
        key_changed,
        group_deleted,
        timeline_switch,
        new_cluster,
        table_renamed,
        table_recreated,
        slot_recreated,
        topic_recreated,
        retention,
        restored_copy,
        publication_loses_operation,
        publication_loses_table,
        table_dropped,
        schema_dropped,
    )
}
#: What no seed draws, so that seeds draw what they did before.
MORE_EVENTS: Mapping[str, MoveEvent] = {
    event.__name__: event for event in (publication_filters_rows,)
}
