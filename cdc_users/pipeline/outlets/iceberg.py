"""Events come out in an Iceberg table of any catalog in PyIceberg's own configuration."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from cdc_users.observe.settings import IcebergSettings, IcebergSideSettings, listed_tables
from cdc_users.pipeline.declaration import OutletDeclaration
from cdc_users.pipeline.outlets.postgres import check_each_once
from cdc_users.pipeline.prepared import MadeNames, Prepared
from cdc_users.pipeline.provision.ground import Ground

PLACE = "CATALOG.TABLE"


def _check(place: str) -> None:
    names = listed_tables(place)
    for name in names:
        parts = name.split(".")
        if len(parts) < 3 or not all(parts):
            raise ValueError(
                f"{name!r} is not {PLACE}, with the table's namespace, e.g. prod.shop.customers"
            )
    if len({name.partition(".")[0] for name in names}) > 1:
        raise ValueError(f"{place!r} names two catalogs; name the tables of one, or two taps")
    check_each_once(place, names)


def _named(place: str) -> tuple[str, tuple[str, ...]]:
    """The catalog, and its tables."""
    names = [name.partition(".") for name in listed_tables(place)]
    return names[0][0], tuple(table for _, _, table in names)


def _tap(_prepared: Prepared, place: str, mode: str = "append") -> IcebergSettings:
    catalog, tables = _named(place)
    return IcebergSettings(
        catalog=catalog, table=",".join(tables), properties={}, mode=mode, from_end=True
    )


def _finals(_prepared: Prepared, place: str, mode: str = "append") -> Sequence[IcebergSideSettings]:
    catalog, tables = _named(place)
    return [
        IcebergSideSettings(catalog=catalog, table=table, properties={}, mode=mode)
        for table in tables
    ]


def _provision(ground: Ground, place: str) -> MadeNames:
    """Make nothing; raises StackConfigError for a table that cannot be watched."""
    catalog, tables = _named(place)
    for table in tables:
        _look_at(ground, catalog, table)
    return {}


def _look_at(ground: Ground, catalog: str, name: str) -> None:
    from contextlib import closing

    from cdc_users.observe.tap import TapError
    from cdc_users.observe.taps.iceberg import Warehouse
    from infra.stack.error import StackConfigError

    settings = IcebergSettings(catalog=catalog, table=name, properties={})
    with closing(Warehouse(settings)) as warehouse:
        try:
            table = warehouse.table()
        except TapError as error:
            raise StackConfigError(
                f"{error}; name catalog {catalog!r} in .pyiceberg.yaml or with"
                f" PYICEBERG_CATALOG__{catalog.upper()}__URI"
            ) from error
        if table is None:
            raise StackConfigError(
                f"there is no table {name} in catalog {catalog!r}; create it, or name another"
            )
        probe = ground.own.probe
        if probe not in table.schema().column_names:
            raise StackConfigError(
                f"table {name} has no column {probe!r}; add one of text, which the pipeline fills,"
                " or name it with --probe-column"
            )


def _declared(name: str, mode: str) -> OutletDeclaration:
    return OutletDeclaration(
        name,
        PLACE,
        _check,
        tap=partial(_tap, mode=mode),
        finals=partial(_finals, mode=mode),
        provision=_provision,
        states=mode == "upsert",
        tables=True,
        package="pyiceberg",
        extra="iceberg",
    )


#: A table of changes: one row for each event, or rows that are only inserted.
ICEBERG = _declared("iceberg", "append")
#: A table that is kept equal to the source's table.
ICEBERG_STATE = _declared("iceberg-state", "upsert")
