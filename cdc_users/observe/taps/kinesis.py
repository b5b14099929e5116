"""Watches a Kinesis stream of JSON changes: all shards from their beginning, without a registered
consumer.
"""

from __future__ import annotations

from typing import Any

from typing_extensions import override

from cdc_users.measure.clock import Anchor
from cdc_users.observe.declaration import TapDeclaration
from cdc_users.observe.message import TapPlace
from cdc_users.observe.settings import KinesisSettings
from cdc_users.observe.tap import ObservedRecord, Tap, TapError, by_partition
from cdc_users.observe.taps.stream import StreamFeed, StreamItem, StreamReading
from infra.stack.cloud import kinesis_client

BATCH = 10_000
#: A shard allows five reads a second (Kinesis's quotas); an emulator allows more.
PAUSE_S = 0.2
EMULATOR_PAUSE_S = 0.02


class KinesisTap(Tap):
    """The tap on one stream. Configuration: endpoint, stream; see ChangeParser for the rest."""

    kind = "kinesis"

    def __init__(self, settings: KinesisSettings, run: str, anchor: Anchor) -> None:
        self.record = ObservedRecord(run)
        self._endpoint, self._stream = settings.endpoint, settings.stream
        self._anchor = anchor
        self._feed = StreamFeed(self.record, settings, polled=True)
        pause_s = EMULATOR_PAUSE_S if "127.0.0.1" in self._endpoint else PAUSE_S
        self._reading = StreamReading(
            f"Kinesis stream {self._stream!r}", self._round, pause_s, self.record
        )
        self._client: Any = None
        self._iterators: dict[int, str] = {}
        self._read: dict[int, int] = {}

    @override
    def start(self) -> TapPlace:
        self._client = kinesis_client(self._endpoint)
        try:
            shards = self._client.list_shards(StreamName=self._stream)["Shards"]
            for number, shard in enumerate(sorted(shards, key=lambda shard: str(shard["ShardId"]))):
                self._iterators[number] = self._client.get_shard_iterator(
                    StreamName=self._stream,
                    ShardId=shard["ShardId"],
                    ShardIteratorType="TRIM_HORIZON",
                )["ShardIterator"]
        except Exception as error:
            raise TapError(
                f"Kinesis stream {self._stream!r} cannot be read at {self._endpoint}:"
                f" {type(error).__name__}: {error}"
            ) from error
        self._reading.start()
        return TapPlace()

    def _round(self) -> bool:
        """Read every shard once; returns whether any record was there."""
        return sum([self._shard(number) for number in list(self._iterators)]) > 0

    def _shard(self, number: int) -> bool:
        answer = self._client.get_records(ShardIterator=self._iterators[number], Limit=BATCH)
        seen_us = self._anchor.now_us()
        records = answer["Records"]
        first = self._read.get(number, 0)
        items = [
            StreamItem(
                first + place,
                record["PartitionKey"],
                record["Data"],
                round(record["ApproximateArrivalTimestamp"].timestamp() * 1e6),
            )
            for place, record in enumerate(records)
        ]
        self._feed.take(number, items, seen_us)
        self._read[number] = first + len(items)
        if answer.get("NextShardIterator"):
            self._iterators[number] = answer["NextShardIterator"]
        else:
            del self._iterators[number]  # the shard was closed
        return bool(items)

    @override
    def stop(self) -> None:
        self._reading.stop()

    @override
    def gauges(self) -> dict[str, object]:
        return {"read": by_partition(self._read)}


KINESIS_TAP = TapDeclaration(
    "kinesis", make=KinesisTap, settings=KinesisSettings, needs=("endpoint", "stream")
)
