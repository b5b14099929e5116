"""Debezium's envelopes become events by columns; what cannot be read is reported and left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from cdc_users.measure.ledger.key import key_of_columns
from cdc_users.measure.ledger.ledger import RowCheck
from cdc_users.measure.ledger.probe import PROBE_BYTES
from cdc_users.observe.events.envelope import (
    TOPIC_PARTITIONS,
    EnvelopeParser,
    KafkaMessage,
    Schemas,
)
from cdc_users.observe.settings import OwnTableSettings, TapSettings, TopicSettings
from cdc_users.observe.tap import Events, ObservedRecord, TapError
from infra.avro.row_reader import RowReader
from infra.schemas.envelope import EnvelopeError
from tests.change_events import (
    CUSTOMERS,
    RUN,
    Encoder,
    Event,
    customer,
    envelope_schema,
    key_schema,
)
from tests.unit.infra.client.test_registry import saying, serving

SEEN_US = 1_000_000
NAMESPACE = "cdc.test.customers"


class KnownSchemas(Schemas):
    """A registry of one table's schemas."""

    def schema(self, number: int) -> object:
        return {1: envelope_schema(CUSTOMERS, NAMESPACE), 2: key_schema(NAMESPACE)}[number]


def parser(settings: TapSettings | None = None) -> tuple[EnvelopeParser, ObservedRecord]:
    record = ObservedRecord(RUN)
    known = settings or TopicSettings(
        name="topic", bootstrap="", topics=("t",), schema_registry_url="", check_every=1
    )
    return EnvelopeParser(KnownSchemas(""), record, known), record


def messages(events: Sequence[Event], partition: int = 0) -> list[KafkaMessage]:
    encoder = Encoder()
    return [
        KafkaMessage(partition, offset, encoder.key(event), encoder.value(event) or b"", 5_000)
        for offset, event in enumerate(events)
    ]


def insert(key: int) -> Event:
    return Event("c", key, customer(key))


def only(found: Sequence[Events]) -> Events:
    (events,) = found
    return events


def test_events_have_what_their_messages_say() -> None:
    parse, record = parser()
    rows = [customer(1), customer(2)]
    sent = messages([Event("c", row[0], row) for row in rows], partition=3)
    events = only(parse.parse(sent, SEEN_US))

    assert events.partition == 3
    assert events.positions.tolist() == [0, 1]
    assert events.keys.tolist() == [1, 2]
    assert events.probes == [row[-1].encode() for row in rows]
    assert events.appended_us is not None
    assert events.appended_us.tolist() == [5_000, 5_000]
    assert events.checks is not None
    assert set(events.checks.tolist()) == {RowCheck.GOOD}
    assert record.errors == []


def test_a_deletes_probe_is_that_of_the_row_before() -> None:
    gone = customer(1, sequence=1, op="s")
    parse, _ = parser()
    events = only(parse.parse(messages([Event("d", 1, None, gone), insert(2)]), SEEN_US))

    assert events.deleted.tolist() == [True, False]
    assert events.probes[0] == gone[-1].encode()
    assert events.others is None


def test_an_update_that_leaves_the_probe_alone_is_somebody_elses() -> None:
    """Where the old row was not sent nothing is known."""
    own, foreign = customer(1, version=2), customer(2)
    parse, _ = parser()
    events = only(
        parse.parse(
            messages(
                [
                    Event("u", 1, own, customer(1)),
                    Event("u", 2, foreign, foreign),
                    insert(3),
                    Event("u", 4, customer(4, version=2)),
                ]
            ),
            SEEN_US,
        )
    )

    assert events.others is not None
    assert events.others.tolist() == [False, True, False, False]


def test_a_row_that_was_changed_on_its_way_is_corrupt() -> None:
    row = list(customer(1))
    row[1] = "somebody else"
    parse, _ = parser()
    events = only(parse.parse(messages([insert(2), Event("c", 1, tuple(row))]), SEEN_US))

    assert events.checks is not None
    assert events.checks.tolist() == [RowCheck.GOOD, RowCheck.CORRUPT]


@pytest.mark.parametrize(("every", "checked"), [(0, 0), (1, 7), (3, 3), (7, 1), (100, 1)])
def test_every_so_manieth_row_is_checked_whatever_the_batches_are(every: int, checked: int) -> None:
    """GIVEN seven rows THEN as many are checked one by one as all at once."""
    settings = TopicSettings(
        name="topic", bootstrap="", topics=("t",), schema_registry_url="", check_every=every
    )
    for size in (1, 2, 7):
        parse, _ = parser(settings)
        rows = messages([insert(key) for key in range(1, 8)])
        found = [
            events
            for first in range(0, len(rows), size)
            for events in parse.parse(rows[first : first + size], SEEN_US)
        ]
        looked_at = [
            check
            for events in found
            for check in ([] if events.checks is None else events.checks.tolist())
            if check != RowCheck.SKIPPED
        ]

        assert looked_at == [RowCheck.GOOD] * checked


