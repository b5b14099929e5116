"""Turns messages of Debezium's Avro events into events by columns."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from cdc_users.measure.ledger.bitmap import Numbers
from cdc_users.measure.ledger.ledger import RowCheck
from cdc_users.observe.events.table import ObservedTable, observed_tables
from cdc_users.observe.settings import TapSettings
from cdc_users.observe.tap import Events, ObservedRecord, TapError
from infra.avro.key import KeyReader, key_ids, key_octets
from infra.avro.kind import UNAVAILABLE
from infra.avro.row import Rows
from infra.avro.row_reader import RowReader
from infra.client.registry import RegistryError, SchemaRegistry
from infra.schemas.envelope import EnvelopeError, schema_id

REGISTRY_S = 10.0
#: How long a schema that the registry lacks is not asked for again.
ABSENT_S = 1.0
#: Partitions of the n-th further topic are numbered from n times this.
TOPIC_PARTITIONS = 10_000
T = TypeVar("T")
_DELETE, _UPDATE = ord("d"), ord("u")


@dataclass(frozen=True, slots=True)
class KafkaMessage:
    """The parts of a Kafka message that a tap needs; `appended_us` is exact to the millisecond.

    `by_broker` says that the broker set the time when it took the message (LogAppendTime), not the
    producer.
    """

    partition: int
    offset: int
    key: bytes | None
    value: bytes
    appended_us: int
    by_broker: bool = True


class ForeignSchemaError(EnvelopeError):
    """The schema of a message is not in the registry, or is no Avro record: the message is not of
    this pipeline.
    """


@dataclass(slots=True)
class Schemas:
    """Readers by schema id, each fetched from the registry once."""

    url: str
    readers: dict[int, RowReader] = field(default_factory=dict)
    _keys: dict[int, KeyReader] = field(default_factory=dict)
    #: Schemas that the registry did not have, and when it is asked for them again.
    _absent: dict[int, float] = field(default_factory=dict)

    def key_reader(self, number: int) -> KeyReader:
        """A schema's reader of record keys; raises as `reader` does."""
        if number not in self._keys:
            self._keys[number] = self._prepared(number, KeyReader)
        return self._keys[number]

    def reader(self, number: int) -> RowReader:
        """A schema's reader; raises TapError if the registry does not answer, EnvelopeError if it
        lacks the schema, or if the schema is no envelope.
        """
        if number not in self.readers:
            self.readers[number] = self._prepared(number, RowReader)
        return self.readers[number]

    def _prepared(self, number: int, make: Callable[[Any], T]) -> T:
        schema = self.schema(number)
        try:
            return make(schema)
        except EnvelopeError:
            raise
        except (AttributeError, LookupError, TypeError, ValueError, RecursionError) as error:
            raise ForeignSchemaError(f"schema {number} is no Avro schema of a record") from error

    def schema(self, number: int) -> Any:
        """A registered schema; raises TapError if the registry does not answer, ForeignSchemaError
        if it lacks the schema.
        """
        if time.monotonic() >= self._absent.get(number, 0.0):
            schema = self._fetched(number)
            if schema is not None:
                return schema
            self._absent[number] = time.monotonic() + ABSENT_S
        raise ForeignSchemaError(f"schema {number} is not in the registry at {self.url}")

    def _fetched(self, number: int) -> Any:
        try:
            with SchemaRegistry(self.url, REGISTRY_S) as registry:
                return registry.schema(number)
        except RegistryError as error:
            raise TapError(f"schema {number} cannot be fetched: {error}") from error
        except ValueError as error:  # Protobuf
            raise ForeignSchemaError(f"schema {number} is no Avro schema") from error


