"""A type is known by its name, whatever stands in brackets behind it."""

from __future__ import annotations

import pytest

from infra.postgres.catalog import CatalogTable, CatalogType, named
from infra.postgres.table import Table
from infra.stack.debezium.loss import is_never_sent


@pytest.mark.parametrize(
    ("text", "name", "modifiers"),
    [
        ("bigint", "bigint", ()),
        ("numeric(12,2)", "numeric", (12, 2)),
        ("numeric(5,-2)", "numeric", (5, -2)),
        ("numeric(5, 0)", "numeric", (5, 0)),
        ("character varying(7)", "character varying", (7,)),
        ("character varying(7)[]", "character varying[]", (7,)),
        ("timestamp(3) with time zone", "timestamp with time zone", (3,)),
        ("bit varying(5)", "bit varying", (5,)),
        ("interval(0)", "interval", (0,)),
        ("geometry(Point,4326)", "geometry", (4326,)),
        ("public.geography(PointZ,4326)", "public.geography", (4326,)),
        ("geometry(MultiPolygon)", "geometry", ()),
        ('shop."odd (3) name"', 'shop."odd (3) name"', ()),
        ('"größe#1"', '"größe#1"', ()),
        ("", "", ()),
    ],
)
def test_a_types_name_stands_without_its_modifier(
    text: str, name: str, modifiers: tuple[int, ...]
) -> None:
    assert named(text) == (name, modifiers)


@pytest.mark.parametrize("declared", ["geometry(Point,4326)", "public.geography(Point,4326)"])
def test_a_place_of_postgis_is_sent_however_it_is_declared(declared: str) -> None:
    name, modifiers = named(declared)

    assert not is_never_sent(CatalogType(name, modifiers))


def test_a_table_is_called_with_its_schema() -> None:
    found = CatalogTable(Table("shop", "größe.1"), (), (), (), (), (), (), "full")

    assert found.name == "shop.größe.1"
