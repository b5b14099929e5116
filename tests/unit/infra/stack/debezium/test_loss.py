"""What the connector does not send is known by a column's type."""

from __future__ import annotations

import pytest

from infra.postgres.catalog import CatalogColumn, CatalogType
from infra.stack.debezium.loss import changed_values, hides_null, is_never_sent, loss_notes


def array(name: str, *labels: str) -> CatalogType:
    return CatalogType(f"{name}[]", item=CatalogType(name, labels=labels))


@pytest.mark.parametrize(
    "kind",
    [CatalogType("box"), CatalogType("public.pair"), CatalogType("int4multirange"),
     CatalogType("name"), array("interval"), array("bit"), array("public.pair")],
)  # fmt: skip
def test_columns_that_no_event_has(kind: CatalogType) -> None:
    assert is_never_sent(kind)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (CatalogType("bigint"), ""),
        (CatalogType("public.citext"), ""),
        (CatalogType("public.mood", labels=("calm",)), ""),
        (CatalogType("numeric", (10, 2)), "NaN"),
        (CatalogType("interval"), "30.44 days"),
        (CatalogType("time with time zone"), "UTC"),
        (array("integer"), "array of arrays"),
        (array("numeric"), "NaN"),
        (array("public.mood", "calm"), "one with NULL"),
    ],
)
def test_columns_of_which_some_values_come_as_others(kind: CatalogType, said: str) -> None:
    assert not is_never_sent(kind)
    assert said in changed_values(kind)
    assert bool(said) is bool(changed_values(kind))


def test_a_table_is_told_of_column_by_column() -> None:
    columns = [
        CatalogColumn("id", CatalogType("bigint"), "bigint", required=True),
        CatalogColumn("corner", CatalogType("box"), "box", required=False),
        CatalogColumn("pause", CatalogType("interval"), "interval", required=False),
        CatalogColumn("made", CatalogType("circle"), "circle", required=False, generated=True),
    ]
    lost, changed = loss_notes("public.t", columns)

    assert "never sends corner (box)," in lost
    assert "made" not in lost
    assert "pause (interval: a month comes as 30.44 days)" in changed
    assert list(loss_notes("public.t", columns[:1])) == []


@pytest.mark.parametrize(
    ("column", "hidden"),
    [
        (CatalogColumn("at", CatalogType("date"), "date", required=False, default="now()"), True),
        (CatalogColumn("at", CatalogType("date"), "date", required=True, default="now()"), False),
        (CatalogColumn("at", CatalogType("date"), "date", required=False), False),
        (CatalogColumn("tags", array("text"), "text[]", required=False, default="'{}'"), False),
    ],
)
def test_a_default_of_a_column_that_may_be_null_hides_its_null(
    column: CatalogColumn, hidden: bool
) -> None:
    assert hides_null(column) is hidden
    assert any("comes as its default" in said for said in loss_notes("t", [column])) is hidden
