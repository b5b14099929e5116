"""An event that is put aside may be as large as the topic lets it be."""

from __future__ import annotations

import os
import uuid
from contextlib import closing

import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from infra.platform.consume.dead_letter import DeadLetterTopic
from infra.platform.process.error import EventError, RefusedError
from infra.platform.sinks.batch import Poison
from infra.stack.endpoints import Endpoints

LIMIT_BYTES = 4_000_000


def poison(size: int) -> Poison:
    # Not to be compressed: the limit is for what goes over the wire.
    return Poison("cdc.shop.orders", 0, 7, b"key", os.urandom(size), RefusedError("a check"))


async def test_an_event_over_a_megabyte_is_put_aside_where_the_topic_takes_it(
    stack: Endpoints,
) -> None:
    name = f"cdc_dead_{uuid.uuid4().hex[:8]}"
    admin = AdminClient({"bootstrap.servers": stack.kafka_bootstrap})
    made = NewTopic(name, 1, 1, config={"max.message.bytes": str(LIMIT_BYTES)})
    admin.create_topics([made])[name].result(30)
    large = poison(2_000_000)
    aside = DeadLetterTopic(stack.kafka_bootstrap, name)
    try:
        await aside.send(large)
        with pytest.raises(EventError, match=f"cannot be put aside in '{name}'.*too large"):
            await aside.send(poison(LIMIT_BYTES + 1))

        settings = {"bootstrap.servers": stack.kafka_bootstrap, "group.id": name}
        with closing(Consumer(settings)) as reader:
            reader.assign([TopicPartition(name, 0, 0)])
            (message,) = reader.consume(1, timeout=30)
            assert message.value() == large.value
        assert aside.count == 1
    finally:
        aside.close()
        admin.delete_topics([name])[name].result(30)
