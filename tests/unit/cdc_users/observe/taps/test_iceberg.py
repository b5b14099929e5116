"""The Iceberg tap and side on a real table in a local warehouse."""

from __future__ import annotations

import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyiceberg.catalog import load_catalog

from cdc_users.measure.clock import Anchor, new_anchor
from cdc_users.measure.ledger.ledger import Outcomes, audit
from cdc_users.observe.final_state import ArraySide, TableState, compare
from cdc_users.observe.message import Final
from cdc_users.observe.settings import IcebergSettings, IcebergSideSettings
from cdc_users.observe.tap import TapError
from cdc_users.observe.taps.iceberg import IcebergSide, IcebergTap, properties
from cdc_users.users.workload.workload import Workload, Writer

RUN = "ice00001"
WRITER = 10_001
NAMES = (
    "id",
    "first_name",
    "last_name",
    "email",
    "phone",
    "balance",
    "created_at",
    "notes",
    "probe",
)
ROW = pa.schema(
    [
        ("id", pa.int64()),
        *((name, pa.string()) for name in NAMES[1:5]),
        ("balance", pa.decimal128(12, 2)),
        ("created_at", pa.timestamp("us", "UTC")),
        ("notes", pa.string()),
        ("probe", pa.string()),
    ]
)
CHANGE = pa.schema(
    [("op", pa.string()), ("cdc_partition", pa.int32()), ("cdc_offset", pa.int64()), *ROW]
)
LETTERS = {"i": "c", "u": "u", "s": "u", "d": "d"}


@pytest.fixture
def place(tmp_path: Path) -> dict[str, Any]:
    return {"warehouse": str(tmp_path), "table": "ns.customers"}


def tap_on(place: dict[str, Any], **more: Any) -> IcebergTap:
    return IcebergTap(IcebergSettings(**place, **more), RUN, Anchor("", 0, 0))


def side_of(place: dict[str, Any], mode: str = "append") -> IcebergSide:
    return IcebergSide(IcebergSideSettings(**place, mode=mode), RUN)


def create(place: dict[str, Any], schema: Any) -> Any:
    catalog = load_catalog("cdc", **properties(IcebergSettings(**place)))
    catalog.create_namespace("ns")
    return catalog.create_table(place["table"], schema)


def write(count: int) -> tuple[list[Any], dict[int, Outcomes]]:
    writer = Writer(RUN, WRITER, Workload(mix=(60, 30, 10), live_keys=20))
    changes: list[Any] = []
    for number in range(count):
        transaction = writer.transaction(2, 1_790_000_000_000_000 + number)
        writer.settle(transaction, "acked")
        changes += transaction.changes
    return changes, {WRITER: Outcomes(acked=[(1, len(changes))])}


def logged(changes: Sequence[Any]) -> Any:
    rows = [
        {
            "op": LETTERS[change.operation],
            "cdc_partition": change.key % 3,
            "cdc_offset": change.sequence,
        }
        | dict(zip(NAMES, change.row or change.before, strict=True))
        for change in changes
    ]
    return pa.Table.from_pylist(rows, CHANGE)


def last_rows(changes: Sequence[Any]) -> list[Any]:
    rows = {change.key: change.row for change in changes}
    return [dict(zip(NAMES, row, strict=True)) for row in rows.values() if row is not None]


def expected(changes: Sequence[Any]) -> ArraySide:
    versions = {change.key: change.key_version if change.row else 0 for change in changes}
    alive = {key: version for key, version in versions.items() if version}
    return ArraySide(
        "expected",
        TableState.of(np.array(list(alive)), np.array(list(alive.values()))),
        marked=False,
    )


