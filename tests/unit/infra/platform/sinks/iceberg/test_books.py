"""The sink's own positions survive whatever others do to the table: nothing doubled, nothing lost
in silence.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pyiceberg.catalog import load_catalog
from pyiceberg.table import Table

from infra.platform.process.error import ConfigError, RefusedError, RetryableError
from infra.platform.sinks.iceberg.books import OFFSETS_TAG, books_of
from infra.platform.sinks.iceberg.sink import CATALOG, IcebergSink, local_properties
from tests.batches import Partition
from tests.change_events import Event, inserts

PLACE = ("test", 0)
COLUMNS = {"tenant": ("long", False), "id": ("long", False), "state": ("string", True)}
BOTH = {"tenant": ("long", False), "id": ("long", False)}


class Life:
    """Lives of the platform's sink on one warehouse, and the table as others see it."""

    def __init__(self, directory: Path, upsert: bool = False) -> None:
        self.properties = local_properties(str(directory))
        self.partition = Partition()
        self._upsert = upsert

    async def sink(self) -> IcebergSink:
        made = IcebergSink(self.properties, "test.rows", upsert=self._upsert)
        await made.open()
        await made.identify({"test": "one"})
        await made.positions([PLACE])
        return made

    async def write(self, sink: IcebergSink, count: int, first: int = 1) -> None:
        await sink.write(self.partition.batch(list(inserts(count, first=first))))
        await sink.flush()

    @contextmanager
    def table(self) -> Iterator[Table]:
        catalog = load_catalog(CATALOG, **self.properties)
        try:
            yield catalog.load_table("test.rows")
        finally:
            catalog.close()

    def count(self) -> int:
        with self.table() as table:
            return int(table.scan().to_arrow().num_rows)

    def snapshots(self) -> list[int]:
        with self.table() as table:
            return [snapshot.snapshot_id for snapshot in table.snapshots()]


@pytest.fixture
def life(tmp_path: Path) -> Life:
    return Life(tmp_path)


def expire(table: Table) -> None:
    """All snapshots but the current one."""
    current = table.current_snapshot()
    assert current is not None
    others = [one.snapshot_id for one in table.snapshots() if one != current]
    table.maintenance.expire_snapshots().by_ids(others).commit()


def compact(table: Table) -> None:
    """All rows into new files, as another engine would, without a word of ours in the summary."""
    table.overwrite(table.scan().to_arrow())


def foreign_rows(table: Table) -> None:
    table.append(table.scan(limit=1).to_arrow())


@pytest.mark.parametrize("upsert", [False, True])
@pytest.mark.parametrize(
    "acts",
    [(expire,), (compact,), (compact, expire), (expire, compact, expire), (compact, compact)],
)
async def test_positions_outlive_maintenance_so_that_nothing_is_written_twice(
    tmp_path: Path, acts: tuple[Callable[[Table], None], ...], upsert: bool
) -> None:
    life = Life(tmp_path, upsert)
    first = await life.sink()
    await life.write(first, 3)
    await life.write(first, 3, first=4)
    await first.close()
    for act in acts:
        with life.table() as table:
            act(table)

    second = await life.sink()
    known = await second.positions([PLACE])
    life.partition.offset = 0
    await life.write(second, 6)
    await second.close()

    assert known == {PLACE: 6}
    assert life.count() == 6


async def test_maintenance_under_a_running_sink_changes_nothing_either(life: Life) -> None:
    sink = await life.sink()
    await life.write(sink, 3)
    with life.table() as table:
        compact(table)
    with life.table() as table:
        expire(table)
    await life.write(sink, 3, first=4)
    await sink.close()

    assert life.count() == 6


async def test_a_commit_whose_answer_was_lost_is_known_even_when_its_snapshot_is_gone(
    life: Life,
) -> None:
    sink = _LosesAnswers(life.properties, "test.rows")
    await sink.open()
    await sink.positions([PLACE])
    await sink.write(life.partition.batch(list(inserts(3))))
    with pytest.raises(RetryableError):
        await sink.flush()
    with life.table() as table:
        compact(table)
    with life.table() as table:
        expire(table)
    await sink.flush()
    await sink.close()

    assert life.count() == 3


class _LosesAnswers(IcebergSink):
    """Its first commit comes through without its knowing."""

    lost = False

    def _commit(self, *commit: Any) -> None:
        super()._commit(*commit)
        if not self.lost:
            self.lost = True
            raise OSError("the answer was lost")


