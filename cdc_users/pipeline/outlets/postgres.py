"""Events come out in a table of the stack's PostgreSQL."""

from __future__ import annotations

from cdc_users.observe.settings import PostgresSettings, PostgresSideSettings
from cdc_users.pipeline.declaration import OutletDeclaration
from cdc_users.pipeline.prepared import Prepared


def _check(place: str) -> None:
    schema, _, name = place.rpartition(".")
    if not schema or not name:
        raise ValueError(f"{place!r} is not SCHEMA.TABLE, e.g. public.customers")


def _tap(prepared: Prepared, place: str) -> PostgresSettings:
    return PostgresSettings(dsn=prepared.endpoints.postgres_dsn, table=place)


def _final(prepared: Prepared, place: str) -> PostgresSideSettings:
    return PostgresSideSettings(dsn=prepared.endpoints.postgres_dsn, table=place)


POSTGRES = OutletDeclaration("postgres", "SCHEMA.TABLE", _check, tap=_tap, final=_final)
