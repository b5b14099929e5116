"""Events come out in a PostgreSQL table: in the source's database, or in that of CDC_SINK_DSN."""

from __future__ import annotations

from cdc_users.observe.settings import PostgresSettings, PostgresSideSettings
from cdc_users.pipeline.declaration import OutletDeclaration
from cdc_users.pipeline.prepared import Prepared


def check_table(place: str) -> None:
    """Check for SCHEMA.TABLE; raises ValueError."""
    schema, _, name = place.rpartition(".")
    if not schema or not name:
        raise ValueError(f"{place!r} is not SCHEMA.TABLE, e.g. public.customers")


def _tap(prepared: Prepared, place: str) -> PostgresSettings:
    return PostgresSettings(dsn=prepared.endpoints.sink, table=place)


def final_table(prepared: Prepared, place: str) -> PostgresSideSettings:
    """The table as a side of the final comparison."""
    return PostgresSideSettings(dsn=prepared.endpoints.sink, table=place)


POSTGRES = OutletDeclaration(
    "postgres", "SCHEMA.TABLE", check_table, tap=_tap, final=final_table, states=True
)
