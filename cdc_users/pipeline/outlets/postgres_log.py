"""Events come out in tables; their database's log shows each commit to them."""

from __future__ import annotations

import zlib

from cdc_users.observe.settings import PostgresLogSettings, listed_tables
from cdc_users.pipeline.declaration import OutletDeclaration
from cdc_users.pipeline.outlets.postgres import PLACE, check_tables, final_tables
from cdc_users.pipeline.prepared import MadeNames, Prepared
from cdc_users.pipeline.provision.ground import Ground


def _tap(prepared: Prepared, place: str) -> PostgresLogSettings:
    slot = prepared.names.sink_slots[place]
    return PostgresLogSettings(
        dsn=prepared.endpoints.sink, table=place, slot=slot, publication=slot
    )


def _provision(ground: Ground, place: str) -> MadeNames:
    """A publication of the tables, and a slot, on the sink's own database."""
    from infra.postgres.publication import create_publication
    from infra.postgres.sink_log import check_sink
    from infra.postgres.slot import create_slot

    # Several taps may each have a slot on one database.
    name = f"{ground.name}_sink_{zlib.crc32(place.encode()):08x}"
    dsn = ground.endpoints.sink
    with ground.sink() as connection:
        tables = [check_sink(connection, table, ground.own.probe) for table in listed_tables(place)]
        ground.note("sink-publication", f"{name} {dsn}")
        create_publication(connection, name, tables)
        ground.note("sink-slot", f"{name} {dsn}")
        create_slot(connection, name)
    return {"sink_slots": {place: name}}


POSTGRES_LOG = OutletDeclaration(
    "postgres-log",
    PLACE,
    check_tables,
    tap=_tap,
    finals=final_tables,
    provision=_provision,
    tables=True,
)
