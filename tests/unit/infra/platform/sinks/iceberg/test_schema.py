"""What a table that is kept equal to its source does where columns change of which rows no event
tells.
"""

from __future__ import annotations

from collections.abc import Collection
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyiceberg.catalog import load_catalog

from infra.platform.process.error import ConfigError
from infra.platform.sinks.iceberg.schema import check_columns, narrowed
from infra.platform.sinks.iceberg.sink import CATALOG, IcebergSink, local_properties
from tests.batches import Partition
from tests.change_events import DECIMAL, Columns, Event

ID: Columns = {"id": ("long", False)}


@pytest.mark.parametrize(
    ("known", "coming", "lost"),
    [
        (pa.decimal128(12, 4), pa.decimal128(10, 2), True),
        (pa.decimal128(12, 2), pa.decimal128(10, 2), False),
        (pa.float64(), pa.float32(), True),
        (pa.float32(), pa.float64(), False),
        (pa.float64(), pa.int32(), True),
        (pa.decimal128(12, 4), pa.int64(), True),
        (pa.int64(), pa.int32(), False),
        (pa.timestamp("us"), pa.date32(), True),
        (pa.date32(), pa.timestamp("us"), False),
        (pa.string(), pa.int32(), True),
        (pa.string(), pa.large_string(), False),
        (pa.int32(), pa.string(), False),
    ],
)
def test_a_column_that_holds_less_than_before_is_known(known: Any, coming: Any, lost: bool) -> None:
    assert narrowed(pa.schema([("v", known)]), pa.schema([("v", coming)])) == ["v"] * lost


async def written(
    directory: Path,
    upsert: bool,
    *changes: tuple[Columns, tuple[Any, ...]],
    together: Collection[int] = (),
) -> list[dict[str, Any]]:
    """The table after a row by each of these schemas; those at `together` wait for the commit of
    the next.
    """
    properties = local_properties(str(directory))
    sink = IcebergSink(properties, "test.rows", upsert=upsert)
    await sink.open()
    try:
        for offset, (columns, row) in enumerate(changes):
            partition = Partition(columns={**ID, **columns})
            partition.offset = offset
            await sink.write(partition.batch([Event("c", row[0], row)]))
            if offset not in together:
                await sink.flush()
    finally:
        await sink.close()
    catalog = load_catalog(CATALOG, **properties)
    try:
        rows = catalog.load_table("test.rows").scan().to_arrow().to_pylist()
    finally:
        catalog.close()
    return sorted(rows, key=lambda row: int(row["id"]))


OLD: Columns = {"v": (DECIMAL | {"scale": 4}, True)}
NEW: Columns = {"v": (DECIMAL | {"scale": 2}, True)}


async def test_a_column_that_was_rounded_in_the_source_ends_an_upsert_by_name(
    tmp_path: Path,
) -> None:
    with pytest.raises(ConfigError, match=r"no longer hold what table test\.rows has in v"):
        await written(tmp_path, True, (OLD, (1, Decimal("1.2345"))), (NEW, (2, Decimal("1.23"))))


async def test_a_change_log_keeps_what_was(tmp_path: Path) -> None:
    rows = await written(
        tmp_path, False, (OLD, (1, Decimal("1.2345"))), (NEW, (2, Decimal("1.23")))
    )

    assert [row["v"] for row in rows] == [Decimal("1.2345"), Decimal("1.2300")]


async def test_rows_have_the_default_of_a_column_that_is_new(tmp_path: Path) -> None:
    """ADD COLUMN ... DEFAULT gives it to rows of which no event tells."""
    before: Columns = {"state": ("string", True)}
    after: Columns = {**before, "size": ("int", False, 7), "note": ("string", True)}
    rows = await written(
        tmp_path, True, (before, (1, "old")), (before, (2, "old")), (after, (2, "new", 8, "n"))
    )

    assert rows == [
        {"id": 1, "state": "old", "size": 7, "note": None},
        {"id": 2, "state": "new", "size": 8, "note": "n"},
    ]


