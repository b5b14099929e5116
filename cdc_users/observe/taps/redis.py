"""Watches a Redis stream of changes: all entries in their order, without a consumer group.

An entry's id begins with the server's time in milliseconds (Redis documentation, "Redis Streams",
"Entry IDs"). An event is visible from that time on, whenever it is read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from typing_extensions import override

from cdc_users.measure.clock import Anchor
from cdc_users.measure.offset import ONE_CLOCK, ClockOffset, asked_offset
from cdc_users.observe.declaration import TapDeclaration
from cdc_users.observe.message import TapPlace
from cdc_users.observe.settings import RedisSettings
from cdc_users.observe.tap import ObservedRecord, Tap, TapError
from cdc_users.observe.taps.stream import StreamFeed, StreamItem, StreamReading
from infra.client.redis import redis_client

BATCH = 1000
#: How long one read waits for the next entry.
BLOCK_MS = 200
PAUSE_S = 0.02
BEGINNING = b"0-0"
#: An id that is further from the present time than this was chosen by the writer, and is no time.
NO_TIME_US = 86_400 * 1_000_000
#: What Debezium Server's sink writes for a record without a value (its `null.value`).
_NO_VALUE = b"default"


class RedisTap(Tap):
    """The tap on one stream. Configuration: url, stream; see ChangeParser for the rest.

    An entry is a change if it has one field (the record's key, with the change as its value) or the
    fields `key` and `value`: Debezium Server's compact and extended form.
    """

    kind = "redis"

    def __init__(self, settings: RedisSettings, run: str, anchor: Anchor) -> None:
        self.record = ObservedRecord(run)
        self._settings, self._anchor = settings, anchor
        self._feed = StreamFeed(self.record, settings)
        self._reading = StreamReading(
            f"Redis stream {settings.stream!r}", self._round, PAUSE_S, self.record
        )
        self._client: Any = None
        self._clock: ClockOffset = ONE_CLOCK
        self._last = BEGINNING
        self._read = 0

    @override
    def start(self) -> TapPlace:
        stream, url = self._settings.stream, self._settings.url
        try:
            self._client = redis_client(url)
            self._clock = asked_offset(self._time_us, self._anchor.now_us)
            there = self._client.type(stream).decode()
            if there == "stream" and self._settings.from_end:
                self._last = self._client.xinfo_stream(stream)["last-generated-id"]
        except Exception as error:
            raise TapError(
                f"Redis at {url} cannot be read: {type(error).__name__}: {error}"
            ) from error
        if there not in ("stream", "none"):  # a missing stream begins with its first entry
            raise TapError(f"{stream!r} is no stream of Redis at {url} but a {there}; name another")
        self._reading.start()
        return TapPlace()

    def _time_us(self) -> int:
        seconds, microseconds = self._client.time()
        return int(seconds) * 1_000_000 + int(microseconds)

    def _round(self) -> bool:
        """Take the waiting entries, or wait a little for one; returns whether there was one."""
        stream = self._settings.stream
        found = self._client.xread({stream: self._last}, count=BATCH, block=BLOCK_MS)
        seen_us = self._anchor.now_us()
        entries = [entry for _, some in found for entry in some]
        self._feed.take(
            0,
            [
                self._item(name, fields, self._read + n, seen_us)
                for n, (name, fields) in enumerate(entries)
            ],
            seen_us,
        )
        if entries:
            self._last = entries[-1][0]
            self._read += len(entries)
        return bool(entries)

    def _item(
        self, name: bytes, fields: Mapping[bytes, bytes], position: int, seen_us: int
    ) -> StreamItem:
        key, value = _key_and_value(fields)
        ahead_us = 0 if self._clock.same else self._clock.offset_us
        appended_us = int(name.partition(b"-")[0]) * 1000 - ahead_us
        is_time = abs(seen_us - appended_us) < NO_TIME_US
        return StreamItem(position, key, value, appended_us if is_time else seen_us, is_time)

    @override
    def stop(self) -> None:
        self._reading.stop()
        if self._client is not None:
            self._client.close()

    @override
    def gauges(self) -> dict[str, object]:
        return {"read": {"0": self._read}, "clock_bound_us": self._clock.bound_us}


def _key_and_value(fields: Mapping[bytes, bytes]) -> tuple[str, bytes]:
    """The record's key and the change's bytes. An entry in another form becomes the names of its
    fields, which no reader takes for a change.
    """
    if b"value" in fields:
        key, value = fields.get(b"key", b""), fields[b"value"]
    elif len(fields) == 1:
        ((key, value),) = fields.items()
    else:
        return "", b"fields " + b", ".join(fields)
    return key.decode("utf-8", "replace"), b"" if value == _NO_VALUE else value


REDIS_TAP = TapDeclaration("redis", make=RedisTap, settings=RedisSettings, needs=("url", "stream"))
