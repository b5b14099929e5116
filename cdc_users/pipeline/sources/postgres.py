"""Rows go into tables of the database; a capture reads its log."""

from __future__ import annotations

from cdc_users.observe.settings import PostgresSideSettings
from cdc_users.pipeline.declaration import SourceDeclaration
from cdc_users.pipeline.prepared import MadeNames, Prepared
from cdc_users.pipeline.provision.ground import Ground
from cdc_users.users.target import DatabaseTarget


def _target(prepared: Prepared) -> DatabaseTarget:
    names = prepared.names
    return DatabaseTarget(prepared.endpoints.postgres_dsn, names.schema, names.tables)


def _final(prepared: Prepared) -> PostgresSideSettings | None:
    """The source table; None where there are several."""
    names = prepared.names
    if len(names.tables) > 1:
        return None
    table = f"{names.schema}.{names.tables[0]}"
    return PostgresSideSettings(dsn=prepared.endpoints.postgres_dsn, table=table)


def _provision(ground: Ground) -> MadeNames:
    """Tables of the run's own with a publication; or the user's own, checked and left alone."""
    from infra.postgres.publication import create_publication
    from infra.postgres.table import Table, check_customers, create_customers, create_schema

    name = ground.name
    if ground.connector:
        schema, _, table = ground.table.rpartition(".")
        with ground.postgres() as connection:
            check_customers(connection, Table(schema, table))
        return {"schema": schema, "tables": (table,)}
    with ground.postgres() as connection:
        create_schema(connection, ground.note("schema", name), ground.run)
        sources = [create_customers(connection, name, table) for table in ground.tables]
        create_publication(connection, ground.note("publication", name), sources)
    return {"publication": name}


POSTGRES = SourceDeclaration(
    "postgres", lanes="writer", target=_target, final=_final, provision=_provision, database=True
)
