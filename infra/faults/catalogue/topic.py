"""Faults of the topics and the consumer group during their use."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from concurrent.futures import Future
from threading import Event
from typing import Any

from confluent_kafka import (
    ConsumerGroupTopicPartitions,
    KafkaError,
    KafkaException,
    TopicPartition,
)
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    OffsetSpec,
    ResourceType,
)

from infra.client.kafka import kafka_settings
from infra.faults.catalogue.connector import restart_tasks
from infra.faults.catalogue.process import CAPTURE, REPEATS_S
from infra.faults.fault import ALL_AGAIN, RETENTION, Fault, FaultGround
from infra.stack.error import StackError

ANSWER_S, POLL_S = 15.0, 0.2
#: A group notices at once that a member left, and after the session timeout that one was killed.
EMPTY_S = 40.0
#: Smaller than every batch: a batch's header alone has 61 bytes (Kafka's documentation, "Record
#: Batch").
TOO_SMALL = "70"
LIMIT = "max.message.bytes"
#: The seconds of records that are kept, so that taps that keep up miss nothing.
KEPT_S = 2.0


def _admin(ground: FaultGround) -> AdminClient:
    return AdminClient(kafka_settings(ground.endpoints.kafka_bootstrap, {"log_level": 2}))


def _done(future: Future[Any], what: str, *fine: int) -> Any:
    try:
        return future.result(ANSWER_S)
    except KafkaException as error:
        if error.args[0].code() in fine:
            return None
        raise StackError(f"{what}: {error.args[0].str()}") from error


def _places(admin: AdminClient, topics: Sequence[str]) -> list[TopicPartition]:
    return [
        TopicPartition(topic, number)
        for topic in topics
        for number in admin.list_topics(topic, timeout=ANSWER_S).topics[topic].partitions
    ]


def _offsets(admin: AdminClient, places: Sequence[TopicPartition], at: Any) -> list[TopicPartition]:
    """The offsets of these partitions that `OffsetSpec` names; -1 where there is none."""
    found = admin.list_offsets(dict.fromkeys(places, at), request_timeout=ANSWER_S)
    return [
        TopicPartition(
            place.topic, place.partition, _done(future, "offsets cannot be looked up").offset
        )
        for place, future in found.items()
    ]


def _reset_group(ground: FaultGround) -> None:
    """As `kafka-consumer-groups --reset-offsets --to-earliest`: once the group has no member."""
    admin, deadline_s = _admin(ground), time.monotonic() + EMPTY_S
    earliest: Any = OffsetSpec.earliest()  # type: ignore[no-untyped-call]
    first = _offsets(admin, _places(admin, ground.objects.topics), earliest)
    group = ground.objects.group
    while True:
        asked = admin.alter_consumer_group_offsets([ConsumerGroupTopicPartitions(group, first)])
        try:
            _done(asked[group], f"group {group!r} cannot be reset")
        except StackError:
            if time.monotonic() > deadline_s:
                raise
            time.sleep(POLL_S)
        else:
            return


def _add_partitions(ground: FaultGround) -> None:
    """Double the partitions; a restart tells the connector's producer, which would otherwise learn
    of them minutes later.
    """
    admin = _admin(ground)
    for topic in ground.objects.topics:
        wanted = NewPartitions(topic, 2 * len(_places(admin, [topic])))
        _done(admin.create_partitions([wanted])[topic], f"topic {topic!r} gets no partitions")
    if ground.objects.connector:
        restart_tasks(ground)


def _limit(ground: FaultGround, value: str | None, *fine: int) -> None:
    """Limit a topic's batches in bytes; None removes the limit."""
    operation = AlterConfigOpType.DELETE if value is None else AlterConfigOpType.SET
    entry = ConfigEntry(LIMIT, value or "", incremental_operation=operation)
    wanted = [
        ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
        for topic in ground.objects.topics
    ]
    admin = _admin(ground)  # kept until the futures are done: they end with their client
    for resource, future in admin.incremental_alter_configs(wanted).items():
        _done(future, f"topic {resource.name!r} cannot be configured", *fine)


def _refuse_records(ground: FaultGround) -> None:
    _limit(ground, TOO_SMALL)


def _take_records(ground: FaultGround) -> None:
    _limit(ground, None, KafkaError.UNKNOWN_TOPIC_OR_PART)
    if ground.objects.connector:
        restart_tasks(ground)


def _forget(ground: FaultGround) -> None:
    """Until it is undone, delete what is older than KEPT_S; ends with this process."""
    admin = _admin(ground)
    places = _places(admin, ground.objects.topics)

    def forget(_over: Event) -> None:
        # A broker that does not answer deletes nothing now.
        with contextlib.suppress(StackError, KafkaException):
            _delete_old(admin, places)

    ground.keep_on(forget, POLL_S)


def _delete_old(admin: AdminClient, places: Sequence[TopicPartition]) -> None:
    since_ms = int((time.time() - KEPT_S) * 1000)
    old = _offsets(admin, places, OffsetSpec.for_timestamp(since_ms))
    for future in admin.delete_records([place for place in old if place.offset > 0]).values():
        _done(future, "records cannot be deleted")


RESET_GROUP = Fault(
    "reset-group",
    "Ends the platform, sets its consumer group back to the topic's beginning, and starts it"
    " again.",
    on="topic",
    inject=_reset_group,
    holds=False,
    without="platform",
    needs=("topic", "one platform", "sink tap"),
    repeats_s=ALL_AGAIN,
    lasting=True,
    better="a sink that keeps its own books of the offsets, as the Postgres and the Iceberg sink"
    " here do, or whose effects do not double",
)
ADD_PARTITIONS = Fault(
    "add-partitions",
    "Gives the topic twice as many partitions under load, and restarts the connector's task so that"
    " its producer knows them.",
    on="topic",
    inject=_add_partitions,
    holds=False,
    needs=("own topic", "own connector"),
    repeats_s=REPEATS_S,
    explains=(CAPTURE,),
    lasting=True,
    better="auto.offset.reset=earliest, and a short topic.metadata.refresh.interval.ms (Java:"
    " metadata.max.age.ms), or what comes first in a new partition is skipped or late; keys move"
    " to other partitions, so their order is not kept across the change",
)
MESSAGE_TOO_LARGE = Fault(
    "message-too-large",
    "Lowers the topic's max.message.bytes below every record, and restores it.",
    on="topic",
    inject=_refuse_records,
    heal=_take_records,
    needs=("own topic", "own connector"),
    repeats_s=REPEATS_S,
    explains=(CAPTURE,),
    better="max.message.bytes of the topic, max.request.size of the producer and fetch sizes of the"
    " consumers above the largest row; an alarm on tasks that are FAILED",
)
SHORT_RETENTION = Fault(
    "short-retention",
    f"Deletes what is older than {KEPT_S:g} s from the topic while the platform is away, as a"
    " retention that is too short for the outage does.",
    on="topic",
    inject=_forget,
    without="platform",
    needs=("own topic", "one platform", "sink tap"),
    repeats_s=REPEATS_S,
    explains=(RETENTION,),
    lasting=True,
    better="nothing but filling the sink again; retention.ms and retention.bytes above the longest"
    " outage, and an alarm on consumer lag",
)
