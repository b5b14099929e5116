"""Batches for tests of sinks, read by the platform's own decoder: of records, or of events that
never were in Kafka.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from typing import Any

import requests

from infra.platform.consume.decode import Decoder, UnknownSchemaError
from infra.platform.sinks.batch import Batch, Chunk
from tests.change_events import CUSTOMERS, KEY, Columns, Encoder, Event, envelope_schema, key_schema


def decoded(registry_url: str, place: tuple[str, int], chunk: Chunk) -> list[Batch]:
    """What the platform makes of records whose schemas are in a registry."""
    decoder = Decoder()
    while True:
        try:
            items = decoder.read(place, chunk)
        except UnknownSchemaError as unknown:
            url = f"{registry_url}/schemas/ids/{unknown.number}"
            schema = json.loads(requests.get(url, timeout=30).json()["schema"])
            decoder.learn(unknown.number, schema)
        else:
            return [item for item in items if isinstance(item, Batch)]


class Partition:
    """One partition of a topic that exists only here: gives events their offsets."""

    def __init__(
        self,
        topic: str = "test",
        number: int = 0,
        columns: Columns = CUSTOMERS,
        lsn: int = 1000,
        key: Columns = KEY,
        table: str = "customers",
    ) -> None:
        self.topic = topic
        self.number = number
        self.offset = 0
        self.encoder = Encoder(columns, lsn=lsn, key_columns=key, table=table)
        self._decoder = Decoder()
        self._decoder.learn(1, envelope_schema(columns, "cdc.test.customers"))
        self._decoder.learn(2, key_schema("cdc.test.customers", key))

    def batch(self, events: Sequence[Event]) -> Batch:
        """The next events of the partition, as one batch."""
        (batch,) = self.items(
            [(self.encoder.key(event), self.encoder.value(event)) for event in events]
        )
        assert isinstance(batch, Batch)
        return batch

    def items(self, records: Sequence[tuple[bytes | None, bytes | None]]) -> list[Any]:
        """What the decoder makes of the partition's next records."""
        size = len(records)
        offsets = list(range(self.offset, self.offset + size))
        self.offset += size
        now = [time.time_ns() // 1000] * size
        chunk = Chunk(
            [value for _, value in records], [key for key, _ in records], offsets, now, now
        )
        return self._decoder.read((self.topic, self.number), chunk)

    def batches(self, events: Sequence[Event], size: int) -> Iterator[Batch]:
        """The next events in batches."""
        for first in range(0, len(events), size):
            yield self.batch(events[first : first + size])
