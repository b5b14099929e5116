"""Cloud transports: hashing, naming, serialising, publishing, and all of it in a row; beside plain
implementations.

The services are in memory and behave like the real ones (cloud.py); a publisher's time ends when
its `flush` says that everything is durable. Run by `make bench-micro`, or by itself; no server is
needed.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from itertools import chain
from typing import Any

import pytest

from infra.platform.transports.kinesis import KinesisWalPublisher, partition_key
from infra.platform.transports.naming import KAFKA, KINESIS, PUBSUB
from infra.platform.transports.partition import PARTITIONS, partition, partitions
from infra.platform.transports.pubsub import PubSubWalPublisher
from infra.platform.transports.transport import Record
from infra.platform.wal.serialise.change_avro import ChangeAvro, Registered
from infra.platform.wal.serialise.change_json import ChangeJson
from infra.platform.wal.serialise.commit_source import CommitSource
from infra.platform.wal.serialise.json_form import JsonRecord as Change
from infra.replication.pgoutput.assembler import TransactionAssembler
from infra.schemas.debezium import customers_schemas
from infra.schemas.envelope import HEADER
from tests.benchmark import baseline
from tests.benchmark.cloud import MemoryKinesis, MemoryPubSub
from tests.benchmark.micro import Measure, Work, measure, micro_report
from tests.benchmark.stream import CHUNK, Stream, enlarge

__all__ = ["measure", "micro_report"]

pytestmark = pytest.mark.micro

#: The 99.9th percentile of the chi-square distribution with 15 degrees of freedom.
CHI_SQUARE_LIMIT = 37.70
STREAM = "cdc.public.customers"
KEYS = {
    ("public", table): ("id",)
    for table in ("customers", "documents", "notes", *(f"shop_{n}" for n in range(5)))
}
#: Kinesis refuses single records; a fault of Pub/Sub costs all that is under way on the key.
KINESIS_FAULT_EVERY, PUBSUB_FAULT_EVERY = 100, 2_000
CONSTANT = {
    "version": "3.6.3.Final",
    "connector": "postgresql",
    "name": "cdc",
    "snapshot": "false",
    "db": "postgres",
}
Part = tuple[CommitSource, Sequence[bytes]]


@cache
def stream(name: str, changes: int) -> Stream:
    return enlarge(name, changes)


@cache
def parts(name: str, changes: int) -> list[list[Part]]:
    """A stream's transactions in lists of about a chunk's size, as the pump hands them to the
    serialiser.
    """
    assembler = TransactionAssembler()
    listed: list[list[Part]] = [[]]
    count = 0
    for message in chain.from_iterable(stream(name, changes).chunks):
        transaction = assembler.feed(message)
        if transaction is not None:
            with transaction:
                source = CommitSource(
                    transaction.commit_lsn, transaction.commit_us, transaction.xid
                )
                messages = list(chain.from_iterable(transaction.chunks()))
            listed[-1].append((source, messages))
            count += len(messages)
            if count >= CHUNK:
                listed.append([])
                count = 0
    if count == 0:
        listed.pop()
    return listed


def size(listed: list[list[Part]]) -> tuple[int, int]:
    """Changes and bytes."""
    messages = [
        message for group in listed for _, part in group for message in part if message[:1] != b"R"
    ]
    return len(messages), sum(map(len, messages))


# --- hashing


@cache
def keys(count: int) -> list[bytes]:
    return [b"%d" % (1_000_000 + 7 * number) for number in range(count)]


@pytest.mark.parametrize("count", [100_000, 500_000, 1_000_000])
def test_keys_are_spread_over_virtual_partitions(measure: Measure, count: int) -> None:
    listed = keys(count)
    placed = partitions(listed)
    sample = random.Random(1).sample(range(count), 10_000)
    assert [placed[at] for at in sample] == baseline.partitions(
        [listed[at] for at in sample], PARTITIONS
    )
    expected = count / PARTITIONS
    chi_square = sum(
        (placed.count(number) - expected) ** 2 / expected for number in range(PARTITIONS)
    )
    assert chi_square < CHI_SQUARE_LIMIT

    work = Work(f"hash-{count}-keys", count, sum(map(len, listed)))
    measure(work, lambda: partitions(listed), lambda: baseline.partitions(listed, PARTITIONS))


# --- naming


@pytest.mark.parametrize("service", [KAFKA, KINESIS, PUBSUB], ids=lambda service: service.service)
def test_names_go_there_and_back(measure: Measure, service: Any) -> None:
    tables = [("public", f"order_items_{number}") for number in range(900)]
    tables += [("Sales.EU", f"invoice-{number} ü") for number in range(100)]

    def there_and_back() -> list[tuple[str, str]]:
        named = [service.name("cdc", schema, table) for schema, table in tables]
        read = map(service.table, named)
        return [(table.schema, table.table) for table in read]

    def plainly() -> list[tuple[str, str]]:
        named = [baseline.name("cdc", schema, table) for schema, table in tables]
        return [baseline.table(name)[1:] for name in named]

    assert there_and_back() == plainly() == tables
    measure(Work(f"naming-{service.service}", len(tables)), there_and_back, plainly)


# --- serialising


def as_json(listed: list[list[Part]]) -> Iterator[list[Change]]:
    serialiser = ChangeJson(lambda relation: KEYS[relation.schema, relation.table])
    for group in listed:
        yield from serialiser.serialise_parts(group)


def as_json_plainly(listed: list[list[Part]]) -> Iterator[list[tuple[bytes, bytes]]]:
    """Each transaction's keys and JSON."""
    decoder = baseline.Decoder()
    for source, messages in chain.from_iterable(listed):
        events = [decoder.decode(message) for message in messages]
        changes = [event for event in events if not isinstance(event, baseline.Relation)]
        yield [
            (plain_key(change), baseline.change_json(change, source.fields())) for change in changes
        ]


