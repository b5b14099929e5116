"""The Iceberg sink refuses what it cannot write when it comes, and follows a source whose columns
get wider.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import pytest_asyncio
from pyiceberg.catalog import load_catalog

from infra.avro.key import KeyReader
from infra.avro.kind import INFINITE_DAYS, PLACEHOLDER
from infra.platform.process.error import RefusedError
from infra.platform.sinks.batch import Batch
from infra.platform.sinks.iceberg.sink import CATALOG, IcebergSink, local_properties
from tests.batches import Partition
from tests.change_events import DECIMAL, ZONED, Encoder, Event

MICROS = {"type": "long", "connect.name": "io.debezium.time.MicroTimestamp"}
DATE = {"type": "int", "connect.name": "io.debezium.time.Date"}
INFINITY, YEAR_12026 = 9223372036825200000, 317336843045678901
Columns = Mapping[str, tuple[Any, bool]]


def columns(**kinds: Any) -> Columns:
    return {"id": ("long", False)} | {name: (kind, True) for name, kind in kinds.items()}


class Place:
    """A warehouse, a sink that leads there, and its table."""

    def __init__(self, properties: dict[str, str], upsert: bool) -> None:
        self.sink = IcebergSink(properties, "test.rows", upsert=upsert)
        self._properties = properties
        self._offset = 0

    async def take(self, kinds: Columns, *events: Event) -> None:
        """Write these events as one batch."""
        await self.sink.write(self.batch(kinds, *events))

    def batch(self, kinds: Columns, *events: Event) -> Batch:
        partition = Partition(columns=kinds)
        partition.offset = self._offset
        self._offset += len(events)
        return partition.batch(events)

    def table(self) -> Any:
        catalog = load_catalog(CATALOG, **self._properties)
        try:
            return catalog.load_table("test.rows").scan().to_arrow().sort_by("id")
        finally:
            catalog.close()

    def create(self, schema: Any) -> None:
        """The table as somebody else would create it."""
        catalog = load_catalog(CATALOG, **self._properties)
        catalog.create_namespace("test")
        catalog.create_table("test.rows", schema)
        catalog.close()


@pytest_asyncio.fixture(params=["append", "upsert"])
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Place]:
    made = Place(local_properties(str(tmp_path)), request.param == "upsert")
    await made.sink.open()
    yield made
    await made.sink.close()


@pytest_asyncio.fixture
async def state(tmp_path: Path) -> AsyncIterator[Place]:
    made = Place(local_properties(str(tmp_path)), upsert=True)
    await made.sink.open()
    yield made
    await made.sink.close()


async def test_moments_beyond_pythons_years_are_kept(place: Place) -> None:
    kinds = columns(plain=MICROS, zoned=ZONED, day=DATE, notes="string")
    moments = [
        (1, INFINITY, "infinity", 5_000_000, "kept"),
        (2, YEAR_12026, "+12026-01-02T03:04:05.678901Z", -2_000_000, "kept"),
    ]

    await place.take(kinds, *(Event("c", row[0], row) for row in moments))
    await place.sink.flush()

    table = place.table()
    assert table["plain"].cast(pa.int64()).to_pylist() == [INFINITY, YEAR_12026]
    assert table["zoned"].cast(pa.int64()).to_pylist() == [INFINITY, YEAR_12026]
    assert table["day"].cast(pa.int32()).to_pylist() == [5_000_000, -2_000_000]


async def test_a_moment_beyond_pythons_years_is_kept_when_its_row_is_completed(
    state: Place,
) -> None:
    kinds = columns(plain=MICROS, notes="string")
    await state.take(kinds, Event("c", 1, (1, 0, "large")), Event("c", 2, (2, INFINITY, "large")))
    await state.sink.flush()

    await state.take(
        kinds,
        Event("u", 1, (1, YEAR_12026, PLACEHOLDER)),
        Event("u", 2, (2, INFINITY, PLACEHOLDER)),
    )
    await state.sink.flush()

    table = state.table()
    assert table["plain"].cast(pa.int64()).to_pylist() == [YEAR_12026, INFINITY]
    assert table["notes"].to_pylist() == ["large", "large"]


@pytest.mark.parametrize("key", [["day"], ["plain"], ["zoned"], ["id", "day", "plain"]])
async def test_a_moment_may_be_a_key(state: Place, key: list[str]) -> None:
    kinds = columns(plain=MICROS, zoned=ZONED, day=DATE, notes="string")
    reader = KeyReader(
        {"type": "record", "name": "Key", "fields": [{"name": n, "type": kinds[n][0]} for n in key]}
    )
    born = state.batch(
        kinds,
        Event("c", 1, (1, INFINITY, "infinity", 5_000_000, "large")),
        Event("c", 2, (2, 0, "2026-01-02T03:04:05.678901Z", 0, "large")),
    )
    changed = state.batch(kinds, Event("u", 1, (1, INFINITY, "infinity", 5_000_000, PLACEHOLDER)))

    for batch in (born, changed):
        await state.sink.write(replace(batch, key_reader=reader))
        await state.sink.flush()

    assert state.table()["id"].to_pylist() == [1, 2]
    assert state.table()["notes"].to_pylist() == ["large", "large"]


@pytest.mark.parametrize("between", [True, False])
@pytest.mark.parametrize(
    ("narrow", "wide", "then", "first", "second"),
    [
        ("int", "long", "int", 1, 2**40),
        ("float", "double", "double", 1.5, 1e300),
        (DECIMAL, DECIMAL | {"precision": 20}, DECIMAL, Decimal("1.50"), Decimal("9" * 16 + ".25")),
    ],
)
async def test_a_column_gets_wider_with_its_source(
    place: Place, narrow: Any, wide: Any, then: Any, first: Any, second: Any, between: bool
) -> None:
    await place.take(columns(n=narrow), Event("c", 1, (1, first)))
    if between:
        await place.sink.flush()
    await place.take(columns(n=wide), Event("c", 2, (2, second)))
    await place.take(columns(n=then), Event("c", 3, (3, first)))
    await place.sink.flush()

    assert place.table()["n"].to_pylist() == [first, second, first]


async def test_a_key_may_get_wider(state: Place) -> None:
    narrow, wide = (
        {"id": ("int", False), "n": ("int", True)},
        {"id": ("long", False), "n": ("int", True)},
    )
    await state.take(narrow, Event("c", 1, (1, 1)), Event("c", 2, (2, 1)))
    await state.sink.flush()

    await state.take(wide, Event("u", 1, (1, 2)), Event("c", 2**40, (2**40, 3)))
    await state.sink.flush()

    assert state.table().to_pylist() == [
        {"id": 1, "n": 2},
        {"id": 2, "n": 1},
        {"id": 2**40, "n": 3},
    ]


@pytest.mark.parametrize("before", ["flushed", "pending"])
async def test_a_value_that_no_longer_fits_is_refused_alone(place: Place, before: str) -> None:
    await place.take(columns(n="int"), Event("c", 1, (1, 1)))
    if before == "flushed":
        await place.sink.flush()
    mixed = place.batch(columns(n="string"), Event("c", 2, (2, "2")), Event("c", 3, (3, "many")))
    fine, bad = mixed.split(1)

    with pytest.raises(RefusedError, match="many"):
        await place.sink.write(mixed)
    await place.sink.write(fine)
    with pytest.raises(RefusedError, match="many"):
        await place.sink.write(bad)
    await place.sink.flush()

    assert place.table()["n"].to_pylist() == [1, 2]


async def test_a_table_of_somebody_elses_stays_as_it_is(state: Place) -> None:
    state.create(pa.schema([("id", pa.int64()), ("n", pa.int32()), ("more", pa.string())]))
    await state.sink.positions([("test", 0)])

    await state.take(columns(n="long"), Event("c", 1, (1, 7)))
    with pytest.raises(RefusedError, match="'n' of the Iceberg table is of type int32"):
        await state.take(columns(n="long"), Event("c", 2, (2, 2**40)))
    await state.sink.flush()

    assert state.table().to_pylist() == [{"id": 1, "n": 7, "more": None}]
    assert state.table().schema.field("n").type == pa.int32()


async def test_a_truncate_is_refused_and_leaves_no_row(state: Place) -> None:
    kinds = columns(n="int")
    partition, encoder = Partition(columns=kinds), Encoder(kinds)
    truncate, create = (None, encoder.value(Event("t", 0))), Event("c", 1, (1, 1))
    (alone,) = partition.items([truncate])
    with pytest.raises(RefusedError, match="truncate"):
        await state.sink.write(alone)
    key = encoder.key(create)
    (mixed,) = partition.items([(key, truncate[1]), (key, encoder.value(create))])

    with pytest.raises(RefusedError, match="truncate"):
        await state.sink.write(mixed)
    await state.sink.write(mixed.split(1)[1])
    await state.sink.flush()

    assert state.table().to_pylist() == [{"id": 1, "n": 1}]


async def test_what_the_source_did_not_send_of_a_deleted_row_is_null_and_listed(
    tmp_path: Path,
) -> None:
    place = Place(local_properties(str(tmp_path)), upsert=False)
    await place.sink.open()
    kinds: Columns = {
        "id": ("long", False),
        "name": ("string", False),
        "active": ("boolean", False),
        "day": (DATE, False),
        "notes": ("string", True),
    }
    await place.take(
        kinds,
        Event("c", 1, (1, "Ada", True, 7, "n")),
        Event("d", 1, None, (1, "", False, 0, None)),
        Event("c", 2, (2, "Bob", False, 0, None)),
        Event("d", 2, None, (2, "Bob", False, 0, None)),
    )
    await place.sink.flush()
    await place.sink.close()

    rows = place.table().sort_by("cdc_offset").to_pylist()
    only_key, whole = rows[1], rows[3]
    assert [only_key[name] for name in kinds] == [1, None, None, None, None]
    assert only_key["cdc_not_sent"] == "name,active,day,notes"
    assert (whole["name"], whole["active"], whole["cdc_not_sent"]) == ("Bob", False, None)


async def test_infinite_dates_stand_at_the_ends(place: Place) -> None:
    for number, days in enumerate([*INFINITE_DAYS, 0], 1):
        await place.take(columns(day=DATE), Event("c", number, (number, days)))
    await place.sink.flush()

    found = place.table()["day"].cast(pa.int32()).to_pylist()
    ends = {"infinity": 2**31 - 1, "-infinity": -(2**31)}
    assert found == [*(ends[text] for text in INFINITE_DAYS.values()), 0]
