"""A table of somebody else's is looked at before the first event, column by column."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyiceberg.catalog import load_catalog
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.table.sorting import SortField, SortOrder
from pyiceberg.transforms import BucketTransform, IdentityTransform, Transform
from pyiceberg.types import ListType, LongType, NestedField, StringType

from infra.platform.process.error import RefusedError, TableRefusedError
from infra.platform.sinks.iceberg.sink import CATALOG, IcebergSink, local_properties
from tests.batches import Partition
from tests.change_events import Event

PLACE = ("test", 0)
COLUMNS = {"id": ("long", False), "state": ("string", True)}
ID = NestedField(1, "id", LongType(), required=True)
STATE = NestedField(2, "state", StringType())
Rows = Callable[[], list[dict[str, object]]]


class Given:
    """A table that others have made, and the sink on it."""

    def __init__(self, directory: Path, upsert: bool = True) -> None:
        self.properties = local_properties(str(directory))
        self.partition = Partition(columns=COLUMNS)
        self._upsert = upsert

    def make(
        self, *fields: NestedField, transform: Transform[Any, Any] | None = None, source: int = 2
    ) -> None:
        catalog = load_catalog(CATALOG, **self.properties)
        catalog.create_namespace("test")
        spec = (
            PartitionSpec(PartitionField(source, 1000, transform, "part"))
            if transform is not None
            else PartitionSpec()
        )
        order = SortOrder(SortField(1))
        catalog.create_table("test.rows", Schema(*fields), partition_spec=spec, sort_order=order)
        catalog.close()

    async def put(self, *events: Event) -> list[dict[str, object]]:
        sink = IcebergSink(self.properties, "test.rows", upsert=self._upsert)
        await sink.open()
        try:
            await sink.positions([PLACE])
            for event in events:
                await sink.write(self.partition.batch([event]))
                await sink.flush()
        finally:
            await sink.close()
        catalog = load_catalog(CATALOG, **self.properties)
        try:
            found: list[dict[str, object]] = (
                catalog.load_table("test.rows").scan().to_arrow().sort_by("id").to_pylist()
            )
            return found
        finally:
            catalog.close()


@pytest.fixture
def given(tmp_path: Path) -> Given:
    return Given(tmp_path)


async def test_a_table_partitioned_by_a_column_is_kept_equal_to_the_source(given: Given) -> None:
    given.make(ID, STATE, transform=IdentityTransform())

    rows = await given.put(
        Event("c", 1, (1, "new")),
        Event("c", 2, (2, None)),
        Event("u", 1, (1, "paid"), (1, "new")),
        Event("d", 2, None, (2, None)),
        Event("c", 3, (3, "new")),
    )

    assert rows == [{"id": 1, "state": "paid"}, {"id": 3, "state": "new"}]


async def test_every_reason_is_told_before_the_first_event(given: Given) -> None:
    given.make(
        ID,
        NestedField(2, "state", ListType(5, StringType())),
        NestedField(3, "region", StringType(), required=True),
        transform=BucketTransform(4),
        source=1,
    )

    with pytest.raises(TableRefusedError) as refused:
        await given.put(Event("c", 1, (1, None)))

    said = str(refused.value)
    assert "partitioned by bucket[4] of id" in said
    assert "column state is list<string>" in said
    assert "column region may not be NULL, and the events lack it" in said


async def test_a_column_that_is_missing_is_told_at_once(given: Given) -> None:
    given.make(ID)

    with pytest.raises(TableRefusedError, match="it has no column state"):
        await given.put(Event("c", 1, (1, "new")))


async def test_an_event_that_lacks_what_the_table_requires_is_refused_alone(given: Given) -> None:
    given.make(ID, NestedField(2, "state", StringType(), required=True))

    with pytest.raises(RefusedError, match=r"column 'state' .* may not be NULL"):
        await given.put(Event("c", 1, (1, None)))

    # A delete writes no row.
    assert await given.put(Event("d", 1, None, (1, None)), Event("c", 2, (2, "new"))) == [
        {"id": 2, "state": "new"}
    ]


async def test_rows_whose_key_is_null_are_refused_since_all_of_them_would_be_one(
    tmp_path: Path,
) -> None:
    """Debezium takes a unique index for the key of a table without one, also where it has NULLs."""
    given = Given(tmp_path)
    columns = {"id": ("long", True), "state": ("string", True)}
    given.partition = Partition(columns=columns, key={"id": ("long", True)})

    with pytest.raises(RefusedError, match="id is NULL"):
        await given.put(Event("c", 1, (None, "one")), Event("c", 1, (None, "another")))


async def test_a_column_that_the_events_lack_keeps_what_others_wrote_there(given: Given) -> None:
    note = NestedField(3, "note", StringType())
    given.make(ID, STATE, note)
    await given.put(Event("c", 1, (1, "new")))
    catalog = load_catalog(CATALOG, **given.properties)
    table = catalog.load_table("test.rows")
    row = {"id": 1, "state": "new", "note": "by hand"}
    table.overwrite(pa.Table.from_pylist([row], schema=table.schema().as_arrow()))
    catalog.close()

    rows = await given.put(Event("u", 1, (1, "changed")), Event("c", 2, (2, "new")))

    assert [(row["id"], row["state"], row["note"]) for row in rows] == [
        (1, "changed", "by hand"),
        (2, "new", None),
    ]


@pytest.mark.parametrize("name", ["cdc_not_sent", "cdc_deleted"])
async def test_a_column_with_a_name_of_the_sinks_own_is_refused_and_not_left_out(
    tmp_path: Path, name: str
) -> None:
    columns = {"id": ("long", False), name: ("string", True)}
    sink = IcebergSink(local_properties(str(tmp_path)), "test.rows", upsert=True)
    await sink.open()
    try:
        with pytest.raises(TableRefusedError, match=f"has a column {name}, a name that the sink"):
            await sink.write(Partition(columns=columns).batch([Event("c", 1, (1, "a"))]))
    finally:
        await sink.close()


async def test_a_key_that_is_no_number_is_refused_alone(tmp_path: Path) -> None:
    columns = {"id": ("double", False), "state": ("string", True)}
    sink = IcebergSink(local_properties(str(tmp_path)), "test.rows", upsert=True)
    partition = Partition(columns=columns, key={"id": ("double", False)})
    await sink.open()
    try:
        await sink.write(partition.batch([Event("c", 1, (1.5, "new"))]))
        with pytest.raises(RefusedError, match="NaN in its key"):
            await sink.write(partition.batch([Event("c", 2, (float("nan"), "new"))]))
        await sink.flush()
    finally:
        await sink.close()