async def test_a_table_that_was_rolled_back_is_known_by_what_it_has(life: Life) -> None:
    first = await life.sink()
    await life.write(first, 3)
    before = life.snapshots()[-1]
    await life.write(first, 3, first=4)
    await first.close()
    with life.table() as table:
        table.manage_snapshots().rollback_to_snapshot(before).commit()

    second = await life.sink()
    known = await second.positions([PLACE])
    life.partition.offset = 3
    await life.write(second, 3, first=4)
    await second.close()

    assert known == {PLACE: 3}
    assert life.count() == 6


async def test_a_roll_back_behind_which_others_have_written_is_known_too(life: Life) -> None:
    first = await life.sink()
    await life.write(first, 3)
    before = life.snapshots()[-1]
    await life.write(first, 3, first=4)
    await first.close()
    with life.table() as table:
        table.manage_snapshots().rollback_to_snapshot(before).commit()
    with life.table() as table:
        foreign_rows(table)

    second = await life.sink()
    known = await second.positions([PLACE])
    await second.close()

    assert known == {PLACE: 3}


async def test_a_roll_back_under_a_running_sink_ends_it_by_name(life: Life) -> None:
    sink = await life.sink()
    await life.write(sink, 3)
    before = life.snapshots()[-1]
    await life.write(sink, 3, first=4)
    with life.table() as table:
        table.manage_snapshots().rollback_to_snapshot(before).commit()

    with pytest.raises(ConfigError, match=r"test\[0\] up to offset 6 and now has it up to 3"):
        await life.write(sink, 3, first=7)
    await sink.close()

    assert life.count() == 3


async def test_a_table_that_was_dropped_under_a_running_sink_ends_it_by_name(life: Life) -> None:
    sink = await life.sink()
    await life.write(sink, 3)
    catalog = load_catalog(CATALOG, **life.properties)
    catalog.drop_table("test.rows")
    catalog.close()

    with pytest.raises(ConfigError, match="up to offset 3 and now has it up to nothing"):
        await life.write(sink, 3, first=4)
    await sink.close()


async def test_a_table_of_before_with_positions_in_its_snapshots_alone_goes_on(life: Life) -> None:
    first = await life.sink()
    await life.write(first, 3)
    await first.close()
    with life.table() as table, table.transaction() as change:
        change.remove_properties(OFFSETS_TAG)

    second = await life.sink()

    assert await second.positions([PLACE]) == {PLACE: 3}
    await second.close()


async def test_a_history_that_begins_anew_is_an_error_and_not_a_guess(life: Life) -> None:
    sink = await life.sink()
    await life.write(sink, 3)
    with life.table() as table:
        _replace(table, life.snapshots()[-1])

    with pytest.raises(ConfigError, match=r"rows was replaced by another writer"):
        await sink.positions([PLACE])
    await sink.close()


def _replace(table: Table, ours: int) -> None:
    """As CREATE OR REPLACE TABLE of another engine leaves it: rows of a snapshot without a parent,
    while those of before are still kept.
    """
    table.append(table.scan().to_arrow())
    table.refresh()
    whole = json.loads(table.metadata.model_dump_json())
    for snapshot in whole["snapshots"]:
        if snapshot["snapshot-id"] != ours:
            snapshot.pop("parent-snapshot-id", None)
    Path(table.metadata_location.removeprefix("file://")).write_text(json.dumps(whole))


async def test_two_writers_at_once_lose_and_double_nothing(life: Life) -> None:
    one, two = await life.sink(), await life.sink()
    other = Partition(number=1)
    await one.write(life.partition.batch(list(inserts(3))))
    await two.write(other.batch(list(inserts(3, first=10))))
    await one.flush()
    await two.flush()
    await one.write(life.partition.batch(list(inserts(3, first=4))))
    await one.flush()
    for sink in (one, two):
        await sink.close()

    with life.table() as table:
        assert books_of(table).offsets == {("test", 0): 6, ("test", 1): 3}
    assert life.count() == 9


async def test_the_positions_of_an_earlier_topic_of_the_same_name_are_refused(life: Life) -> None:
    first = await life.sink()
    await life.write(first, 3)
    await first.close()
    second = await life.sink()

    with pytest.raises(ConfigError, match=r"up to offset 3 .* id one, .* id is two"):
        await second.identify({"test": "two"})
    await second.identify({"test": "", "another": "three"})
    await second.close()


