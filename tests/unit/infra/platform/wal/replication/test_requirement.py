"""What a publication no longer publishes is told by name."""

from __future__ import annotations

from dataclasses import replace

import pytest

from infra.platform.wal.replication.requirement import Published, PublishedTable, missing_since

ORDERS, ITEMS, ANOTHER = 1, 2, 3


def published(tables: dict[int, str], oid: int = 9, left_out: tuple[str, ...] = ()) -> Published:
    made = {
        number: PublishedTable(number, "public", name, "d", (), True, ("id",), "")
        for number, name in tables.items()
    }
    return Published(oid, left_out, made)


BEFORE = published({ORDERS: "orders", ITEMS: "items"})


@pytest.mark.parametrize(
    ("now", "exists", "said"),
    [
        (BEFORE, {ORDERS, ITEMS}, ""),
        (published({ORDERS: "orders_2026", ITEMS: "items"}), {ORDERS, ITEMS}, ""),
        (published({ORDERS: "orders"}), {ORDERS, ITEMS}, "no longer publishes public.items"),
        (published({ORDERS: "orders"}), {ORDERS}, "table public.items was dropped: no change"),
        (
            published({ORDERS: "orders", ANOTHER: "items"}),
            {ORDERS, ANOTHER},
            "table public.items was dropped and created again: no change says",
        ),
        # The table was renamed and left out, and another one has its name.
        (
            published({ORDERS: "orders", ANOTHER: "items"}),
            {ORDERS, ITEMS, ANOTHER},
            "no longer publishes public.items",
        ),
        (
            published({ORDERS: "orders", ITEMS: "items"}, left_out=("delete",)),
            {ORDERS, ITEMS},
            "no longer publishes delete",
        ),
        (published({}, oid=10), set(), "was dropped and created again"),
        (None, set(), "publication 'shop' was dropped: what"),
    ],
)
def test_what_is_no_longer_published_is_named(
    now: Published | None, exists: set[int], said: str
) -> None:
    found = missing_since(BEFORE, now, "shop", exists)

    assert said in found
    assert bool(found) == bool(said)


def test_a_partition_that_was_dropped_is_put_away_and_a_detached_one_is_named() -> None:
    old = PublishedTable(ITEMS, "public", "items_2025", "d", (), True, ("id",), "", partition=True)
    before = Published(9, (), {**published({ORDERS: "orders"}).tables, ITEMS: old})
    now = published({ORDERS: "orders"})

    assert missing_since(before, now, "shop", {ORDERS}) == ""
    assert "no longer publishes public.items_2025" in missing_since(
        before, now, "shop", {ORDERS, ITEMS}
    )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"filter": "(total > 100)"}, "rows of public.orders but where (total > 100)"),
        ({"columns": ("id",), "unpublished": ("total",)}, "public.orders.total"),
        # Dropped in the table, and added to it beside a list of columns.
        ({"columns": ("id",)}, ""),
        ({"unpublished": ("note",)}, ""),
    ],
)
def test_rows_and_columns_that_are_no_longer_published_are_named(
    change: dict[str, object], said: str
) -> None:
    table = PublishedTable(ORDERS, "public", "orders", "d", (), True, ("id", "total"), "")
    before = Published(9, (), {ORDERS: table})
    now = replace(before, tables={ORDERS: replace(table, **change)})  # type: ignore[arg-type]

    found = missing_since(before, now, "shop", {ORDERS})

    assert found == (f"publication 'shop' no longer publishes {said}" if said else "")
    assert missing_since(now, now, "shop", {ORDERS}) == ""
