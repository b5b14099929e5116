"""Values of every type: within their bounds, the same for the same seed, and told apart by key."""

from __future__ import annotations

import random
from decimal import Decimal
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from cdc_users.observe.events.value import value_of
from cdc_users.users.workload.table.check import Demand
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


@pytest.mark.parametrize(("low", "fits"), [(0, True), (1, True), (2, False), (-5, True)])
def test_a_key_that_must_be_above_nought_carries_a_runs_keys(low: int, fits: bool) -> None:
    """CHECK (id > 0) demands what every key of a run is; CHECK (id > 1) may leave one out."""
    assert can_be_distinct(replace(plan_of("bigint"), low=low)) is fits


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
    plan = plan_of("smallint")

    assert bounded(plan, Demand(high=Decimal(10**9))).high == 2**15 - 1
    assert bounded(plan, Demand(high=Decimal(5), low=Decimal(2))).high == 5


@given(seed=st.integers(0, 10**6))
@pytest.mark.parametrize(
    ("declared", "least"),
    [("smallint", -(2**15)), ("numeric(4,2)", Decimal("-99.99")), ("bigint", -(2**63))],
)
def test_a_number_below_nought_is_one_that_its_type_holds(
    declared: str, least: Decimal, seed: int
) -> None:
    plan = bounded(plan_of(declared), Demand(high=Decimal(-5)))

    text, _ = made(plan, random.Random(seed))

    assert least <= Decimal(text) <= -5


@pytest.mark.parametrize("high", [-40_000, -(10**9)])
def test_a_bound_below_all_that_a_type_holds_leaves_no_number(high: int) -> None:
    plan = bounded(plan_of("smallint"), Demand(high=Decimal(high)))

    assert plan.low is not None
    assert plan.high is not None
    assert plan.low > plan.high


@given(seed=st.integers(0, 10**6))
@pytest.mark.parametrize(
    ("low", "high"), [(100, None), (100, 100), (61, 200), (1, 1), (0, 0), (60, 60), (None, 0)]
)
def test_a_text_is_as_long_as_it_must_be(low: int | None, high: int | None, seed: int) -> None:
    text, _ = made(ValuePlan(maker="text", low=low, high=high), random.Random(seed))

    assert (low or 0) <= len(text)
    assert high is None or len(text) <= high
    assert text == text.strip()


def test_a_text_of_no_limit_is_about_a_sentence() -> None:
    lengths = {len(made(ValuePlan(maker="text"), random.Random(n))[0]) for n in range(300)}

    assert min(lengths) == 20
    assert max(lengths) == 60


@pytest.mark.parametrize(
    ("low", "high", "fits"),
    [(None, None, True), (18, 18, True), (19, None, False), (None, 17, False), (0, 18, True)],
)
def test_a_text_carries_a_key_only_at_a_length_that_it_may_have(
    low: int | None, high: int | None, fits: bool
) -> None:
    assert can_be_distinct(ValuePlan(maker="text", low=low, high=high)) is fits


def test_one_of_some_texts_or_an_array_carries_no_key() -> None:
    assert not can_be_distinct(ValuePlan(maker="text", labels=("a", "b")))
    assert not can_be_distinct(ValuePlan(maker="uuid", item=ValuePlan(maker="uuid")))


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0000000000"), (35, "000000000z"), (36, "0000000010")]
)
def test_a_keys_number_has_ten_digits_so_that_texts_sort_as_numbers_do(
    number: int, text: str
) -> None:
    assert distinct(ValuePlan(maker="text"), "run00001", 7, number) == f"run00001{text}"


def test_a_numeric_key_stands_in_the_runs_own_span() -> None:
    assert distinct(plan_of("bigint"), "run00001", 3 * KEY_SPAN, 17) == "3000000000000017"


def test_a_fraction_is_written_with_all_of_its_digits_and_its_sign() -> None:
    bounds = ValuePlan(maker="numeric", scale=2, low=-5, high=-5)
    whole = ValuePlan(maker="numeric", scale=0, low=-5, high=-5)

    assert made(bounds, random.Random(1))[0] == "-0.05"
    assert made(whole, random.Random(1))[0] == "-5"


@pytest.mark.parametrize(
    ("declared", "digits"),
    [("timestamp(0) without time zone", 0), ("timestamp(3) without time zone", 3),
     ("time(1) without time zone", 1), ("timestamp without time zone", 6)],
)  # fmt: skip
def test_a_moment_has_as_many_digits_of_a_second_as_its_column(declared: str, digits: int) -> None:
    text, _ = made(plan_of(declared), random.Random(5))

    assert len(text.partition(".")[2]) == digits


@pytest.mark.parametrize(
    ("declared", "kind"),
    [("timestamp(3) without time zone", ColumnKind.TIMESTAMP_MS),
     ("timestamp(4) without time zone", ColumnKind.TIMESTAMP_US),
     ("time(3) without time zone", ColumnKind.TIME_MS), ("time without time zone", "time_us")],
)  # fmt: skip
def test_the_digits_of_a_second_say_how_debezium_writes_a_moment(declared: str, kind: str) -> None:
    assert plan_of(declared).kind == ColumnKind(kind)


@given(seed=st.integers(0, 10**6))
def test_a_range_begins_before_it_ends(seed: int) -> None:
    for declared in ("int4range", "numrange", "daterange", "tsrange"):
        text, _ = made(plan_of(declared), random.Random(seed))
        low, high = text.strip("[)").split(",")
        assert (text[0], text[-1]) == ("[", ")")
        assert (int(low) < int(high)) if low.isdigit() else (low < high)