class EnvelopeParser:
    """Turns messages of one partition into events by columns.

    A message that cannot be read is reported and left out.
    """

    def __init__(
        self,
        schemas: Schemas,
        record: ObservedRecord,
        settings: TapSettings,
    ) -> None:
        self._schemas = schemas
        self._record = record
        self._tables = observed_tables(settings)
        self._check_every = settings.check_every
        self._until_check = 0

    def parse(self, messages: Sequence[KafkaMessage], seen_us: int) -> list[Events]:
        """The events in order; in several parts if the schema changes within."""
        found: list[Events] = []
        for part in _by_schema(messages):
            try:
                found.append(self._events(part, seen_us))
            except EnvelopeError as error:
                if len(part) == 1:
                    place = f"partition {part[0].partition}, offset {part[0].offset}"
                    self._record.fail(f"an event cannot be read: {error} ({place})")
                else:
                    found += [
                        events for message in part for events in self.parse([message], seen_us)
                    ]
        return found

    def _events(self, messages: Sequence[KafkaMessage], seen_us: int) -> Events:
        reader = self._schemas.reader(schema_id(messages[0].value))
        rows = reader.read([message.value for message in messages])
        table = self._table(messages[0].partition)
        keys = self._keys(messages, table)
        deleted = rows.operation == _DELETE
        appended_us = np.array([message.appended_us for message in messages], dtype=np.int64)
        return Events(
            partition=messages[0].partition,
            positions=np.array([message.offset for message in messages], dtype=np.int64),
            keys=keys,
            probes=_probes(rows, deleted, table.probe),
            deleted=deleted,
            sizes=rows.sizes,
            committed_us=rows.committed_us,
            appended_us=appended_us,
            visible_us=appended_us if all(message.by_broker for message in messages) else None,
            seen_us=seen_us,
            checks=self._checks(rows, keys, deleted, table),
            others=_others(rows, table.probe),
        )

    def _table(self, partition: int) -> ObservedTable:
        """Each table has a topic of its own."""
        number = partition // TOPIC_PARTITIONS
        return self._tables[number if number < len(self._tables) else 0]

    def _keys(self, messages: Sequence[KafkaMessage], table: ObservedTable) -> Numbers:
        """The rows' keys as numbers. A key of a user's own table has the same number everywhere,
        whatever its type.
        """
        if not table.own:
            return key_ids(key_octets([message.key for message in messages]))
        return np.array([self._own_key(message, table) for message in messages], dtype=np.int64)

    def _own_key(self, message: KafkaMessage, table: ObservedTable) -> int:
        data = message.key or b""
        reader = self._schemas.key_reader(schema_id(data))
        values = dict(zip((c.name for c in reader.columns), reader.read(data), strict=True))
        return table.number_of({}, values)

    def _checks(
        self, rows: Rows, keys: Numbers, deleted: NDArray[np.bool_], table: ObservedTable
    ) -> NDArray[np.uint8] | None:
        """Check every n-th row."""
        if not self._check_every:
            return None
        sample = np.arange(self._until_check, len(rows), self._check_every)
        self._until_check = (self._until_check - len(rows)) % self._check_every
        checks = np.full(len(rows), RowCheck.SKIPPED, dtype=np.uint8)
        some = rows[sample]
        after, before = some.rows("after"), some.rows("before")
        names = [column.name for column in rows.columns]
        covered = _covered(rows, table)
        for place, new, old in zip(sample.tolist(), after, before, strict=True):
            row = old if deleted[place] else new
            by_name = {} if row is None else dict(zip(names, row, strict=True))
            if covered is None or (probe := by_name.get(table.probe)) is None:
                continue
            values = [by_name.get(name, UNAVAILABLE) for name in covered.kinds]
            checks[place] = covered.check(str(probe), int(keys[place]), values)
        return checks


def _covered(rows: Rows, table: ObservedTable) -> ObservedTable | None:
    """The table with the columns that the checksum covers; None if there is no probe.

    In `customers` any column behind the probe was added during the run, and no checksum covers it.
    """
    if table.own:
        return table
    names = [column.name for column in rows.columns]
    probe_at = names.index(table.probe) if table.probe in names else 0
    kinds = {column.name: column.kind for column in rows.columns[1:probe_at]}
    return replace(table, kinds=kinds) if probe_at > 0 else None


def _others(rows: Rows, probe: str) -> NDArray[np.bool_] | None:
    """Which updates have the same probe before and after."""
    updated = np.flatnonzero(rows.operation == _UPDATE)
    if not len(updated) or probe not in {column.name for column in rows.columns}:
        return None
    some = rows[updated]
    before, after = some.texts("before", probe), some.texts("after", probe)
    others = np.zeros(len(rows), dtype=np.bool_)
    others[updated] = [
        old is not None and old == new for old, new in zip(before, after, strict=True)
    ]
    return others


def _probes(rows: Rows, deleted: NDArray[np.bool_], probe: str) -> list[bytes]:
    if probe not in {column.name for column in rows.columns}:
        return [b""] * len(rows)
    begin, length = rows.spans("after", probe)
    if deleted.any():
        before_begin, before_length = rows.spans("before", probe)
        begin, length = (
            np.where(deleted, before_begin, begin),
            np.where(deleted, before_length, length),
        )
    return rows.octets.texts(begin, np.maximum(length, 0))


def _by_schema(messages: Sequence[KafkaMessage]) -> Iterable[Sequence[KafkaMessage]]:
    """Runs of consecutive messages with one schema."""
    start = 0
    for number in range(1, len(messages) + 1):
        if number == len(messages) or messages[number].value[:5] != messages[start].value[:5]:
            yield messages[start:number]
            start = number
