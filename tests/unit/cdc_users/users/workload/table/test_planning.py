"""What is written into a user's own table is what its pipeline can be asked for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from cdc_users.users.workload.table.plan import ColumnPlan, ReferencePlan
from cdc_users.users.workload.table.planning import PROBE_LENGTH, Planned, TableWish, plan_table
from infra.postgres.catalog import CatalogColumn, CatalogReference, CatalogTable, CatalogType
from infra.postgres.table import Table

FOUND = CatalogTable(
    table=Table("shop", "orders"),
    columns=(
        CatalogColumn("id", CatalogType("bigint"), "bigint", required=True),
        CatalogColumn("state", CatalogType("text"), "text", required=False, default="'new'::text"),
        CatalogColumn("note", CatalogType("text"), "text", required=False),
        CatalogColumn("probe", CatalogType("text"), "text", required=False),
    ),
    key=("id",),
    uniques=(),
    checks=(),
    exclusions=(),
    references=(),
    replica_identity="full",
)
WISH = TableWish(probe="probe", head="x", key_base=1)


@pytest.mark.parametrize("by_debezium", [True, False])
def test_no_null_is_written_where_debezium_would_send_the_default(by_debezium: bool) -> None:
    made = plan_table(FOUND, replace(WISH, by_debezium=by_debezium))

    nullable = {column.name: column.nullable for column in made.plan.columns}
    assert nullable == {"id": False, "state": not by_debezium, "note": True}
    assert any("comes as its default" in said for said in made.plan.unaudited) is by_debezium


def column(name: str, kind: str, *modifiers: int, required: bool = False, **more: Any) -> Any:
    return CatalogColumn(name, CatalogType(kind, modifiers), kind, required, **more)


def planned(*more: CatalogColumn, wish: TableWish = WISH, **changed: Any) -> Planned:
    columns = (FOUND.columns[0], *more, FOUND.columns[-1])
    return plan_table(replace(FOUND, columns=columns, **changed), wish)


def of_column(made: Planned, name: str) -> ColumnPlan | None:
    return next((one for one in made.plan.columns if one.name == name), None)


def checks(*texts: str) -> dict[str, Any]:
    return {"checks": tuple((f"CHECK (({text}))", ()) for text in texts)}


def test_the_key_carries_the_run_and_never_changes() -> None:
    made = planned(column("n", "integer"))

    assert made.mistakes == ()
    assert [(c.name, c.fixed, c.distinct, c.nullable) for c in made.plan.columns] == [
        ("id", True, True, False),
        ("n", False, False, True),
    ]


@pytest.mark.parametrize(
    ("probe", "told"),
    [
        (None, "it has no column 'probe' for the probe; name one of its text columns (note)"),
        (column("probe", "bigint"), "column 'probe' cannot hold the probe"),
        (column("probe", "character varying", PROBE_LENGTH - 1), "cannot hold the probe"),
        (column("probe", "text", generated=True), "cannot hold the probe"),
        (column("probe", "character varying", PROBE_LENGTH), ""),
        (column("probe", "citext"), ""),
    ],
)
def test_the_probe_needs_a_text_column_with_room(probe: CatalogColumn | None, told: str) -> None:
    columns = (FOUND.columns[0], column("note", "text"), *([probe] if probe else []))

    made = plan_table(replace(FOUND, columns=columns), WISH)

    assert bool(told) is bool(made.mistakes)
    assert told in "".join(made.mistakes)


def test_a_table_without_any_text_column_is_told_to_have_one_added() -> None:
    made = plan_table(replace(FOUND, columns=FOUND.columns[:1]), WISH)

    assert made.mistakes == (
        "table shop.orders: it has no column 'probe' for the probe; let --add-probe yes add it",
    )


def test_a_column_of_a_key_cannot_hold_the_probe() -> None:
    made = planned(uniques=(("probe",),))

    assert "column 'probe' cannot hold the probe" in made.mistakes[0]


@pytest.mark.parametrize(
    ("more", "written"),
    [
        ({"identity": "always"}, False),
        ({"default": "nextval('orders_n_seq'::regclass)"}, False),
        ({"generated": True}, False),
        ({"default": "0"}, True),
    ],
)
def test_what_the_server_numbers_or_works_out_is_left_to_it(
    more: dict[str, Any], written: bool
) -> None:
    made = planned(column("n", "integer", required=True, **more))

    assert made.mistakes == ()
    assert (of_column(made, "n") is not None) is written
    assert any("n left to PostgreSQL" in said for said in made.plan.unaudited) is not written


@pytest.mark.parametrize(("identity", "overriding"), [("always", True), ("by default", False)])
def test_an_identity_key_is_written_over(identity: str, overriding: bool) -> None:
    key = column("id", "bigint", required=True, identity=identity)

    made = plan_table(replace(FOUND, columns=(key, FOUND.columns[-1])), WISH)

    assert made.mistakes == ()
    assert made.plan.overriding is overriding


@pytest.mark.parametrize(
    ("more", "custom", "refused"),
    [
        ({"required": True}, False, True),
        ({"required": True}, True, False),
        ({"required": True, "default": "x"}, False, False),
        ({"required": False}, False, False),
    ],
)
def test_a_type_that_cannot_be_made_is_refused_where_the_column_must_have_a_value(
    more: dict[str, Any], custom: bool, refused: bool
) -> None:
    made = planned(column("area", "polygon", **more), wish=replace(WISH, custom=custom))

    assert bool(made.mistakes) is refused
    assert all("values of column area (polygon) cannot be made" in text for text in made.mistakes)
    assert of_column(made, "area") is None


def test_checks_of_single_columns_are_kept() -> None:
    made = planned(
        column("n", "smallint"),
        column("state", "text"),
        column("code", "text"),
        column("must", "boolean"),
        **checks(
            "(n >= 1) AND (n < 10)",
            "state = ANY (ARRAY['new'::text, 'paid'::text])",
            "length(code) >= 80",
            "must IS NOT NULL",
        ),
    )

    assert made.mistakes == ()
    n, state, code, must = (of_column(made, name) for name in ("n", "state", "code", "must"))
    assert n is not None
    assert (n.value.low, n.value.high) == (1, 9)
    assert state is not None
    assert state.value.labels == ("new", "paid")
    assert code is not None
    assert code.value.low == 80
    assert must is not None
    assert not must.nullable


@pytest.mark.parametrize(
    "text",
    [
        "starts < ends",
        "(n > 5) AND (n < 5)",
        "n < '-40000'::integer",
        "price >= '100'::money",
        "length(n) > 3",
        "flag = 1",
        "nowhere > 1",
    ],
)
def test_a_check_that_rows_of_ours_may_not_meet_is_refused(text: str) -> None:
    more = (column("n", "smallint"), column("price", "money"), column("flag", "boolean"))

    (mistake,) = planned(*more, **checks(text)).mistakes

    assert mistake.startswith(f"table shop.orders: CHECK (({text})) cannot be met by rows that")
    assert "a subclass of PostgresUser" in mistake
    assert planned(*more, wish=replace(WISH, custom=True), **checks(text)).mistakes == ()


def test_a_domains_check_is_one_of_its_column() -> None:
    kind = CatalogType("integer", checks=("CHECK ((VALUE >= 7))",))
    odd = CatalogType("integer", checks=("CHECK ((VALUE % 2 = 0))",))

    made = planned(
        CatalogColumn("a", kind, "seven", required=False),
        CatalogColumn("b", odd, "even", required=False),
    )

    found = of_column(made, "a")
    assert found is not None
    assert found.value.low == 7
    (mistake,) = made.mistakes
    assert "CHECK ((VALUE % 2 = 0)) (column b) cannot be met" in mistake


def test_an_exclusion_is_refused_unless_the_users_code_makes_rows() -> None:
    exclusion = ("EXCLUDE USING gist (period WITH &&)",)

    assert "EXCLUDE USING gist" in planned(exclusions=exclusion).mistakes[0]
    assert planned(exclusions=exclusion, wish=replace(WISH, custom=True)).mistakes == ()


SHOP = CatalogReference("fk_shop", ("shop",), Table("shop", "shops"), ("id",))


@pytest.mark.parametrize("required", [True, False])
def test_a_reference_takes_rows_that_are_there(required: bool) -> None:
    wish = replace(WISH, rows={"fk_shop": [("1",), ("2",)]})

    made = planned(column("shop", "bigint", required=required), references=(SHOP,), wish=wish)

    assert made.mistakes == ()
    assert made.plan.references == (ReferencePlan(columns=("shop",), rows=(("1",), ("2",))),)
    found = of_column(made, "shop")
    assert found is not None
    assert (found.fixed, found.nullable, found.distinct) == (True, False, False)


def test_a_reference_to_an_empty_table_is_null_or_refused() -> None:
    optional = planned(column("shop", "bigint"), references=(SHOP,))
    needed = planned(column("shop", "bigint", required=True), references=(SHOP,))

    assert optional.mistakes == ()
    assert of_column(optional, "shop") is None
    assert needed.mistakes == (
        "table shop.orders: shop refers to shop.shops, which has no row yet; write some there, or"
        " name it in --table before shop.orders",
    )


def test_a_table_without_a_primary_key_is_refused() -> None:
    assert "it has no primary key" in planned(key=()).mistakes[0]


@pytest.mark.parametrize("kind", ["integer", "date", "boolean"])
def test_a_key_without_room_is_refused_with_what_it_is(kind: str) -> None:
    key = column("id", kind, required=True)

    (mistake,) = plan_table(replace(FOUND, columns=(key, FOUND.columns[-1])), WISH).mistakes

    assert f"its primary key (id {kind}) has no room for keys of the run's own" in mistake


def test_a_key_that_refers_to_another_table_is_not_the_runs_own() -> None:
    made = planned(references=(replace(SHOP, columns=("id",)),), wish=replace(
        WISH, rows={"fk_shop": [("1",)]}
    ))  # fmt: skip

    assert "has no room for keys of the run's own" in made.mistakes[0]


def test_one_column_of_a_key_is_enough_to_tell_rows_apart() -> None:
    made = planned(column("part", "integer", required=True), key=("part", "id"))

    assert made.mistakes == ()
    assert [(c.name, c.fixed, c.distinct) for c in made.plan.columns] == [
        ("id", True, True),
        ("part", True, False),
    ]


@pytest.mark.parametrize(
    ("kind", "required", "kept", "told"),
    [
        ("text", True, True, ""),
        ("date", False, False, ""),
        ("date", True, True, "UNIQUE (code) cannot be kept by values made here"),
    ],
)
def test_what_is_unique_carries_the_key_or_is_left_out_or_refused(
    kind: str, required: bool, kept: bool, told: str
) -> None:
    made = planned(column("code", kind, required=required), uniques=(("code",),))

    found = of_column(made, "code")
    assert (found is not None) is kept
    assert bool(told) is bool(made.mistakes)
    assert told in "".join(made.mistakes)
    assert found is None or found.fixed
    assert found is None or found.distinct is not bool(told)


def test_unique_columns_beside_the_key_need_nothing_of_their_own() -> None:
    made = planned(column("day", "date", required=True), uniques=(("id", "day"),))

    assert made.mistakes == ()
    found = of_column(made, "day")
    assert found is not None
    assert (found.fixed, found.distinct) == (True, False)


@pytest.mark.parametrize(
    ("identity", "changes", "columns", "told"),
    [
        ("nothing", {"update"}, (), "REPLICA IDENTITY NOTHING lets PostgreSQL refuse"),
        ("nothing", set(), (), ""),
        ("index", {"delete"}, ("code",), "an index without the primary key"),
        ("index", {"delete"}, ("id",), ""),
        ("index", {"update"}, ("code",), ""),
        ("default", {"update", "delete"}, (), ""),
    ],
)
def test_a_replica_identity_that_hides_the_row_is_refused(
    identity: Any, changes: set[str], columns: tuple[str, ...], told: str
) -> None:
    wish = replace(WISH, changes=frozenset(changes))

    made = planned(replica_identity=identity, identity_columns=columns, wish=wish)

    assert bool(told) is bool(made.mistakes)
    assert told in "".join(made.mistakes)


@pytest.mark.parametrize(
    ("identity", "changes", "told"),
    [("default", {"delete"}, True), ("full", {"delete"}, False), ("default", {"update"}, False)],
)
def test_a_delete_that_names_its_key_alone_is_told(
    identity: Any, changes: set[str], told: bool
) -> None:
    made = planned(replica_identity=identity, wish=replace(WISH, changes=frozenset(changes)))

    assert any("sends a delete's key alone" in said for said in made.plan.unaudited) is told


def test_every_mistake_of_a_table_is_told_at_once() -> None:
    made = plan_table(
        replace(FOUND, columns=FOUND.columns[:1], key=(), **checks("a < b")),
        replace(WISH, probe="none"),
    )

    probe, check, key = made.mistakes
    assert "it has no column 'none' for the probe" in probe
    assert "CHECK ((a < b)) cannot be met" in check
    assert "it has no primary key" in key


@pytest.mark.parametrize("by_debezium", [True, False])
def test_what_debezium_changes_is_told_only_where_debezium_reads(by_debezium: bool) -> None:
    wish = replace(WISH, by_debezium=True) if by_debezium else WISH

    made = planned(column("pause", "interval"), wish=wish)

    assert any("a month comes as 30.44 days" in said for said in made.plan.unaudited) is by_debezium


@pytest.mark.parametrize(
    ("required", "kept"), [((False, False), ["day"]), ((True, False), ["code", "day"])]
)
def test_what_is_unique_together_is_left_out_where_all_of_it_may_be_null(
    required: tuple[bool, bool], kept: list[str]
) -> None:
    code, day = (
        column(name, "date", required=must)
        for name, must in zip(("code", "day"), required, strict=True)
    )

    made = planned(code, day, uniques=(("code", "day"),))

    assert [one.name for one in made.plan.columns if one.name != "id"] == kept
    assert bool(made.mistakes) is any(required)
