"""Events come out in PostgreSQL tables: in the source's database, or in that of CDC_SINK_DSN."""

from __future__ import annotations

from collections.abc import Sequence

from cdc_users.observe.settings import PostgresSettings, PostgresSideSettings, listed_tables
from cdc_users.pipeline.declaration import OutletDeclaration
from cdc_users.pipeline.prepared import Prepared

PLACE = "SCHEMA.TABLE"


def check_tables(place: str) -> None:
    """Check for SCHEMA.TABLE, several by comma; raises ValueError."""
    names = listed_tables(place)
    for table in names:
        schema, _, name = table.rpartition(".")
        if not schema or not name:
            raise ValueError(f"{table!r} is not {PLACE}, e.g. public.customers")
    check_each_once(place, names)


def check_each_once(place: str, names: Sequence[str]) -> None:
    """Check that no table of a place is named twice; raises ValueError."""
    if len(set(names)) < len(names):
        raise ValueError(f"{place!r} names a table twice; name each once")


def _tap(prepared: Prepared, place: str) -> PostgresSettings:
    return PostgresSettings(dsn=prepared.endpoints.sink, table=place)


def final_tables(prepared: Prepared, place: str) -> Sequence[PostgresSideSettings]:
    """The tables as sides of the final comparison."""
    dsn = prepared.endpoints.sink
    return [PostgresSideSettings(dsn=dsn, table=table) for table in listed_tables(place)]


POSTGRES = OutletDeclaration(
    "postgres", PLACE, check_tables, tap=_tap, finals=final_tables, states=True, tables=True
)