def test_every_event_of_a_change_log_is_seen_once_whatever_the_snapshots(
    place: dict[str, Any],
) -> None:
    changes, outcomes = write(60)
    tap = tap_on(place)
    tap.look()
    table = create(place, CHANGE)
    for first in range(0, len(changes), 25):
        table.append(logged(changes[first : first + 25]))
        tap.look()
    tap.look()

    assert audit(1, outcomes, tap.record.arrivals(), fenced=True).findings == {}
    assert tap.gauges()["snapshots"] == -(-len(changes) // 25)


def test_a_batch_that_was_appended_twice_is_duplicated(place: dict[str, Any]) -> None:
    changes, outcomes = write(20)
    table = create(place, CHANGE)
    table.append(logged(changes))
    table.append(logged(changes[:4]))
    tap = tap_on(place)

    tap.look()

    assert audit(1, outcomes, tap.record.arrivals(), fenced=True).duplicated == 4


@pytest.mark.parametrize("mode", ["append", "upsert"])
def test_the_final_state_of_a_table_is_the_newest_row_of_each_key(
    place: dict[str, Any], mode: str
) -> None:
    changes, _ = write(60)
    if mode == "append":
        create(place, CHANGE).append(logged(changes))
    else:
        create(place, ROW).append(pa.Table.from_pylist(last_rows(changes), ROW))

    found = compare(expected(changes), side_of(place, mode))

    assert found.clean
    assert found.compared == len(last_rows(changes))


def test_rows_that_are_damaged_doubled_or_gone_are_located(place: dict[str, Any]) -> None:
    changes, _ = write(60)
    rows = last_rows(changes)
    gone, doubled, hurt = rows.pop(), rows[0], rows[1]
    rows[1] = {**hurt, "notes": "null"}
    create(place, ROW).append(pa.Table.from_pylist([*rows, doubled], ROW))

    found: Final = compare(expected(changes), side_of(place, "upsert"))

    located = {example.finding: example.key for example in found.examples}
    assert located == {"missing": gone["id"], "repeated": doubled["id"], "corrupt": hurt["id"]}
    counted = (found.missing, found.repeated, found.extra, found.corrupt, found.stale)
    assert counted == (1, 1, 0, 1, 0)


def test_a_table_that_is_not_there_is_named(place: dict[str, Any]) -> None:
    with pytest.raises(TapError, match=r"no Iceberg table 'ns\.customers'"):
        side_of(place).totals(8)


def test_a_tap_watches_a_table_that_comes_later(place: dict[str, Any]) -> None:
    changes, outcomes = write(20)
    tap = tap_on(place, poll_s=0.01)
    tap.start()
    try:
        create(place, CHANGE).append(logged(changes))
        deadline_s = time.monotonic() + 30
        while tap.record.progress().steps.get(1, 0) < len(changes):
            assert time.monotonic() < deadline_s, tap.record.errors
            time.sleep(0.01)
    finally:
        tap.stop()

    assert audit(1, outcomes, tap.record.arrivals(), fenced=True).clean
    assert tap.record.errors == []


def test_a_table_that_is_kept_up_to_date_is_no_duplicate_of_itself(place: dict[str, Any]) -> None:
    changes, _ = write(20)
    table = create(place, ROW)
    for _ in range(2):
        table.append(pa.Table.from_pylist(last_rows(changes), ROW))
    tap = tap_on(place, mode="upsert")

    tap.look()

    counts = tap.record.arrivals().steps[1]
    assert (counts.delivered, counts.duplicated) == (len(last_rows(changes)), 0)


#: As ExtractNewRecordState leaves a row in a table that Kafka Connect writes.
UNWRAPPED = pa.schema(
    [*ROW, ("__deleted", pa.string()), ("__op", pa.string()), ("__source_ts_ms", pa.int64())]
)


def unwrapped(changes: Sequence[Any]) -> Any:
    rows = [
        dict(zip(NAMES, change.row or change.before, strict=True))
        | {
            "__deleted": str(change.row is None).lower(),
            "__op": LETTERS[change.operation],
            "__source_ts_ms": 1_790_000_000_001,
        }
        for change in changes
    ]
    return pa.Table.from_pylist(rows, UNWRAPPED)


def test_a_table_of_kafka_connects_sink_is_audited_like_ours(place: dict[str, Any]) -> None:
    changes, outcomes = write(60)
    create(place, UNWRAPPED).append(unwrapped(changes))
    tap = tap_on(place)

    tap.look()

    assert audit(1, outcomes, tap.record.arrivals(), fenced=True).findings == {}
    assert tap.record.snapshot().steps[1].series["commit"].count == len(changes)
    assert compare(expected(changes), side_of(place)).clean


def test_deletes_of_icebergs_own_transform_are_known(place: dict[str, Any]) -> None:
    changes, _ = write(60)
    data = logged(changes)
    marks = [{"op": {"c": "I"}.get(op, op.upper())} for op in data["op"].to_pylist()]
    data = data.drop_columns(["op"]).append_column("_cdc", pa.array(marks))
    create(place, data.schema).append(data)

    assert compare(expected(changes), side_of(place)).clean


def test_what_was_there_before_or_is_on_a_branch_alone_is_no_event(place: dict[str, Any]) -> None:
    changes, _ = write(20)
    table = create(place, CHANGE)
    table.append(logged(changes[:5]))
    tap = tap_on(place, from_end=True, poll_s=3600.0)
    tap.start()
    try:
        table.manage_snapshots().create_branch(
            table.current_snapshot().snapshot_id, "audit"
        ).commit()
        table.append(logged(changes[5:10]), branch="audit")
        table.append(logged(changes[10:]))
        tap.look()
    finally:
        tap.stop()

    assert tap.record.progress().steps == {1: len(changes) - 10}


def test_files_that_a_look_cannot_read_are_read_by_the_next(place: dict[str, Any]) -> None:
    changes, outcomes = write(20)
    table = create(place, CHANGE)
    table.append(logged(changes))
    (path,) = table.inspect.data_files()["file_path"].to_pylist()
    file = Path(path.removeprefix("file://"))
    held = file.rename(file.with_suffix(".held"))
    tap = tap_on(place)

    with pytest.raises(FileNotFoundError):
        tap.look()
    assert tap.record.events == 0
    held.rename(file)
    tap.look()

    assert audit(1, outcomes, tap.record.arrivals(), fenced=True).clean


def test_where_a_catalog_is_the_users_own_the_bound_of_its_times_is_told(tmp_path: Path) -> None:
    place = {"warehouse": str(tmp_path), "table": "ns.customers"}
    create(place, CHANGE).append(logged(write(5)[0]))
    own = properties(IcebergSettings(**place))  # type: ignore[arg-type]
    tap = IcebergTap(IcebergSettings(properties={**own}, table="ns.customers"), RUN, new_anchor())

    tap.look()

    bound_s = tap.gauges()["found_after_us"] / 1e6  # type: ignore[operator]
    assert 0 < bound_s < 60
    assert f"looks found each within {bound_s:.1f} s of it" in tap.record.snapshot().remark


def test_a_catalog_that_cannot_be_opened_shows_none_of_its_properties() -> None:
    secret: dict[str, Any] = {"uri": "nothing://bob:hush@127.0.0.1:1"}
    settings = IcebergSettings(properties=secret, table="ns.t")
    tap = IcebergTap(settings, RUN, Anchor("", 0, 0))

    with pytest.raises(
        TapError, match="the Iceberg catalog cannot be opened: ValueError"
    ) as caught:
        tap.start()

    assert "hush" not in "".join(traceback.format_exception(caught.value))
