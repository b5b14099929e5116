"""Watches Kafka topics of JSON change events, as the direct WAL reader publishes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cdc_users.measure.clock import Anchor
from cdc_users.observe.declaration import TapDeclaration
from cdc_users.observe.tap import ObservedRecord
from cdc_users.observe.taps.stream import StreamFeed, StreamItem
from cdc_users.observe.taps.topic import KafkaMessage, TopicReading


class JsonTopicTap:
    """The tap on topics of JSON change events."""

    kind = "json-topic"

    def __init__(self, config: Mapping[str, Any], run: str, anchor: Anchor) -> None:
        self.record = ObservedRecord(run)
        topics = config["topics"] if "topics" in config else [config["topic"]]
        self._reading = TopicReading(config["bootstrap"], topics, self.record, anchor)
        self._feed = StreamFeed(self.record, config)

    def start(self) -> dict[str, Any]:
        """See Tap."""
        self._reading.start(self.take)
        return {}

    def take(self, messages: Sequence[KafkaMessage], seen_us: int) -> None:
        """Take in messages of one partition, in their order; one that cannot be read is told and
        left out.
        """
        items = [
            StreamItem(
                message.offset,
                (message.key or b"").decode("utf-8", "replace"),
                message.value,
                message.appended_us,
                message.by_broker,
            )
            for message in messages
        ]
        self._feed.take(messages[0].partition, items, seen_us)

    def stop(self) -> None:
        """See Tap."""
        self._reading.stop()

    def gauges(self) -> dict[str, Any]:
        """See Tap."""
        return {"read": self._reading.read()}


JSON_TOPIC_TAP = TapDeclaration(
    "json-topic", make=JsonTopicTap, needs=("bootstrap",), either=("topic", "topics")
)
