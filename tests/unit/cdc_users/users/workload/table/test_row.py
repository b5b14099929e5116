"""Rows of a table of the user's own: repeatable, checked by their probe, fixed where needed."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from cdc_users.measure.ledger.ledger import RowCheck
from cdc_users.measure.ledger.probe import Operation, parse_probe
from cdc_users.observe.events.table import ObservedTable
from cdc_users.users.workload.table.kind import value_plan
from cdc_users.users.workload.table.plan import ColumnPlan, ReferencePlan, TablePlan, ValuePlan
from cdc_users.users.workload.table.row import (
    RowError,
    TableRows,
    key_texts,
    postgres_text,
)
from infra.avro.kind import ColumnKind
from infra.postgres.catalog import CatalogType

INT = value_plan(CatalogType("integer"))
PLAN = TablePlan(
    schema="public",
    name="orders",
    columns=(
        ColumnPlan(name="id", value=value_plan(CatalogType("bigint")), distinct=True, fixed=True),
        ColumnPlan(name="customer", value=INT, fixed=True),
        ColumnPlan(name="n", value=INT),
        ColumnPlan(name="text", value=value_plan(CatalogType("text")), nullable=True),
        ColumnPlan(name="price", value=ValuePlan(maker="money")),
    ),
    key=("id",),
    probe="note",
    head="abcdefgh",
    key_base=10**15,
    references=(ReferencePlan(columns=("customer",), rows=(("7",), ("8",))),),
)
TABLE = ObservedTable(
    "public.orders", PLAN.key, PLAN.probe, {n: ColumnKind(k) for n, k in PLAN.compared}, own=True
)


def rows(plan: TablePlan = PLAN, **more: Any) -> TableRows:
    made = TableRows("abcdefgh", 10_001, [plan], **more)
    made.begin(1, 1, 1_790_000_000_000_000)
    return made


def by_name(values: tuple[str | None, ...]) -> dict[str, str | None]:
    return dict(zip([column.name for column in PLAN.columns], values, strict=True))


@pytest.mark.parametrize("key", [1, 77, 10**14])
def test_a_row_fits_its_own_probe_and_follows_from_its_key(key: int) -> None:
    row = rows().row(key, 3, Operation.UPDATE, 5, 0)
    values = by_name(row.values)

    assert row == rows().row(key, 3, Operation.UPDATE, 5, 0)
    assert parse_probe(row.probe).key_version == 3
    assert values["id"] == str(10**15 + key)
    assert values["customer"] in ("7", "8")
    assert TABLE.check(row.probe, 0, [values[name] for name in TABLE.kinds]) is RowCheck.GOOD
    values["n"] = str(int(values["n"] or 0) + 1)
    assert TABLE.check(row.probe, 0, [values[name] for name in TABLE.kinds]) is RowCheck.CORRUPT


def test_an_update_leaves_the_key_and_what_it_refers_to() -> None:
    first, second = (by_name(rows().row(9, version, "u", 1, 0).values) for version in (1, 2))

    assert first["id"] == second["id"]
    assert first["customer"] == second["customer"]
    assert first != second


def test_a_stamp_is_the_row_as_it_was_with_another_probe() -> None:
    before = rows().row(9, 1, Operation.INSERT, 1, 0)

    stamp = rows().stamp(before, 2, Operation.STAMP, 2, 0)

    assert stamp.values == before.values
    assert (
        TABLE.check(stamp.probe, 0, [by_name(stamp.values)[n] for n in TABLE.kinds])
        is RowCheck.GOOD
    )


def test_the_payload_goes_into_a_text_that_updates_may_change() -> None:
    assert by_name(rows(payload="x" * 50).row(1, 1, "i", 1, 0).values)["text"] == "x" * 50


def test_the_users_own_values_stand_in_place_of_ours_but_for_the_key() -> None:
    def row(key: int, chance: random.Random) -> dict[str, Any]:
        return {"id": 1, "n": key % 10, "text": f"{chance.random() < 2}"}

    values = by_name(rows(custom=row).row(4, 1, "i", 1, 0).values)

    assert (values["id"], values["n"], values["text"]) == (str(10**15 + 4), "4", "True")


def test_a_column_that_is_not_there_is_named() -> None:
    with pytest.raises(RowError, match=r"row\(\) gives colour, which public.orders does not let"):
        rows(custom=lambda *_: {"colour": 1}).row(4, 1, "i", 1, 0)


@pytest.mark.parametrize(
    ("value", "sign"),
    [
        ("a\ud800b", r"'\ud800'"),
        ("\udfff", r"'\udfff'"),
        ("a\0", r"'\x00'"),
        (["fine", "\ud800"], r"'\ud800'"),
        ({"a": "\ud800"}, r"'\ud800'"),
    ],
)
@pytest.mark.parametrize("column", ["text", "price"])
def test_a_text_that_postgres_cannot_store_is_told_with_its_column(
    column: str, value: object, sign: str
) -> None:
    with pytest.raises(RowError) as told:
        rows(custom=lambda *_: {column: value}).row(4, 1, "i", 1, 0)

    assert str(told.value) == (
        f"row() gives {column} of public.orders a text with {sign}, which PostgreSQL cannot store;"
        " leave that character out"
    )


@pytest.mark.parametrize("value", ["many", object(), ["1"]])
def test_a_value_of_another_kind_is_told_with_its_column(value: object) -> None:
    with pytest.raises(RowError, match=r"row\(\) gives n of public.orders the \w+ .*is no"):
        rows(custom=lambda *_: {"n": value}).row(4, 1, "i", 1, 0)


def test_an_error_of_the_users_own_code_is_told_with_the_key() -> None:
    def fails(*_: object) -> dict[str, object]:
        raise KeyError("colour")

    with pytest.raises(RowError, match=r"row\(\) of public.orders failed for the key .*KeyError"):
        rows(custom=fails).row(4, 1, "i", 1, 0)


def test_a_key_of_several_columns_is_told_by_all_of_them() -> None:
    both = TablePlan(
        schema="s", name="t", columns=PLAN.columns, key=("id", "customer"), probe="note",
        head="abcdefgh", key_base=0, references=PLAN.references,
    )  # fmt: skip

    assert key_texts(both, 5)[0] == "5"
    assert key_texts(both, 5)[1] in ("7", "8")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, None),
        (True, "true"),
        (b"\x00\xff", "\\x00ff"),
        ({"a": "ü"}, '{"a": "ü"}'),
        ([1, None], '{"1",NULL}'),
        ([], "{}"),
        ([[1, None], (3, 4)], '{{"1",NULL},{"3","4"}}'),
        ([[['a"b', "c\\"]]], '{{{"a\\"b","c\\\\"}}}'),
        ([{"a": 1}], '{"{\\"a\\": 1}"}'),
        ([[1], None], '{"{\\"1\\"}",NULL}'),
        (timedelta(days=-1, microseconds=5), "-86399.999995 seconds"),
        (Decimal("1E+3"), "1E+3"),
        (float("nan"), "nan"),
        (datetime(2026, 1, 2, tzinfo=UTC), "2026-01-02 00:00:00+00:00"),
        ("größe, '#'", "größe, '#'"),
        (2.5, "2.5"),
    ],
)
def test_pythons_values_are_written_as_postgres_reads_them(value: Any, text: str | None) -> None:
    assert postgres_text(value) == text
