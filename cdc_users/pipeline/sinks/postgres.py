"""The Postgres sink: a table in a schema of the run's own, on the source's server."""

from __future__ import annotations

from psycopg.conninfo import make_conninfo

from cdc_users.observe.message import TapPlace
from cdc_users.observe.settings import PostgresSettings, PostgresSideSettings
from cdc_users.pipeline.declaration import Arguments, SinkDeclaration
from cdc_users.pipeline.prepared import MadeNames, Prepared
from cdc_users.pipeline.provision.ground import Ground


def _arguments(prepared: Prepared, _: TapPlace) -> Arguments:
    names, dsn = prepared.names, prepared.endpoints.postgres_dsn
    if names.sink_hostaddr:
        dsn = make_conninfo(dsn, hostaddr=names.sink_hostaddr)
    return {"postgres-dsn": dsn, "postgres-table": names.sink_table}


def _final(prepared: Prepared) -> PostgresSideSettings:
    return PostgresSideSettings(
        dsn=prepared.endpoints.postgres_dsn, table=prepared.names.sink_table
    )


def _watch(prepared: Prepared) -> PostgresSettings:
    return PostgresSettings(dsn=prepared.endpoints.postgres_dsn, table=prepared.names.sink_table)


def _provision(ground: Ground) -> MadeNames:
    from infra.postgres.table import create_schema

    schema = f"{ground.name}_sink"
    with ground.postgres() as connection:
        create_schema(connection, ground.note("schema", schema), ground.run)
    return {"sink_table": f"{schema}.{ground.tables[0]}"}


POSTGRES = SinkDeclaration(
    "postgres", arguments=_arguments, watch=_watch, final=_final, provision=_provision
)
