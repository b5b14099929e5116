"""A table of the sink's own has its source's types where the schema tells them."""

from __future__ import annotations

import pytest

from infra.avro.kind import Column, ColumnKind, SourceType, column_of
from infra.platform.sinks.postgres.catalogue import LEFT_BEHIND, SinkColumn
from infra.platform.sinks.postgres.conversion import conversion
from infra.platform.sinks.postgres.own_type import (
    dropped,
    followed_type,
    is_narrowed,
    may_be_renamed,
    own_type,
)
from tests.unit.infra.platform.sinks.postgres.columns import column, numeric, plain

ZONED = ColumnKind.ZONED_TIMESTAMP


def told(
    kind: ColumnKind, name: str, length: int | None = None, bits: int | None = None, scale: int = 0
) -> Column:
    return Column("v", kind, True, scale=scale, bits=bits, source=SourceType(name, length))


@pytest.mark.parametrize("kind", [kind for kind in ColumnKind if kind is not ColumnKind.OTHER])
def test_a_table_of_the_sinks_own_holds_every_kind_without_a_proof(kind: ColumnKind) -> None:
    made = conversion(column(kind), plain(own_type(column(kind))))

    assert made is not None
    assert made.proof is None


def test_a_point_is_a_point_and_other_records_are_json() -> None:
    point, other = (Column("v", ColumnKind.OTHER, True, record=name) for name in ("Point", "Pair"))

    assert (own_type(point), own_type(other)) == ("point", "jsonb")
    assert (made := conversion(point, plain("point"))) is not None
    assert made.make is not None
    assert made.make({"x": 1.5, "y": -2.0, "wkb": None, "srid": None}) == "(1.5,-2.0)"


@pytest.mark.parametrize(
    ("source", "kind", "target"),
    [
        (told(ColumnKind.BOOLEAN, "bit", 1), "bit(1)", plain('"bit"', 1)),
        (told(ColumnKind.BYTES, "bit", 16, bits=16), "bit(16)", plain('"bit"', 16)),
        (told(ColumnKind.DECIMAL, "money", 19, scale=2), "money", plain("money")),
        (told(ColumnKind.TEXT, "bpchar", 5), "bpchar(5)", plain("bpchar", 9)),
        (told(ColumnKind.TEXT, "inet"), "inet", plain("inet")),
        (told(ColumnKind.JSON, "jsonb"), "jsonb", plain("jsonb")),
    ],
)
def test_a_type_that_the_schema_tells_is_the_tables_too(
    source: Column, kind: str, target: SinkColumn
) -> None:
    assert own_type(source) == kind
    assert conversion(source, target) is not None


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        (told(ColumnKind.BYTES, "varbit", 12, bits=12), "bytea"),
        (told(ColumnKind.BYTES, "bit", 8, bits=16), "bytea"),
        (told(ColumnKind.TEXT, "bpchar"), "text"),
        (told(ColumnKind.TEXT, "varchar", 3), "text"),
        (told(ColumnKind.TEXT, "tstzrange"), "text"),
        (told(ColumnKind.TEXT, "money"), "text"),
        (column(ColumnKind.BOOLEAN), "boolean"),
    ],
)
def test_a_type_whose_values_could_not_be_proved_is_as_if_nobody_had_told_it(
    source: Column, kind: str
) -> None:
    assert own_type(source) == kind


def test_a_schema_tells_the_sources_type_in_its_parameters() -> None:
    parameters = {
        "__debezium.source.column.type": "BPCHAR",
        "__debezium.source.column.length": "5",
        "__debezium.source.column.name": "v",
    }
    schema = {"type": "string", "connect.parameters": parameters}

    assert column_of("v", schema, True) == told(ColumnKind.TEXT, "bpchar", 5)
    parameters["__debezium.source.column.length"] = "2147483647"
    assert column_of("v", schema, True) == told(ColumnKind.TEXT, "bpchar")


@pytest.mark.parametrize(
    ("source", "target", "expected"),
    [
        (column(ColumnKind.INT64), plain("integer"), "bigint"),
        (column(ColumnKind.INT32), plain("bigint"), None),
        (column(ColumnKind.DECIMAL, 12, 4), numeric(10, 2), "numeric(12,4)"),
        (column(ColumnKind.DECIMAL, 6, 4), numeric(10, 2), "numeric(12,4)"),
        (column(ColumnKind.DECIMAL, 10, 2), numeric(12, 4), None),
        (column(ColumnKind.VARIABLE_DECIMAL), numeric(10, 2), "numeric"),
        (column(ZONED), plain("timestamp without time zone"), None),
        (told(ColumnKind.TEXT, "bpchar", 10), plain("bpchar", 9), "bpchar(10)"),
        (told(ColumnKind.TEXT, "bpchar", 3), plain("bpchar", 9), None),
        (column(ColumnKind.TEXT), plain("bpchar", 9), "text"),
        (column(ColumnKind.TEXT), plain("inet"), "text"),
        (column(ColumnKind.JSON), plain("jsonb"), "json"),
        (column(ColumnKind.DECIMAL, 12, 2), plain("money"), "numeric(12,2)"),
        # Tables that were made before the schema told anything stay as they are.
        (told(ColumnKind.BOOLEAN, "bit", 1), plain("boolean"), None),
        (told(ColumnKind.DECIMAL, "money", scale=2), plain("numeric"), None),
    ],
)
def test_a_type_is_followed_only_where_it_holds_both(
    source: Column, target: SinkColumn, expected: str | None
) -> None:
    assert followed_type(source, target) == expected


