"""Watches a Pub/Sub subscription of JSON changes.

The subscription must exist before anything is published.
"""

from __future__ import annotations

import os
import warnings
from typing import Any

from typing_extensions import override

from cdc_users.measure.clock import Anchor
from cdc_users.observe.declaration import TapDeclaration
from cdc_users.observe.message import TapPlace
from cdc_users.observe.settings import PubSubSettings
from cdc_users.observe.tap import ObservedRecord, Tap, TapError, by_partition
from cdc_users.observe.taps.stream import StreamFeed, StreamItem, StreamReading
from infra.stack.cloud import project, subscriber

BATCH = 1000
PULL_S = 10.0
PAUSE_S = 0.02
#: How many message ids are remembered, so that the service's own redeliveries do not count as
#: duplicates.
REMEMBERED = 200_000


class PubSubTap(Tap):
    """The tap on one subscription.

    Configuration: subscription; endpoint (empty: the real service) and project.

    A partition is an ordering key, which the publisher's virtual partition gave its name.
    """

    kind = "pubsub"

    def __init__(self, settings: PubSubSettings, run: str, anchor: Anchor) -> None:
        self.record = ObservedRecord(run)
        self._endpoint = settings.endpoint
        place = settings.project or project(os.environ)
        self._subscription = f"projects/{place}/subscriptions/{settings.subscription}"
        self._anchor = anchor
        self._feed = StreamFeed(self.record, settings, polled=True)
        self._reading = StreamReading(self._subscription, self._pull, PAUSE_S, self.record)
        self._client: Any = None
        self._known: dict[str, None] = {}
        self._read: dict[int, int] = {}
        self._redelivered = 0

    @override
    def start(self) -> TapPlace:
        self._client = subscriber(self._endpoint)
        try:
            self._client.get_subscription(subscription=self._subscription, timeout=PULL_S)
        except Exception as error:
            raise TapError(
                f"{self._subscription} cannot be read at {self._endpoint or 'Pub/Sub'}:"
                f" {type(error).__name__}: {error}"
            ) from error
        # The real service deprecates what is asked of the emulator alone.
        warnings.filterwarnings("ignore", "The return_immediately flag", DeprecationWarning)
        self._reading.start()
        return TapPlace()

    def _pull(self) -> bool:
        """Take the waiting messages and acknowledge them; returns whether there were any."""
        from google.api_core.exceptions import DeadlineExceeded

        request = {"subscription": self._subscription, "max_messages": BATCH}
        if self._endpoint:
            # An emulator that waits for messages itself looks only every half a second.
            request["return_immediately"] = True
        try:
            found = self._client.pull(request=request, timeout=PULL_S).received_messages
        except DeadlineExceeded:
            return False  # no message came while the service waited
        seen_us = self._anchor.now_us()
        groups: dict[int, list[StreamItem]] = {}
        for received in found:
            self._sort(received.message, groups)
        for partition, items in groups.items():
            self._feed.take(partition, items, seen_us)
        if found:
            acknowledged = [received.ack_id for received in found]
            self._client.acknowledge(
                request={"subscription": self._subscription, "ack_ids": acknowledged}
            )
        return bool(found)

    def _sort(self, message: Any, groups: dict[int, list[StreamItem]]) -> None:
        if message.message_id in self._known:
            self._redelivered += 1
            return
        self._known[message.message_id] = None
        if len(self._known) > REMEMBERED:
            del self._known[next(iter(self._known))]
        key = message.ordering_key
        partition = int(key) if key.isdigit() else 0
        position = self._read.get(partition, 0)
        self._read[partition] = position + 1
        appended_us = round(message.publish_time.timestamp() * 1e6)
        groups.setdefault(partition, []).append(StreamItem(position, "", message.data, appended_us))

    @override
    def stop(self) -> None:
        self._reading.stop()

    @override
    def gauges(self) -> dict[str, object]:
        return {
            "read": by_partition(self._read),
            "redelivered": self._redelivered,
        }


PUBSUB_TAP = TapDeclaration(
    "pubsub", make=PubSubTap, settings=PubSubSettings, needs=("subscription",)
)
