"""Values of every type: within their bounds, the same for the same seed, and told apart by key."""

from __future__ import annotations

import random
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc_users.observe.events.value import value_of
from cdc_users.users.workload.table.kind import UnknownTypeError, bounded, value_plan
from cdc_users.users.workload.table.plan import KEY_SPAN, ValuePlan
from cdc_users.users.workload.table.value import (
    KEY_LENGTH,
    array_text,
    can_be_distinct,
    distinct,
    made,
    unit_of,
)
from infra.avro.kind import ColumnKind
from infra.postgres.catalog import CatalogType, named

DECLARED = (
    "smallint", "integer", "bigint", "numeric(12,2)", "numeric", "real", "double precision", "text",
    "character varying(7)", "character(3)", "boolean", "bytea", "date", "time without time zone",
    "time(3) with time zone", "timestamp(3) without time zone", "timestamp with time zone",
    "interval", "uuid", "json", "jsonb", "inet", "cidr", "macaddr",
)  # fmt: skip


def plan_of(declared: str) -> ValuePlan:
    name, modifiers = named(declared)
    return value_plan(CatalogType(name, modifiers))


@pytest.mark.parametrize("declared", DECLARED)
@given(seed=st.integers(0, 10**6))
def test_every_value_is_one_of_its_kind_and_follows_from_the_seed(declared: str, seed: int) -> None:
    plan = plan_of(declared)

    text, raw = made(plan, random.Random(seed))

    assert (text, raw) == made(plan, random.Random(seed))
    assert value_of(ColumnKind(plan.kind), raw) is not None
    if plan.maker in ("text", "char") and plan.high is not None:
        assert 0 < len(text) <= plan.high


@given(seed=st.integers(0, 10**6), low=st.integers(-1000, 1000), width=st.integers(0, 1000))
@pytest.mark.parametrize("declared", ["integer", "numeric(12,2)", "double precision"])
def test_a_number_lies_within_its_bounds(declared: str, seed: int, low: int, width: int) -> None:
    plan = plan_of(declared)
    unit = unit_of(plan)
    bounds = ValuePlan(
        maker=plan.maker, scale=plan.scale, low=low * unit, high=(low + width) * unit
    )

    text, _ = made(bounds, random.Random(seed))

    assert low <= float(text) <= low + width


@given(keys=st.lists(st.integers(0, KEY_SPAN - 1), unique=True, max_size=20))
@pytest.mark.parametrize("declared", ["bigint", "uuid", "text", "character varying(18)"])
def test_no_two_keys_and_no_two_runs_share_a_value(declared: str, keys: list[int]) -> None:
    plan = plan_of(declared)

    texts = [
        distinct(plan, head, base * KEY_SPAN, key)
        for base, head in ((1, "abcdefgh"), (2, "abcdefgi"))
        for key in keys
    ]

    assert can_be_distinct(plan)
    assert len(set(texts)) == len(texts)
    assert all(len(text) == KEY_LENGTH for text in texts) or plan.maker != "text"
    if plan.maker == "uuid":
        assert all(UUID(text).version == 8 for text in texts)
        assert sorted(texts[: len(keys)]) == [
            distinct(plan, "abcdefgh", KEY_SPAN, key) for key in sorted(keys)
        ]


@pytest.mark.parametrize("declared", ["integer", "boolean", "character varying(17)", "date"])
def test_a_type_without_room_carries_no_key(declared: str) -> None:
    assert not can_be_distinct(plan_of(declared))


@pytest.mark.parametrize(
    "found",
    [
        CatalogType("tsvector"),
        CatalogType("shop.pair"),
        CatalogType("jsonb[]", item=CatalogType("jsonb")),
        CatalogType("numeric", (5, -2)),
    ],
)
def test_a_type_that_cannot_be_made_is_named(found: CatalogType) -> None:
    with pytest.raises(UnknownTypeError):
        value_plan(found)


def test_an_array_is_quoted_as_postgres_reads_it() -> None:
    assert array_text(["a", None, 'b"c\\', ""]) == '{"a",NULL,"b\\"c\\\\",""}'


def test_an_array_of_numbers_is_written_and_not_compared() -> None:
    plan = value_plan(CatalogType("integer[]", item=CatalogType("integer")))

    assert (plan.kind, plan.maker) == ("", "array")


def test_bounds_are_only_ever_narrowed() -> None:
    from decimal import Decimal

    from cdc_users.users.workload.table.check import Demand

    plan = plan_of("smallint")

    assert bounded(plan, Demand(high=Decimal(10**9))).high == 2**15 - 1
    assert bounded(plan, Demand(high=Decimal(5), low=Decimal(2))).high == 5