@pytest.mark.parametrize(
    ("source", "target", "expected"),
    [
        (column(ColumnKind.DECIMAL, 10, 2), numeric(12, 4), True),
        (column(ColumnKind.DECIMAL, 10, 2), numeric(12, 2), False),
        (column(ColumnKind.DECIMAL, 12, 4), numeric(12, 2), False),
        (column(ColumnKind.DECIMAL, 10, 2), plain("numeric"), True),
        (column(ColumnKind.VARIABLE_DECIMAL), plain("numeric"), False),
        (column(ColumnKind.DECIMAL, 3, 5), plain("numeric"), False),
        (column(ColumnKind.FLOAT32), plain("double precision"), True),
        (column(ColumnKind.INT32), plain("double precision"), True),
        (column(ColumnKind.INT32), numeric(10, 2), True),
        (column(ColumnKind.INT32), plain("bigint"), False),
        (column(ColumnKind.DATE), plain("timestamp without time zone"), True),
        (column(ColumnKind.TIMESTAMP_MS), plain("timestamp without time zone"), False),
        (column(ColumnKind.INT32), plain("text"), True),
        # Tables that were made before the schema told anything stay as they are.
        (told(ColumnKind.TEXT, "inet"), plain("text"), False),
        (told(ColumnKind.JSON, "jsonb"), plain("json"), False),
        (told(ColumnKind.DECIMAL, "money", scale=2), plain("numeric"), False),
    ],
)
def test_a_type_that_holds_less_than_the_table_may_have_is_narrowed(
    source: Column, target: SinkColumn, expected: bool
) -> None:
    assert is_narrowed(source, target) is expected


@pytest.mark.parametrize("kind", [kind for kind in ColumnKind if kind is not ColumnKind.OTHER])
def test_no_type_is_narrower_than_its_own(kind: ColumnKind) -> None:
    assert not is_narrowed(column(kind), plain(own_type(column(kind))))


@pytest.mark.parametrize(
    ("names", "pairs"),
    [
        (["id", "state"], ()),
        (["id", "state", "note"], ()),
        (["id"], ()),
        (["id", "note"], (("state", "note"),)),
        (["note", "state"], (("id", "note"),)),
    ],
)
def test_a_column_that_is_gone_with_a_new_one_of_its_type_may_have_another_name(
    names: list[str], pairs: tuple[tuple[str, str], ...]
) -> None:
    columns = [Column(name, ColumnKind.TEXT, True) for name in names]
    table = {name: SinkColumn(name, "text", "text") for name in ("id", "state")}
    version = {"cdc_version": SinkColumn("cdc_version", "bigint", "bigint")}

    assert may_be_renamed(columns, table | version) == pairs


@pytest.mark.parametrize(
    ("names", "comments", "found"),
    [
        (["id", "state"], {}, ((), ())),
        (["id"], {}, (("state",), ())),
        (["id"], {"state": "ours"}, ((), ())),
        (["id"], {"state": LEFT_BEHIND}, ((), ())),
        (["id", "note"], {}, ((), ())),
        (["id", "state"], {"state": LEFT_BEHIND}, ((), ("state",))),
        (["id", "state", "note"], {"state": LEFT_BEHIND}, ((), ("state",))),
    ],
)
def test_a_column_was_dropped_if_it_is_gone_while_nothing_is_new(
    names: list[str], comments: dict[str, str], found: tuple[tuple[str, ...], tuple[str, ...]]
) -> None:
    columns = [Column(name, ColumnKind.TEXT, True) for name in names]
    table = {
        name: SinkColumn(name, "text", "text", comment=comments.get(name))
        for name in ("id", "state")
    }

    assert dropped(columns, table) == found


def test_a_column_that_was_dropped_earlier_has_no_new_name() -> None:
    columns = [Column(name, ColumnKind.TEXT, True) for name in ("id", "note")]
    state = SinkColumn("state", "text", "text", comment=LEFT_BEHIND)

    assert may_be_renamed(columns, {"id": SinkColumn("id", "text", "text"), "state": state}) == ()


def test_a_new_column_of_another_type_is_no_renamed_one() -> None:
    columns = [Column("size", ColumnKind.INT32, True)]

    assert may_be_renamed(columns, {"state": SinkColumn("state", "text", "text")}) == ()
