"""Which table a row is of, and which number its key has."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc_users.measure.ledger.key import key_number, key_of_columns
from cdc_users.observe.events.table import ObservedTable, observed_tables, table_of
from cdc_users.observe.settings import OwnTableSettings, WebhookSettings

ORDERS = OwnTableSettings(
    table="shop.orders", key=("id",), probe="stamp", columns=(("id", "int64"), ("note", "text"))
)
LINES = OwnTableSettings(
    table="shop.lines",
    key=("order_id", "line"),
    probe="stamp",
    columns=(("order_id", "int64"), ("line", "int64"), ("amount", "decimal")),
)


def own_tables() -> tuple[ObservedTable, ...]:
    return observed_tables(WebhookSettings(name="sink", own=(ORDERS, LINES)))


def test_without_tables_of_the_users_own_there_is_the_runs_with_its_names() -> None:
    settings = WebhookSettings(
        name="sink", key_column="number", probe_column="mark", columns=(("a", "text"),)
    )
    (table,) = observed_tables(settings)

    assert (table.key, table.probe, list(table.kinds)) == (("number",), "mark", ["a"])
    assert not table.own


def test_the_users_own_have_their_key_among_what_the_checksum_covers() -> None:
    orders, lines = own_tables()

    assert orders.own
    assert list(orders.kinds) == ["id", "note"]
    assert (lines.name, lines.key) == ("shop.lines", ("order_id", "line"))


@given(st.integers(-(2**62), 2**62), st.text(max_size=5))
def test_a_key_has_one_number_wherever_it_stands(order: int, line: str) -> None:
    """In the row, or beside it where the row has none (a delete's, a tombstone's)."""
    _, lines = own_tables()
    key = {"order_id": order, "line": line}

    assert lines.number_of({**key, "amount": 1}) == key_of_columns([order, line])
    assert lines.number_of({}, key) == lines.number_of(key)
    assert lines.number_of({"order_id": order}, key) == lines.number_of(key)


def test_a_key_of_which_a_part_is_missing_is_that_of_the_record() -> None:
    orders, _ = own_tables()

    assert orders.number_of({"id": None}, 7) == key_number(7)
    assert orders.number_of({}, {"other": 7}) == key_number(7)


@pytest.mark.parametrize(
    ("row", "source", "name"),
    [
        ({}, {"schema": "shop", "table": "lines"}, "shop.lines"),
        ({}, {"table": "lines"}, "shop.lines"),
        ({"order_id": 1, "line": 1, "amount": 2}, None, "shop.lines"),
        ({"id": 1, "note": "x"}, {"table": "elsewhere"}, "shop.orders"),
        ({"id": 1, "note": "x", "stamp": ""}, "no mapping", "shop.orders"),
    ],
)
def test_a_rows_table_is_what_the_source_says_else_what_its_columns_fit(
    row: dict[str, object], source: object, name: str
) -> None:
    assert table_of(own_tables(), row, source).name == name


@pytest.mark.parametrize("schema", ["shop", "old"])
def test_tables_of_one_name_are_told_apart_by_their_schema(schema: str) -> None:
    old = OwnTableSettings(table="old.orders", key=("id",), probe="stamp", columns=ORDERS.columns)
    tables = observed_tables(WebhookSettings(name="sink", own=(ORDERS, old)))

    found = table_of(tables, {"id": 1}, {"schema": schema, "table": "orders"})

    assert found.name == f"{schema}.orders"


def test_one_table_needs_no_look() -> None:
    (only,) = observed_tables(WebhookSettings(name="sink"))

    assert table_of((only,), {}, {"schema": "shop", "table": "lines"}) is only