def test_a_message_that_cannot_be_read_is_named_and_those_beside_it_count() -> None:
    parse, record = parser()
    good = messages([insert(1), insert(2), insert(3)])
    good[1] = replace(good[1], value=good[1].value[:-3])

    found = parse.parse(good, SEEN_US)

    assert [key for events in found for key in events.keys.tolist()] == [1, 3]
    (error,) = record.errors
    assert error.startswith("an event cannot be read: ")
    assert error.endswith("(partition 0, offset 1)")


def test_a_message_of_no_schema_is_named_too() -> None:
    parse, record = parser()

    assert parse.parse([KafkaMessage(2, 9, None, b"plain text", 0)], SEEN_US) == []
    assert record.errors[0].endswith("(partition 2, offset 9)")


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (404, b'{"error_code": 40403, "message": "Schema not found"}', "is not in the registry at"),
        (200, b'{"schema": "syntax = \\"proto3\\";", "schemaType": "PROTOBUF"}', "no Avro schema"),
        (200, b'{"schema": "\\"string\\""}', "is no Avro schema of a record"),
        (200, b'{"schema": "{\\"properties\\": {}}", "schemaType": "JSON"}', "no Avro schema"),
    ],
)
def test_a_foreign_message_with_a_zero_in_front_is_named_and_those_beside_it_count(
    status: int, body: bytes, reason: str
) -> None:
    record = ObservedRecord(RUN)
    settings = TopicSettings(name="t", bootstrap="", topics=("t",), schema_registry_url="")
    good = messages([insert(1), insert(2), insert(3)])
    good[1] = replace(good[1], value=b"\0text of somebody else")
    with serving(saying(status, body)) as (url, asked):
        known = RowReader(envelope_schema(CUSTOMERS, NAMESPACE))
        parse = EnvelopeParser(Schemas(url, {1: known}), record, settings)
        found = parse.parse(good, SEEN_US)
        parse.parse([good[1]] * 3, SEEN_US)

    assert [key for events in found for key in events.keys.tolist()] == [1, 3]
    assert record.failed == 4
    assert reason in record.errors[0]
    assert record.errors[0].endswith("(partition 0, offset 1)")
    assert status == 200 or len(asked) < record.failed  # it is not asked again at once


def test_producers_times_are_not_taken_for_the_brokers() -> None:
    parse, _ = parser()
    (one,) = messages([insert(1)])

    assert only(parse.parse([one], SEEN_US)).visible_us is not None
    assert only(parse.parse([replace(one, by_broker=False)], SEEN_US)).visible_us is None


def test_the_users_own_tables_are_told_by_their_topics() -> None:
    """Keys have the number of their columns, and each table has its probe where it says."""
    own = OwnTableSettings(table="shop.t", key=("id",), probe="probe", columns=(("id", "int64"),))
    other = OwnTableSettings(table="shop.u", key=("id",), probe="email", columns=())
    settings = TopicSettings(
        name="topic", bootstrap="", topics=("t", "u"), schema_registry_url="", own=(own, other)
    )
    parse, _ = parser(settings)
    first = only(parse.parse(messages([insert(7)]), SEEN_US))
    second = only(parse.parse(messages([insert(7)], partition=TOPIC_PARTITIONS), SEEN_US))

    assert first.keys.tolist() == second.keys.tolist() == [key_of_columns([7])]
    assert len(first.probes[0]) == PROBE_BYTES
    assert second.probes == [b"c7@example.test"]


def test_a_schema_is_read_once_and_one_that_is_none_is_refused() -> None:
    schemas = KnownSchemas("")

    assert isinstance(schemas.reader(1), RowReader)
    assert schemas.reader(1) is schemas.reader(1)
    assert schemas.key_reader(2) is schemas.key_reader(2)
    with pytest.raises(EnvelopeError, match="is no Debezium envelope"):
        schemas.reader(2)


def test_a_registry_that_is_away_is_named() -> None:
    with pytest.raises(TapError, match="schema 5 cannot be fetched"):
        Schemas("http://127.0.0.1:1").reader(5)