def plain_key(change: Any) -> bytes:
    row = getattr(change, "after", None) or getattr(change, "before", None) or change.key
    return str(row[0]).encode()


def count(listed: Iterable[Sequence[Any]]) -> int:
    return sum(map(len, listed))


JSON_CASES = {
    "json-small": ("interleaved", 20_000, 8),
    "json-medium": ("insert", 20_000, 8),
    "json-large-10KB": ("large", 1_000, None),
    "json-mixed": ("mixed", 10_000, None),
    "json-quotes-and-newlines": ("quoted", 10_000, None),
}


@pytest.mark.parametrize("case", JSON_CASES)
def test_changes_become_json(measure: Measure, case: str) -> None:
    name, changes, goal = JSON_CASES[case]
    listed = parts(name, changes)
    written = [(change.key, change.value) for change in chain.from_iterable(as_json(listed))]
    assert written == list(chain.from_iterable(as_json_plainly(listed)))
    messages, octets = size(listed)
    assert len(written) == messages == changes

    work = Work(case, messages, octets, goal)
    measure(work, lambda: count(as_json(listed)), lambda: count(as_json_plainly(listed)))


def test_changes_become_avro(measure: Measure) -> None:
    listed = parts("insert", 10_000)
    schemas = customers_schemas(STREAM)

    def ours() -> Iterator[list[bytes]]:
        serialiser = ChangeAvro(lambda _: Registered(schemas, 1, 2), "cdc", "postgres")
        return (
            serialiser.serialise(source, messages)
            for source, messages in chain.from_iterable(listed)
        )

    def plain() -> Iterator[list[bytes]]:
        decoder = baseline.Decoder()
        writer = baseline.AvroWriter(dict(schemas.value), HEADER.pack(0, 2), CONSTANT)
        for source, messages in chain.from_iterable(listed):
            events = [decoder.decode(message) for message in messages]
            inserts = [event for event in events if isinstance(event, baseline.Insert)]
            yield [writer.write(event, source.fields()) for event in inserts]

    assert list(chain.from_iterable(ours())) == list(chain.from_iterable(plain()))
    measure(
        Work("avro-medium", *size(listed), goal=6), lambda: count(ours()), lambda: count(plain())
    )


# --- publishing


