"""Watches Kafka topics of JSON change events, as the direct WAL reader publishes them."""

from __future__ import annotations

from collections.abc import Sequence

from typing_extensions import override

from cdc_users.measure.clock import Anchor
from cdc_users.observe.declaration import TapDeclaration
from cdc_users.observe.message import TapPlace
from cdc_users.observe.settings import JsonTopicSettings
from cdc_users.observe.tap import ObservedRecord, Tap
from cdc_users.observe.taps.stream import StreamFeed, StreamItem
from cdc_users.observe.taps.topic import KafkaMessage, TopicReading


class JsonTopicTap(Tap):
    """The tap on topics of JSON change events."""

    kind = "json-topic"

    def __init__(self, settings: JsonTopicSettings, run: str, anchor: Anchor) -> None:
        self.record = ObservedRecord(run)
        self._reading = TopicReading(settings.bootstrap, settings.all_topics, self.record, anchor)
        self._feed = StreamFeed(self.record, settings)

    @override
    def start(self) -> TapPlace:
        self._reading.start(self.take)
        return TapPlace()

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

    @override
    def stop(self) -> None:
        self._reading.stop()

    @override
    def gauges(self) -> dict[str, object]:
        return {"read": self._reading.read()}


JSON_TOPIC_TAP = TapDeclaration(
    "json-topic",
    make=JsonTopicTap,
    settings=JsonTopicSettings,
    needs=("bootstrap",),
    either=("topic", "topics"),
)
