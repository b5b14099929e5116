"""Events come out in a table of the stack's PostgreSQL."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cdc_users.pipeline.declaration import OutletDeclaration
from cdc_users.pipeline.prepared import Prepared


def _check(place: str) -> None:
    schema, _, name = place.rpartition(".")
    if not schema or not name:
        raise ValueError(f"{place!r} is not SCHEMA.TABLE, e.g. public.customers")


def _table(prepared: Prepared, place: str) -> Mapping[str, Any]:
    return {"kind": "postgres", "dsn": prepared.endpoints.postgres_dsn, "table": place}


POSTGRES = OutletDeclaration("postgres", "SCHEMA.TABLE", _check, tap=_table, final=_table)