@pytest.mark.parametrize("together", [(), (0,), (1,), (0, 1), (1, 2), (0, 1, 2), (0, 1, 2, 3)])
async def test_rows_of_events_that_lack_a_new_column_have_its_default_or_what_they_had(
    tmp_path: Path, together: tuple[int, ...]
) -> None:
    """Whatever is in one commit: events of the old columns, of a commit with those of the new ones
    or of a partition that is behind.
    """
    before: Columns = {"state": ("string", True)}
    after: Columns = {**before, "day": ("int", False, 7)}
    changes = (before, (1, "old")), (before, (2, "old")), (after, (3, "new", 8))
    late = (before, (3, "late")), (before, (4, "late"))
    rows = await written(tmp_path, True, *changes, *late, together=together)

    assert rows == [
        {"id": 1, "state": "old", "day": 7},
        {"id": 2, "state": "old", "day": 7},
        {"id": 3, "state": "late", "day": 8},
        {"id": 4, "state": "late", "day": 7},
    ]


async def test_a_column_that_may_have_another_name_ends_an_upsert(tmp_path: Path) -> None:
    before: Columns = {"state": ("string", True)}
    after: Columns = {"status": ("string", True)}
    with pytest.raises(ConfigError, match=r"may have renamed .* \(state to status\)"):
        await written(tmp_path, True, (before, (1, "old")), (after, (2, "new")))


@pytest.mark.parametrize("together", [(), (0, 1), (0, 1, 2)])
async def test_a_column_may_be_dropped_and_another_of_its_type_added_later(
    tmp_path: Path, together: tuple[int, ...]
) -> None:
    """Nothing was new when it was gone, so it was not renamed."""
    text = ("string", True)
    status: Columns = {"status": text}
    first, last = ({"state": text}, (1, "a")), ({**status, "state": text}, (4, "d", "e"))
    rows = await written(
        tmp_path, True, first, ({}, (2,)), (status, (3, "c")), last, together=together
    )

    assert rows == [
        {"id": 1, "state": "a", "status": None},
        {"id": 2, "state": None, "status": None},
        {"id": 3, "state": None, "status": "c"},
        {"id": 4, "state": "e", "status": "d"},
    ]


async def test_a_dropped_column_is_known_after_a_restart(tmp_path: Path) -> None:
    text = ("string", True)
    await written(tmp_path, True, ({"state": text}, (1, "a")), ({}, (2,)))
    partition = Partition(columns={**ID, "status": text})
    partition.offset = 2
    batch = partition.batch([Event("c", 3, (3, "c"))])
    sink = IcebergSink(local_properties(str(tmp_path)), "test.rows", upsert=True)
    await sink.open()
    try:
        assert await sink.positions([batch.place]) == {batch.place: 2}
        await sink.write(batch)
        await sink.flush()
        assert await sink.positions([batch.place]) == {batch.place: 3}
    finally:
        await sink.close()


def test_a_dropped_column_is_known_until_the_source_has_it_again() -> None:
    both = pa.schema({"id": pa.int64(), "state": pa.string()})
    one = pa.schema({"id": pa.int64()})
    dropped = check_columns("t", both, one, frozenset(), ordered=True)

    assert dropped == {"state"}
    assert check_columns("t", both, both, dropped, ordered=True) == frozenset()
    assert check_columns("t", both, one, frozenset(), ordered=False) == frozenset()
    other = pa.schema({"id": pa.int64(), "status": pa.string()})
    assert check_columns("t", both, other, dropped, ordered=True) == {"state"}
    with pytest.raises(ConfigError, match="may have renamed"):
        check_columns("t", both, other, frozenset(), ordered=True)


async def test_a_column_that_is_gone_and_another_kind_of_column_that_is_new_are_followed(
    tmp_path: Path,
) -> None:
    before: Columns = {"state": ("string", True)}
    after: Columns = {"size": ("int", True)}
    rows = await written(tmp_path, True, (before, (1, "old")), (after, (2, 8)))

    assert rows == [
        {"id": 1, "state": "old", "size": None},
        {"id": 2, "state": None, "size": 8},
    ]
