"""Several tables as one tap, which has one ledger."""

from __future__ import annotations

import time
from pathlib import Path

import pyarrow as pa
import pytest
from pyiceberg.catalog import load_catalog

from cdc_users.measure.clock import new_anchor
from cdc_users.measure.ledger.ledger import audit
from cdc_users.observe.settings import IcebergSettings, OwnTableSettings, listed_tables
from cdc_users.observe.taps.iceberg import ICEBERG_TAP
from cdc_users.observe.taps.tables import TablesTap
from infra.schemas import warehouse
from tests.unit.cdc_users.observe.taps.test_iceberg import RUN, write

ONE = pa.schema([("id", pa.int64()), ("note", pa.string())])
OTHER = pa.schema([("no", pa.int64()), ("mark", pa.string())])


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("public.a", ("public.a",)),
        ("public.a,copy.b", ("public.a", "copy.b")),
        ("public.odd,name", ("public.odd,name",)),
    ],
)
def test_a_comma_within_a_name_divides_nothing(text: str, names: tuple[str, ...]) -> None:
    assert listed_tables(text) == names


def test_what_comes_into_two_tables_is_one_ledger(tmp_path: Path) -> None:
    """GIVEN tables with other columns for key and probe, each with the rows of half of the keys."""
    changes, outcomes = write(40)
    catalog = load_catalog("cdc", **warehouse.local_catalog(tmp_path))
    catalog.create_namespace("ns")
    for number, (name, schema) in enumerate({"ns.one": ONE, "ns.other": OTHER}.items()):
        mine = [one for one in changes if one.key % 2 == number]
        rows = [
            dict(zip(schema.names, (one.key, one.row[-1]), strict=True)) for one in mine if one.row
        ]
        catalog.create_table(name, schema).append(pa.Table.from_pylist(rows, schema))
    settings = IcebergSettings(
        table="ns.one,ns.other",
        warehouse=str(tmp_path),
        poll_s=0.01,
        own=(
            OwnTableSettings(table="s.one", key=("id",), probe="note", columns=()),
            OwnTableSettings(table="s.other", key=("no",), probe="mark", columns=()),
        ),
    )
    tap = ICEBERG_TAP.make(settings, RUN, new_anchor())
    assert isinstance(tap, TablesTap)
    written = sum(one.row is not None for one in changes)

    tap.start()
    deadline_s = time.monotonic() + 20
    while tap.record.events < written and time.monotonic() < deadline_s:
        time.sleep(0.01)
    tap.stop()

    found = audit(1, outcomes, tap.record.arrivals(), fenced=True)
    assert (found.delivered, found.lost) == (written, len(changes) - written)
    assert found.duplicated == found.corrupt == found.phantom == 0
    assert tap.gauges() == {
        name: {"snapshots": 1, "found_after_us": pytest.approx(0, abs=60e6)}
        for name in ("ns.one", "ns.other")
    }
