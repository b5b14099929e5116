"""The run's Kafka topics, consumer groups and subjects: created explicitly, removed by name.

For processes without gevent: threads that gevent does not know complete the Kafka client's futures.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic, OffsetSpec  # type: ignore[attr-defined]

from cdc_users.error import TargetError
from infra.client.kafka import kafka_settings
from infra.client.registry import RegistryError, SchemaRegistry

DEADLINE_S = 30.0
POLL_S = 0.05
#: A little longer than the platform's session timeout, and shorter than the limit for one object.
EMPTY_S = 12.0

# With LogAppendTime the broker itself records when an event became visible in the topic
# (docs/measurement.md).
TOPIC_CONFIG = {"message.timestamp.type": "LogAppendTime", "cleanup.policy": "delete"}


class GroupInUseError(TargetError):
    """A consumer group still has a member."""


def _admin(bootstrap: str) -> AdminClient:
    return AdminClient(kafka_settings(bootstrap, {"log_level": 2}))


def create_topic(bootstrap: str, name: str, partitions: int) -> None:
    """Create the topic and check that it has this many partitions; it must not exist before."""
    admin = _admin(bootstrap)
    topic = NewTopic(name, num_partitions=partitions, replication_factor=1, config=TOPIC_CONFIG)
    _settle(
        admin.create_topics([topic], operation_timeout=DEADLINE_S)[name],
        f"topic {name!r} cannot be created",
    )
    deadline_s = time.monotonic() + DEADLINE_S
    # The broker may learn of its new topic a moment later than the controller.
    while (
        found := len(admin.list_topics(name, timeout=DEADLINE_S).topics[name].partitions)
    ) != partitions:
        if found or time.monotonic() > deadline_s:
            raise TargetError(
                f"topic {name!r} has {found} partitions instead of {partitions}; check the broker's"
                " policies"
            )
        time.sleep(POLL_S)


def count_partitions(bootstrap: str, names: Sequence[str]) -> int:
    """The number of partitions of all these topics; raises TargetError for a missing topic."""
    admin = _admin(bootstrap)
    counts = {
        name: len(admin.list_topics(name, timeout=DEADLINE_S).topics[name].partitions)
        for name in names
    }
    if missing := [name for name, count in counts.items() if not count]:
        raise TargetError(
            f"Kafka at {bootstrap} has no topic {', '.join(missing)}; create it, or leave"
            " --topic out"
        )
    return sum(counts.values())


def deleted_records(bootstrap: str, names: Sequence[str]) -> int:
    """How many records retention has deleted from the start of these topics, which began empty."""
    admin = _admin(bootstrap)
    places = [
        TopicPartition(name, number)
        for name in names
        for number in admin.list_topics(name, timeout=DEADLINE_S).topics[name].partitions
    ]
    earliest: Any = OffsetSpec.earliest()  # type: ignore[no-untyped-call]
    found = admin.list_offsets(dict.fromkeys(places, earliest), request_timeout=DEADLINE_S)
    return sum(int(future.result(DEADLINE_S).offset) for future in found.values())


def delete_topics(bootstrap: str, names: Sequence[str]) -> None:
    """Delete these topics; one that is not there is already as wanted."""
    admin = _admin(bootstrap)  # keeps the client alive: its futures end with it
    for name, future in admin.delete_topics(list(names), operation_timeout=DEADLINE_S).items():
        _settle(future, f"topic {name!r} cannot be deleted", KafkaError.UNKNOWN_TOPIC_OR_PART)


def delete_groups(bootstrap: str, names: Sequence[str]) -> None:
    """Delete these consumer groups; one that never committed is not there.

    A member that was killed is missed only when its session has timed out, so a group that is not
    empty yet is waited for.
    """
    admin, deadline_s = _admin(bootstrap), time.monotonic() + EMPTY_S
    for name in names:
        while True:
            (future,) = admin.delete_consumer_groups([name], request_timeout=DEADLINE_S).values()
            try:
                what = f"consumer group {name!r} cannot be deleted"
                _settle(future, what, KafkaError.GROUP_ID_NOT_FOUND)
                break
            except GroupInUseError:
                if time.monotonic() > deadline_s:
                    raise
                time.sleep(POLL_S)


def groups_with(bootstrap: str, prefix: str) -> list[str]:
    """The names of the consumer groups that begin with a prefix."""
    admin = _admin(bootstrap)  # keeps the client alive, as above
    listed = admin.list_consumer_groups(request_timeout=DEADLINE_S).result(DEADLINE_S)
    return [one.group_id for one in listed.valid if one.group_id.startswith(prefix)]


def delete_subjects(registry_url: str, topic: str) -> None:
    """Remove the topic's key and value subjects from the schema registry."""
    try:
        with SchemaRegistry(registry_url, DEADLINE_S) as registry:
            for side in ("key", "value"):
                registry.delete(f"{topic}-{side}")
    except RegistryError as error:
        raise TargetError(f"the subjects of {topic!r} cannot be deleted: {error}") from error


def _settle(future: Future[Any], what: str, *fine: int) -> None:
    try:
        future.result(timeout=DEADLINE_S)
    except KafkaException as error:
        problem = error.args[0]
        if problem.code() == KafkaError.NON_EMPTY_GROUP:
            raise GroupInUseError(f"{what}: {problem.str()}") from error
        if problem.code() not in fine:
            raise TargetError(f"{what}: {problem.str()}") from error