async def test_an_upserted_table_takes_the_rows_of_one_source_table(tmp_path: Path) -> None:
    life = Life(tmp_path, upsert=True)
    sink = await life.sink()
    await life.write(sink, 3)
    other = Partition("other")
    batch = other.batch(list(inserts(1)))
    tables = batch.rows.source_tables()
    assert len(tables) == 1
    sink._source = "public.another"

    with pytest.raises(ConfigError, match=r"keeps the rows of public\.another, and events of"):
        await sink.write(batch)
    await sink.close()


@pytest.mark.parametrize("keys", [3_000])
async def test_a_commit_of_thousands_of_composite_keys_replaces_exactly_these(
    tmp_path: Path, keys: int
) -> None:
    life = Life(tmp_path, upsert=True)
    life.partition = Partition(columns=COLUMNS, key=BOTH)
    sink = await life.sink()
    rows = [(key % 50, key, "new") for key in range(keys)]
    await sink.write(life.partition.batch([Event("c", row[1], row) for row in rows]))
    await sink.flush()
    changed = [(tenant, key, "paid") for tenant, key, _ in rows if key % 3]
    await sink.write(life.partition.batch([Event("u", row[1], row) for row in changed]))
    await sink.flush()
    await sink.close()

    with life.table() as table:
        found = table.scan().to_arrow().select(["tenant", "id", "state"]).to_pylist()
    assert sorted(tuple(row.values()) for row in found) == sorted(
        (tenant, key, "paid" if key % 3 else "new") for tenant, key, _ in rows
    )


async def test_a_key_that_changes_is_followed_in_order(tmp_path: Path) -> None:
    life = Life(tmp_path, upsert=True)
    narrow = Partition(columns=COLUMNS)
    wide = Partition(columns=COLUMNS, key=BOTH)
    sink = await life.sink()
    await sink.write(narrow.batch([Event("c", key, (1, key, "one")) for key in (1, 2)]))
    wide.offset = narrow.offset
    await sink.write(wide.batch([Event("c", key, (2, key, "two")) for key in (1, 2)]))
    await sink.write(wide.batch([Event("d", 2, None, (2, 2, "two"))]))
    await sink.flush()
    await sink.close()

    with life.table() as table:
        rows = table.scan().to_arrow().select(["tenant", "id"]).to_pylist()
    assert sorted(tuple(row.values()) for row in rows) == [(1, 1), (1, 2), (2, 1)]


@pytest.mark.parametrize("tenant", [1, None])
async def test_a_key_of_a_column_that_rows_lack_is_refused_by_name(
    tmp_path: Path, tenant: int | None
) -> None:
    """A column that was added with a default: the rows of before have it in the source alone."""
    life = Life(tmp_path, upsert=True)
    narrow = Partition(columns={"tenant": ("long", True), "id": ("long", False)})
    wide = Partition(columns={"tenant": ("long", False), "id": ("long", False)}, key=BOTH)
    sink = await life.sink()
    await sink.write(narrow.batch([Event("c", 1, (tenant, 1))]))
    await sink.flush()
    wide.offset = narrow.offset
    await sink.write(wide.batch([Event("d", 1, None, (1, 1))]))

    if tenant is None:
        with pytest.raises(ConfigError, match=r"from \(id\) to \(tenant, id\).* without tenant"):
            await sink.flush()
    else:
        await sink.flush()
    await sink.close()

    assert life.count() == (1 if tenant is None else 0)


async def test_a_key_that_changes_in_a_topic_of_several_partitions_is_refused_by_name(
    tmp_path: Path,
) -> None:
    life = Life(tmp_path, upsert=True)
    sink = await life.sink()
    for number in (0, 1):
        narrow = Partition(number=number, columns=COLUMNS)
        await sink.write(narrow.batch([Event("c", number, (1, number, "one"))]))
    wide = Partition(columns=COLUMNS, key=BOTH)
    wide.offset = 1

    with pytest.raises(ConfigError, match=r"changed from \(id\) to \(tenant, id\)"):
        await sink.write(wide.batch([Event("c", 1, (2, 1, "two"))]))
    await sink.close()


async def test_a_truncate_is_refused_and_not_taken_for_a_row(tmp_path: Path) -> None:
    life = Life(tmp_path, upsert=True)
    sink = await life.sink()

    with pytest.raises(RefusedError, match="changes no row"):
        await sink.write(life.partition.batch([Event("t", 1, None)]))
    await sink.close()
