"""CHECKs as PostgreSQL writes them: those that are read, and those that nobody can guess."""

from __future__ import annotations

from decimal import Decimal

import pytest

from cdc_users.users.workload.table.check import Demand, demands


@pytest.mark.parametrize(
    ("definition", "found"),
    [
        ("CHECK ((price > (0)::numeric))", [("price", Demand(low=Decimal(0), above=True))]),
        (
            "CHECK (((rating >= 1) AND (rating <= 5)))",
            [("rating", Demand(low=Decimal(1))), ("rating", Demand(high=Decimal(5)))],
        ),
        ("CHECK ((0 < n))", [("n", Demand(low=Decimal(0), above=True))]),
        (
            "CHECK ((state = ANY (ARRAY['new'::text, 'it''s'::text])))",
            [("state", Demand(labels=("new", "it's")))],
        ),
        (
            "CHECK (((state)::text = ANY ((ARRAY['a'::character varying,"
            " 'b'::character varying])::text[])))",
            [("state", Demand(labels=("a", "b")))],
        ),
        ("CHECK ((kind = 'only'::text))", [("kind", Demand(labels=("only",)))]),
        (
            "CHECK ((char_length((code)::text) >= 3))",
            [("code", Demand(low=Decimal(3), of_length=True))],
        ),
        ("CHECK ((name <> ''::text))", [("name", Demand(low=Decimal(1), of_length=True))]),
        ("CHECK ((note IS NOT NULL))", [("note", Demand(required=True))]),
        ('CHECK (("Odd Name" < 5)) NOT VALID', [("Odd Name", Demand(high=Decimal(5), below=True))]),
        ("CHECK ((VALUE >= (0)::numeric))", [("VALUE", Demand(low=Decimal(0)))]),
        ("CHECK ((kind = 'a::text'::text))", [("kind", Demand(labels=("a::text",)))]),
        (
            "CHECK ((state = ANY (ARRAY['std::string'::text, ' AND '::text, ''::text])))",
            [("state", Demand(labels=("std::string", " AND ", "")))],
        ),
        (
            "CHECK ((level = ANY (ARRAY[1, '-2'::integer, (-3), 2.5])))",
            [("level", Demand(labels=("1", "-2", "-3", "2.5")))],
        ),
        (
            "CHECK (((((a >= 1) AND (b <= '-5'::integer)) AND (c <> ''::text))))",
            [
                ("a", Demand(low=Decimal(1))),
                ("b", Demand(high=Decimal(-5))),
                ("c", Demand(low=Decimal(1), of_length=True)),
            ],
        ),
        ("CHECK ((n <> 0)) NO INHERIT NOT VALID", [("n", Demand(low=Decimal(0), above=True))]),
        ("CHECK ((10 >= n))", [("n", Demand(high=Decimal(10)))]),
        ("CHECK ((n = 5))", [("n", Demand(low=Decimal(5), high=Decimal(5)))]),
        ('CHECK (("say ""it""" > 0.25))', [('say "it"', Demand(low=Decimal("0.25"), above=True))]),
    ],
)
def test_a_check_of_single_columns_is_read(
    definition: str, found: list[tuple[str, Demand]]
) -> None:
    assert demands(definition) == found


@pytest.mark.parametrize(
    "definition",
    [
        "CHECK ((total = (price * (n)::numeric)))",
        "CHECK (((a > 0) OR (b > 0)))",
        "CHECK ((mail ~~ '%@%'::text))",
        "CHECK ((starts < ends))",
        "CHECK ((lower(code) = code))",
        "CHECK ((a > 0) AND (starts < ends))",
        "CHECK (((a = ANY (ARRAY['x'::text])) OR (b = ANY (ARRAY['y'::text]))))",
        "CHECK ((a = ANY (ARRAY['x'::text, upper('y'::text)])))",
        "CHECK ((a = ANY (ARRAY['x'::text, b])))",
        "CHECK ((a = ANY (ARRAY[]::text[])))",
        "CHECK ((a <> 'x'::text))",
        "CHECK ((a > '1e5'::double precision))",
    ],
)
def test_a_check_that_says_more_is_not_guessed(definition: str) -> None:
    assert demands(definition) is None


@pytest.mark.parametrize(
    ("demand", "unit", "least", "most"),
    [
        (Demand(low=Decimal(0), above=True), 1, 1, None),
        (Demand(low=Decimal(0), above=True), 100, 1, None),
        (Demand(high=Decimal(1), below=True), 1000, None, 999),
        (Demand(low=Decimal("0.5"), high=Decimal("2.5")), 1, 1, 2),
        (Demand(low=Decimal("0.5"), above=True, high=Decimal("2.5"), below=True), 1, 1, 2),
        (Demand(low=Decimal("-0.5"), high=Decimal("-0.125")), 8, -4, -1),
        (Demand(), 1, None, None),
    ],
)
def test_a_bound_is_counted_in_the_least_unit(
    demand: Demand, unit: int, least: int | None, most: int | None
) -> None:
    assert (demand.least(unit), demand.most(unit)) == (least, most)
