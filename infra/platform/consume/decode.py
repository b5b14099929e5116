"""Turns Kafka's messages into batches by columns."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from itertools import groupby
from typing import Any, TypeVar

import numpy as np
import structlog

from infra.avro.key import KeyReader, key_heads, key_octets
from infra.avro.octets import Octets
from infra.avro.row import Rows
from infra.avro.row_reader import RowReader
from infra.platform.process.error import EventError
from infra.platform.sinks.batch import Batch, Chunk, Partition, Passed, Poison
from infra.schemas.envelope import EnvelopeError, schema_id

logger = structlog.get_logger()

_DELETE = ord("d")
_HEAD = np.uint64((1 << 40) - 1)
Item = Batch | Poison | Passed
T = TypeVar("T")


class UnknownSchemaError(Exception):
    """A schema must be learned before these messages can be read."""

    def __init__(self, number: int) -> None:
        super().__init__(f"schema {number} is not known yet")
        self.number = number


def prepared(what: str, schema: Any, make: Callable[[Any], T]) -> T:
    """A reader of this schema; raises EnvelopeError for any schema that is not Debezium's."""
    try:
        return make(schema)
    except EnvelopeError:
        raise
    except RecursionError as error:
        raise EnvelopeError(f"{what} is nested too deep") from error
    except Exception as error:
        raise EnvelopeError(
            f"{what} is no Avro schema of Debezium's ({type(error).__name__}: {error})"
        ) from error


class Decoder:
    """Reads the messages of a partition; each schema is prepared once.

    Does no I/O: the caller passes schemas to `learn`. A message that cannot be read becomes a
    Poison at its place among the batches.
    """

    def __init__(self) -> None:
        self._schemas: dict[int, Any] = {}
        self._readers: dict[int, RowReader] = {}
        self._key_readers: dict[int, KeyReader | None] = {}
        self._unreadable: dict[tuple[int, object], str] = {}
        self._absent: Collection[int] = ()

    def learn(self, number: int, schema: Any) -> None:
        """Learn a schema by its id."""
        self._schemas[number] = schema

    def read(self, place: Partition, chunk: Chunk, absent: Collection[int] = ()) -> list[Item]:
        """The messages in order, in as few batches as their schemas allow; tombstones count as
        messages, but are no events.

        Raises UnknownSchemaError for a schema that was not learned, unless its id is in `absent`:
        the registry does not have these ids now. It may have them for the next messages, so this is
        not remembered.
        """
        self._absent = absent
        events = chunk
        if None in chunk.values:
            events = chunk.pick(
                [row for row, value in enumerate(chunk.values) if value is not None]
            )
        found: list[Item] = list(self._runs(place, events)) if len(events) else []
        end = chunk.offsets[-1] + 1
        if not found or found[-1].end != end:
            found.append(Passed(place, end))
        return found

    def _runs(self, place: Partition, chunk: Chunk) -> Iterator[Item]:
        """Batches of one value schema and one key schema each, because either may change alone."""
        octets, keys = _octets(chunk), key_octets(chunk.keys)
        heads, of_keys = octets.eights[octets.begin] & _HEAD, key_heads(keys)
        if (heads == heads[0]).all() and (of_keys == of_keys[0]).all():
            yield from self._batches(place, chunk, octets, keys)
            return
        first = 0
        for _, run in groupby(zip(heads.tolist(), of_keys.tolist(), strict=True)):
            last = first + len(list(run))
            part = chunk[first:last]
            yield from self._batches(place, part, _octets(part), key_octets(part.keys))
            first = last

    def _batches(
        self, place: Partition, chunk: Chunk, octets: Octets, keys: Octets
    ) -> Iterator[Item]:
        """One batch; a message of another schema is found by halving."""
        try:
            yield self._batch(place, chunk, octets, keys)
        except EnvelopeError as error:
            if len(chunk) == 1:
                yield _poison(place, chunk, error)
                return
            for part in (chunk[: len(chunk) // 2], chunk[len(chunk) // 2 :]):
                yield from self._batches(place, part, _octets(part), key_octets(part.keys))

    def _batch(self, place: Partition, chunk: Chunk, octets: Octets, keys: Octets) -> Batch:
        rows = self._reader(schema_id(chunk.values[0] or b"")).read(octets)
        key_reader = self._key_reader(chunk.keys[0])
        _check_keys(rows, key_reader)
        return Batch(
            *place,
            rows,
            chunk.keys,
            key_reader,
            np.array(chunk.offsets, dtype=np.int64),
            np.array(chunk.appended_us, dtype=np.int64),
            np.array(chunk.polled_us, dtype=np.int64),
            chunk.offsets[-1] + 1,
            key_octets=keys,
        )

    def _schema(self, number: int) -> Any:
        if number in self._schemas:
            return self._schemas[number]
        if number in self._absent:
            raise EnvelopeError(f"the registry has no schema {number}")
        raise UnknownSchemaError(number)

    def _prepared(self, number: int, make: Callable[[Any], T]) -> T:
        """A reader of this schema; raises EnvelopeError, every time, for any schema that is not
        Debezium's.
        """
        if (number, make) in self._unreadable:
            raise EnvelopeError(self._unreadable[number, make])
        try:
            return prepared(f"schema {number}", self._schema(number), make)
        except EnvelopeError as error:
            if number in self._schemas:
                self._unreadable[number, make] = str(error)
            raise

    def _reader(self, number: int) -> RowReader:
        if number not in self._readers:
            reader = self._readers[number] = self._prepared(number, RowReader)
            if reader.hiding_null:
                logger.warning(
                    "platform.schema.null_is_default",
                    schema=number,
                    columns=reader.hiding_null,
                    why="Kafka Connect writes the default where these columns are NULL, and no"
                    " reader can tell; drop the default or the NULLs",
                )
        return self._readers[number]

    def _key_reader(self, key: bytes | None) -> KeyReader | None:
        """The reader for a key of the batch; all its keys have one schema, or there are none
        (truncate).

        A sink that needs keys refuses events without a key reader.
        """
        if not key:
            return None
        try:
            number = schema_id(key)
            if number not in self._key_readers:
                self._key_readers[number] = self._prepared(number, KeyReader)
        except EnvelopeError:
            return None
        return self._key_readers[number]


def _check_keys(rows: Rows, key_reader: KeyReader | None) -> None:
    """Raise EnvelopeError if the key of a deleted row is a filler: it would name another row."""
    deleted = rows.operation == _DELETE
    if key_reader is None or not deleted.any():
        return
    names = {column.name for column in key_reader.columns}
    if (deleted & rows.keyless(names)).any():
        raise EnvelopeError(
            f"the source did not send the key of a deleted row ({', '.join(sorted(names))}); run"
            " ALTER TABLE ... REPLICA IDENTITY DEFAULT or FULL on its table"
        )


def _octets(chunk: Chunk) -> Octets:
    return Octets([value or b"" for value in chunk.values])


def _poison(place: Partition, chunk: Chunk, error: EnvelopeError) -> Poison:
    topic, number = place
    cause = EventError(f"event {topic}[{number}]@{chunk.offsets[0]} cannot be read: {error}")
    return Poison(topic, number, chunk.offsets[0], chunk.keys[0], chunk.values[0], cause)
