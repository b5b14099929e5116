"""Watches a NATS JetStream stream of changes: all messages in their order, by a consumer that
acknowledges nothing and that the server deletes after the tap has gone.

A message's time is when the server stored it, so an event is visible from then on.
"""

from __future__ import annotations

import contextlib
from datetime import datetime
from typing import Any

from typing_extensions import override

from cdc_users.measure.clock import Anchor
from cdc_users.measure.offset import ONE_CLOCK, ClockOffset, asked_offset
from cdc_users.observe.declaration import TapDeclaration
from cdc_users.observe.message import TapPlace
from cdc_users.observe.settings import NatsSettings
from cdc_users.observe.tap import ObservedRecord, Tap, TapError
from cdc_users.observe.taps.stream import StreamFeed, StreamItem, StreamReading
from infra.client.nats import NatsError, NatsLink

BATCH = 1000
#: How long one read waits for the next message.
FETCH_S = 0.2
PAUSE_S = 0.02
#: The server deletes the consumer after so long without a read.
FORGET_S = 60.0


class NatsTap(Tap):
    """The tap on one stream, whatever its subjects. Configuration: url, stream; see ChangeParser
    for the rest.
    """

    kind = "nats"

    def __init__(self, settings: NatsSettings, run: str, anchor: Anchor) -> None:
        self.record = ObservedRecord(run)
        self._settings, self._anchor = settings, anchor
        self._feed = StreamFeed(self.record, settings)
        self._reading = StreamReading(
            f"NATS stream {settings.stream!r}", self._round, PAUSE_S, self.record
        )
        self._link: NatsLink | None = None
        self._reader: Any = None
        self._clock: ClockOffset = ONE_CLOCK
        #: The number of the next message in the stream, and of the next one in the consumer's
        #: order.
        self._next, self._given = 1, 1

    @override
    def start(self) -> TapPlace:
        try:
            self._link = NatsLink(self._settings.url)
            last = self._last(self._link)
        except (NatsError, TapError) as error:
            self._disconnect()
            raise TapError(str(error)) from error
        self._next = (last if self._settings.from_end else 0) + 1
        self._reading.start()
        return TapPlace()

    def _last(self, link: NatsLink) -> int:
        """The number of the last message; raises TapError for a stream that cannot be watched."""
        stream = self._settings.stream
        there = link.jetstream(f"STREAM.INFO.{stream}")
        if there is None:
            raise TapError(
                f"there is no stream {stream!r} of JetStream at {link.url}; create it before the"
                " run, or name another"
            )
        if there["config"].get("retention") == "workqueue":
            raise TapError(
                f"stream {stream!r} is a work queue: a message that is read here is missing for"
                " its other readers; watch one with the retention `limits` or `interest`"
            )
        self._clock = asked_offset(lambda: self._time_us(link), self._anchor.now_us)
        return int(there["state"]["last_seq"])

    def _time_us(self, link: NatsLink) -> int:
        time_text = link.jetstream(f"STREAM.INFO.{self._settings.stream}")["ts"]
        return round(
            datetime.fromisoformat(time_text[:26].rstrip("Z") + "+00:00").timestamp() * 1e6
        )

    def _round(self) -> bool:
        """Take the waiting messages, or wait a little for one; returns whether there was one.

        After a failure it connects again and goes on behind the last message that was taken.
        """
        try:
            return self._fetched()
        except Exception:
            self._disconnect()
            raise

    def _fetched(self) -> bool:
        if self._link is None:
            self._link = NatsLink(self._settings.url)
        if self._reader is None:
            self._reader = self._link.ask(self._subscribed)
        try:
            messages = self._link.ask(lambda _: self._reader.fetch(BATCH, timeout=FETCH_S))
        except TimeoutError:  # no message came during the wait
            return False
        seen_us = self._anchor.now_us()
        taken = [message for message in messages if self._is_next(message.metadata.sequence)]
        self._feed.take(0, [self._item(message) for message in taken], seen_us)
        if len(taken) < len(messages):
            raise NatsError(
                f"messages behind number {self._next - 1} were sent and did not arrive; they are"
                " read again"
            )
        return True

    def _is_next(self, number: Any) -> bool:
        """Whether no message is missing before this one: messages on their way when a connection
        breaks are not sent again.
        """
        if number.consumer != self._given:
            return False
        self._given, self._next = self._given + 1, number.stream + 1
        return True

    async def _subscribed(self, client: Any) -> Any:
        from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

        self._given = 1
        config = ConsumerConfig(
            ack_policy=AckPolicy.NONE,
            deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
            opt_start_seq=self._next,
            inactive_threshold=FORGET_S,
            mem_storage=True,
        )
        stream = self._settings.stream
        return await client.jetstream().pull_subscribe("", stream=stream, config=config)

    def _item(self, message: Any) -> StreamItem:
        ahead_us = 0 if self._clock.same else self._clock.offset_us
        stored_us = round(message.metadata.timestamp.timestamp() * 1e6) - ahead_us
        return StreamItem(
            message.metadata.sequence.stream, "", message.data, stored_us, by_service=True
        )

    def _disconnect(self) -> None:
        link, self._link, self._reader = self._link, None, None
        if link is not None:
            link.close()

    @override
    def stop(self) -> None:
        self._reading.stop()
        if self._reader is not None and self._link is not None:
            with contextlib.suppress(Exception):  # the server also deletes it by itself
                self._link.ask(lambda _: self._reader.unsubscribe())
        self._disconnect()

    @override
    def gauges(self) -> dict[str, object]:
        return {"read": {"0": self._next - 1}, "clock_bound_us": self._clock.bound_us}


NATS_TAP = TapDeclaration("nats", make=NatsTap, settings=NatsSettings, needs=("url", "stream"))