@cache
def records(changes: int) -> list[list[Record]]:
    return [
        [Record(STREAM, change.key, change.value) for change in transaction]
        for transaction in as_json(parts("insert", changes))
    ]


def per_key(taken: Iterable[tuple[str, bytes]]) -> dict[str, list[bytes]]:
    """What arrived, in order, by partition or ordering key."""
    arrived: dict[str, list[bytes]] = {}
    for key, data in taken:
        arrived.setdefault(key, []).append(data)
    return arrived


def by_kinesis(listed: list[list[Record]]) -> MemoryKinesis:
    service = MemoryKinesis(KINESIS_FAULT_EVERY)
    publisher = KinesisWalPublisher(service, sleep=lambda _: None)
    for batch in listed:
        publisher.publish(batch)
    publisher.flush()
    return service


def by_kinesis_plainly(listed: list[list[Record]]) -> MemoryKinesis:
    """One record a call, again until it is taken."""
    service = MemoryKinesis(KINESIS_FAULT_EVERY)
    for record in chain.from_iterable(listed):
        while "ErrorCode" in service.put_record(
            StreamName=record.stream, Data=record.data, PartitionKey=partition_key(record.key)
        ):
            continue
    return service


def by_pubsub(listed: list[list[Record]]) -> MemoryPubSub:
    service = MemoryPubSub(PUBSUB_FAULT_EVERY)
    publisher = PubSubWalPublisher(service, "project", sleep=lambda _: None)
    for batch in listed:
        publisher.publish(batch)
    publisher.flush()
    return service


def by_pubsub_plainly(listed: list[list[Record]]) -> MemoryPubSub:
    """One message at a time, each waited for."""
    service = MemoryPubSub(PUBSUB_FAULT_EVERY)
    for record in chain.from_iterable(listed):
        key = f"{partition(record.key):02d}"
        while True:
            try:
                service.publish(
                    f"projects/project/topics/{record.stream}", record.data, key
                ).result()
                break
            except Exception:  # noqa: BLE001 - whatever it is, the key is paused now
                service.resume_publish(f"projects/project/topics/{record.stream}", key)
    return service


PUBLISHERS: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "kinesis": (by_kinesis, by_kinesis_plainly),
    "pubsub": (by_pubsub, by_pubsub_plainly),
}


@pytest.mark.parametrize("service", PUBLISHERS)
def test_records_are_published_durably_and_in_order(measure: Measure, service: str) -> None:
    publish, plainly = PUBLISHERS[service]
    listed = records(20_000)
    # Every key a second time, changed, so that order within a key can be seen.
    listed = [
        *listed,
        *([Record(STREAM, record.key, record.data + b" ") for record in batch] for batch in listed),
    ]
    service_after = publish(listed)
    assert per_key(service_after.taken) == per_key(plainly(listed).taken)
    if isinstance(service_after, MemoryKinesis):
        assert service_after.calls < 0.01 * len(service_after.taken)

    octets = sum(len(record.data) for batch in listed for record in batch)
    measure(
        Work(f"publish-{service}", count(listed), octets),
        lambda: publish(listed),
        lambda: plainly(listed),
    )


@pytest.mark.parametrize("service", PUBLISHERS)
def test_decoding_serialising_and_publishing_go_together(measure: Measure, service: str) -> None:
    publish, plainly = PUBLISHERS[service]
    listed = parts("insert", 20_000)

    def ours() -> Any:
        return publish(
            [
                [Record(STREAM, change.key, change.value) for change in transaction]
                for transaction in as_json(listed)
            ]
        )

    def plain() -> Any:
        return plainly(
            [
                [Record(STREAM, key, value) for key, value in transaction]
                for transaction in as_json_plainly(listed)
            ]
        )

    arrived = ours().taken
    assert len(arrived) == 20_000
    assert per_key(arrived) == per_key(plain().taken)
    assert checksum(data for _, data in arrived) == checksum(
        change.data for change in chain.from_iterable(records(20_000))
    )
    measure(Work(f"decode-json-publish-{service}", *size(listed)), ours, plain)


def checksum(listed: Iterable[bytes]) -> int:
    """One number over all, whatever their order."""
    return sum(map(zlib.crc32, listed))
