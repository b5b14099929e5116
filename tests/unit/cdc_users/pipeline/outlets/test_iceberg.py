"""A table of Iceberg in a catalog of the user's own is looked at before any load."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest
from pyiceberg.catalog import load_catalog
from pyiceberg.utils.config import Config

from cdc_users.pipeline.declaration import outlets
from cdc_users.pipeline.outlets.iceberg import ICEBERG, ICEBERG_STATE
from cdc_users.pipeline.provision.ground import OwnTables
from infra.schemas import warehouse
from infra.stack.error import StackConfigError


@pytest.fixture
def catalog(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A catalog that PyIceberg knows by the name `own`, from the environment."""
    settings = warehouse.local_catalog(tmp_path)
    for name, value in settings.items():
        monkeypatch.setenv(f"PYICEBERG_CATALOG__OWN__{name.upper()}", value)
    # PyIceberg has read the environment when it was imported.
    monkeypatch.setattr("pyiceberg.catalog._ENV_CONFIG", Config())
    with closing(load_catalog("own", **settings)) as made:
        made.create_namespace("shop")
        made.create_table("shop.orders", pa.schema([("id", pa.int64()), ("probe", pa.string())]))
        made.create_table("shop.bare", pa.schema([("id", pa.int64())]))
        yield made


def provision(place: str) -> object:
    ground: Any = SimpleNamespace(own=OwnTables())
    return ICEBERG.provision(ground, place)


def test_a_table_that_can_be_watched_has_nothing_made_for_it(catalog: Any) -> None:
    assert provision("own.shop.orders") == {}
    assert catalog.list_tables("shop") == [("shop", "bare"), ("shop", "orders")]


@pytest.mark.parametrize(
    ("place", "told"),
    [
        ("own.shop.order", "there is no table shop.order in catalog 'own'; create it"),
        ("own.shop.bare", "table shop.bare has no column 'probe'"),
        ("other.shop.orders", "PYICEBERG_CATALOG__OTHER__URI"),
    ],
)
def test_what_cannot_be_watched_is_told_with_the_remedy(
    catalog: Any, place: str, told: str
) -> None:
    with pytest.raises(StackConfigError, match=told):
        provision(place)


def test_each_of_several_tables_is_looked_at_and_watched_in_their_order(catalog: Any) -> None:
    catalog.create_table("shop.items", pa.schema([("no", pa.int64()), ("probe", pa.string())]))
    nobody: Any = None
    both = "own.shop.orders,own.shop.items"

    assert provision(both) == {}
    assert ICEBERG.tap(nobody, both).table == "shop.orders,shop.items"  # type: ignore[attr-defined]
    sides: Any = ICEBERG.finals(nobody, both)
    assert [side.table for side in sides] == ["shop.orders", "shop.items"]
    with pytest.raises(StackConfigError, match=r"table shop\.bare has no column 'probe'"):
        provision("own.shop.orders,own.shop.bare")


@pytest.mark.parametrize("place", ["orders", "own.orders", "own..orders"])
def test_a_place_names_catalog_namespace_and_table(place: str) -> None:
    with pytest.raises(ValueError, match=r"is not CATALOG\.TABLE"):
        ICEBERG.check(place)
    ICEBERG.check("prod.shop.eu.orders")


def test_a_table_that_is_kept_equal_is_another_kind_of_place() -> None:
    assert {"iceberg", "iceberg-state"} <= set(outlets().by_name)
    nobody: Any = None
    assert ICEBERG.tap(nobody, "own.shop.orders").mode == "append"  # type: ignore[attr-defined]
    assert ICEBERG_STATE.tap(nobody, "own.shop.orders").mode == "upsert"  # type: ignore[attr-defined]
