"""Watches Kafka topics of JSON change events, as the direct WAL reader publishes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import orjson

from cdc_users.measure.clock import Anchor
from cdc_users.observe.change import ChangeError, ChangeParser
from cdc_users.observe.tap import Record
from cdc_users.observe.topic import Message, Reading


class JsonTopicTap:
    """The tap on topics of JSON change events."""

    kind = "json-topic"

    def __init__(self, config: Mapping[str, Any], run: str, anchor: Anchor) -> None:
        self.record = Record(run)
        topics = config["topics"] if "topics" in config else [config["topic"]]
        self._reading = Reading(config["bootstrap"], topics, self.record, anchor)
        self._parser = ChangeParser.of(config)

    def start(self) -> dict[str, Any]:
        """See Tap."""
        self._reading.start(self.take)
        return {}

    def take(self, messages: Sequence[Message], seen_us: int) -> None:
        """Take in messages of one partition, in their order; one that cannot be read is told and left out."""
        read = [(message, change) for message in messages if (change := self._change(message)) is not None]
        if read:
            self.record.take(
                self._parser.parse(
                    [change for _, change in read],
                    [len(message.value) for message, _ in read],
                    messages[0].partition,
                    np.array([message.offset for message, _ in read], dtype=np.int64),
                    seen_us,
                    np.array([message.appended_us for message, _ in read], dtype=np.int64),
                )
            )

    def _change(self, message: Message) -> Any:
        """A message's change, with the record's key where the change has none; None where it cannot be read."""
        try:
            change = orjson.loads(message.value)
            if not isinstance(change, dict) or "op" not in change:
                raise ChangeError("it is no object with op, before and after")
        except ValueError as error:
            self.record.fail(
                f"an event cannot be read: {error} (partition {message.partition}, offset {message.offset})"
            )
            return None
        if change["op"] == "t":
            return None  # a table was emptied; that is no row's event
        if "key" not in change and message.key is not None:
            change["key"] = message.key.decode("utf-8", "replace")
        return change

    def stop(self) -> None:
        """See Tap."""
        self._reading.stop()

    def gauges(self) -> dict[str, Any]:
        """See Tap."""
        return {"read": self._reading.read()}
