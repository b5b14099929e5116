"""What a sink that keeps the source's current rows cannot follow is refused, and says why."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.avro.kind import PLACEHOLDER, ColumnKind
from infra.platform.process.error import RefusedError
from infra.platform.sinks.batch import Batch
from infra.platform.sinks.iceberg.sink import IcebergSink, local_properties
from infra.platform.sinks.postgres.conversion import Conversion
from infra.platform.sinks.postgres.merge import effect
from infra.platform.sinks.postgres.plan import WritePlan
from tests.batches import Partition
from tests.change_events import Columns, Event

COLUMNS: Columns = {"id": ("long", False), "body": ("string", True)}
#: As Debezium writes UPDATE t SET id = 2 WHERE id = 1, where body is large.
KEY_UPDATED = Event("d", 1, None, (1, None)), Event("c", 2, (2, PLACEHOLDER))
CHANGED = Event("u", 2, (2, PLACEHOLDER))


def batch_of(*events: Event) -> Batch:
    return Partition(columns=COLUMNS).batch(list(events))


def reduce(batch: Batch) -> None:
    columns = batch.rows.columns
    assert [column.kind for column in columns] == [ColumnKind.INT64, ColumnKind.TEXT]
    values = {column.name: Conversion("") for column in columns}
    effect(batch, WritePlan(columns, values, columns[:1], frozenset({"id"}), False, ""), 0)


async def upsert(batch: Batch, directory: Path) -> int:
    """Write the batch; returns the number of incomplete rows."""
    sink = IcebergSink(local_properties(str(directory)), "test.rows", upsert=True)
    await sink.open()
    try:
        await sink.write(batch)
        await sink.flush()
    finally:
        await sink.close()
    return sink.incomplete_rows


@pytest.mark.parametrize("events", [KEY_UPDATED, KEY_UPDATED[1:], (*KEY_UPDATED, CHANGED)])
async def test_a_new_row_of_which_a_value_was_not_sent_is_refused(
    events: tuple[Event, ...], tmp_path: Path
) -> None:
    with pytest.raises(RefusedError, match="a new row without body: its key was updated"):
        reduce(batch_of(*events))
    with pytest.raises(RefusedError, match="a new row without body: its key was updated"):
        await upsert(batch_of(*events), tmp_path)


async def test_a_changed_row_of_which_a_value_was_not_sent_is_taken(tmp_path: Path) -> None:
    events = Event("c", 2, (2, "large")), CHANGED

    reduce(batch_of(*events))
    assert await upsert(batch_of(*events), tmp_path) == 0


@pytest.mark.parametrize(
    ("events", "incomplete"),
    [
        ([CHANGED], 1),
        ([CHANGED, CHANGED, Event("u", 3, (3, PLACEHOLDER))], 2),
        ([Event("c", 2, (2, "large")), Event("d", 2, None, (2, None)), CHANGED], 1),
        ([CHANGED, Event("d", 2, None, (2, None))], 0),
        ([CHANGED, Event("u", 2, (2, "large"))], 0),
        ([Event("d", 2, None, (2, None))], 0),
    ],
)
async def test_a_row_that_is_inserted_without_what_was_not_sent_is_counted(
    events: list[Event], incomplete: int, tmp_path: Path
) -> None:
    """An upserted Iceberg table does not have the row before."""
    assert await upsert(batch_of(*events), tmp_path) == incomplete
