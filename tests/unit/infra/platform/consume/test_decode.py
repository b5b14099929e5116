"""Messages of a partition become batches of one schema each, of rows and of keys."""

from __future__ import annotations

from infra.platform.consume.decode import Decoder
from infra.platform.sinks.batch import Batch, Chunk
from tests.change_events import Columns, Encoder, Event, envelope_schema, key_schema

COLUMNS: Columns = {"tenant": ("long", False), "id": ("long", False)}


def test_a_key_that_changes_alone_begins_a_batch_of_its_own() -> None:
    narrow, wide = Encoder(COLUMNS), Encoder(COLUMNS, key_id=3, key_columns=COLUMNS)
    decoder = Decoder()
    decoder.learn(1, envelope_schema(COLUMNS, narrow.namespace))
    decoder.learn(2, key_schema(narrow.namespace))
    decoder.learn(3, key_schema(narrow.namespace, COLUMNS))
    events = [Event("c", key, (7, key)) for key in range(5)]
    encoders = [narrow, narrow, wide, wide, narrow]
    keys = [each.key(event) for each, event in zip(encoders, events, strict=True)]
    values = [narrow.value(event) for event in events]

    found = decoder.read(("t", 0), Chunk(values, [*keys[:4], None], range(5), [0] * 5, [0] * 5))

    batches = [batch for batch in found if isinstance(batch, Batch)]
    assert [len(batch) for batch in batches] == [2, 2, 1]
    readers = [batch.key_reader for batch in batches]
    assert [
        None if reader is None else [column.name for column in reader.columns] for reader in readers
    ] == [["id"], ["tenant", "id"], None]
    assert [batch.end for batch in batches] == [2, 4, 5]
