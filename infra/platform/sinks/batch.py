"""Change events of one partition: first raw messages from Kafka, then a batch by columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, takewhile
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infra.avro.key import KeyReader, key_ids, key_octets
from infra.avro.octets import Octets
from infra.avro.row import Rows

#: A topic and a partition's number.
Partition = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Chunk:
    """Messages of one partition in their order, not yet read; a value of None is a tombstone.

    Times are wall microseconds: `appended_us` is when the broker took the message (to the
    millisecond), `polled_us` when this process took it.
    """

    values: Sequence[bytes | None]
    keys: Sequence[bytes | None]
    offsets: Sequence[int]
    appended_us: Sequence[int]
    polled_us: Sequence[int]

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, part: slice) -> Chunk:
        return Chunk(
            self.values[part],
            self.keys[part],
            self.offsets[part],
            self.appended_us[part],
            self.polled_us[part],
        )

    @property
    def bytes(self) -> int:
        """Size of the messages' values."""
        try:
            return sum(map(len, self.values))  # type: ignore[arg-type]
        except TypeError:  # a tombstone, which most chunks have not
            return sum(map(len, filter(None, self.values)))

    def within(self, most: int) -> int:
        """How many messages, from the first on, have at most this many bytes."""
        if self.bytes <= most:
            return len(self)
        ends = accumulate(len(value or b"") for value in self.values)
        return sum(1 for _ in takewhile(lambda end: end <= most, ends))

    def pick(self, rows: Sequence[int]) -> Chunk:
        """These messages alone."""
        return Chunk(*([column[row] for row in rows] for column in self._columns()))

    def _columns(self) -> tuple[Sequence[Any], ...]:
        return (self.values, self.keys, self.offsets, self.appended_us, self.polled_us)


def joined(chunks: Sequence[Chunk]) -> Chunk:
    """Chunks of one partition, one after another, as one."""
    if len(chunks) == 1:
        return chunks[0]
    columns = zip(*(chunk._columns() for chunk in chunks), strict=True)
    return Chunk(*([item for part in column for item in part] for column in columns))


@dataclass(frozen=True, slots=True)
class Batch:
    """Events of one partition and one writer schema in their order; all columns have the same
    length.

    `rows` reads the events' bytes on demand; `keys` are the records' raw keys, which `key_reader`
    reads. `end` is the offset behind the last message that this batch accounts for, tombstones
    included. A part of a batch knows the `whole` that was read, and the index of its first event
    there (`first`).
    """

    topic: str
    partition: int
    rows: Rows
    keys: Sequence[bytes | None]
    key_reader: KeyReader | None
    offsets: NDArray[np.int64]
    appended_us: NDArray[np.int64]
    polled_us: NDArray[np.int64]
    end: int
    whole: Batch | None = None
    first: int = 0
    #: The same keys as one array of bytes, if they exist in this form.
    key_octets: Octets | None = None

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def place(self) -> Partition:
        """The topic and partition."""
        return self.topic, self.partition

    @property
    def bytes(self) -> int:
        """Size of the messages' values."""
        return int(self.rows.sizes.sum())

    @property
    def key_ids(self) -> NDArray[np.int64]:
        """A number for each event's key (infra/schemas/envelope.py)."""
        return key_ids(self.key_octets or key_octets(self.keys))

    def key_only(self) -> NDArray[np.bool_]:
        """Which events know only the key of the row before them; its other columns are Debezium's
        fillers.
        """
        key = () if self.key_reader is None else self.key_reader.columns
        return self.rows.key_only("before", {column.name for column in key})

    def parts(self, size: int) -> list[Batch]:
        """The events in order, in batches of at most this size."""
        if len(self) <= size:
            return [self]
        ends = [*self.offsets[size::size].tolist(), self.end]
        return [
            self._part(slice(first, first + size), end)
            for first, end in zip(range(0, len(self), size), ends, strict=True)
        ]

    def split(self, size: int) -> tuple[Batch, Batch]:
        """The first `size` events, and the rest."""
        return self._part(slice(0, size), int(self.offsets[size])), self._part(
            slice(size, len(self)), self.end
        )

    def _part(self, part: slice, end: int) -> Batch:
        return Batch(
            self.topic,
            self.partition,
            self.rows[part],
            self.keys[part],
            self.key_reader,
            self.offsets[part],
            self.appended_us[part],
            self.polled_us[part],
            end,
            self.whole or self,
            self.first + part.start,
        )


@dataclass(frozen=True, slots=True)
class Poison:
    """A message that cannot be read, or that a sink refuses, and the reason."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    cause: Exception

    @property
    def place(self) -> Partition:
        """The topic and partition."""
        return self.topic, self.partition

    @property
    def end(self) -> int:
        """The offset after it."""
        return self.offset + 1


def poison_of(batch: Batch, cause: Exception) -> Poison:
    """A batch of a single event as the Poison that it has turned out to be."""
    (value,) = batch.rows.messages()
    return Poison(batch.topic, batch.partition, int(batch.offsets[0]), batch.keys[0], value, cause)


@dataclass(frozen=True, slots=True)
class Passed:
    """Messages without events, such as tombstones: nothing is written, but the position
    advances.
    """

    place: Partition
    end: int
