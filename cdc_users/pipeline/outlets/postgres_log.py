"""Events come out in a table; its database's log shows each commit to it."""

from __future__ import annotations

from cdc_users.observe.settings import PostgresLogSettings
from cdc_users.pipeline.declaration import OutletDeclaration
from cdc_users.pipeline.outlets.postgres import check_table, final_table
from cdc_users.pipeline.prepared import MadeNames, Prepared
from cdc_users.pipeline.provision.ground import Ground


def _tap(prepared: Prepared, place: str) -> PostgresLogSettings:
    return PostgresLogSettings(
        dsn=prepared.endpoints.sink,
        table=place,
        slot=prepared.names.sink_slot,
        publication=prepared.names.sink_slot,
    )


def _provision(ground: Ground, place: str) -> MadeNames:
    """A publication of the table, and a slot, on the sink's own database."""
    from infra.postgres.publication import create_publication
    from infra.postgres.sink_log import check_sink
    from infra.postgres.slot import create_slot

    name, dsn = f"{ground.name}_sink", ground.endpoints.sink
    with ground.sink() as connection:
        table = check_sink(connection, place)
        ground.note("sink-publication", f"{name} {dsn}")
        create_publication(connection, name, [table])
        ground.note("sink-slot", f"{name} {dsn}")
        create_slot(connection, name)
    return {"sink_slot": name}


POSTGRES_LOG = OutletDeclaration(
    "postgres-log", "SCHEMA.TABLE", check_table, tap=_tap, final=final_table, provision=_provision
)
