"""Rows go into tables of the database; a capture reads its log."""

from __future__ import annotations

from cdc_users.observe.settings import PostgresSideSettings
from cdc_users.pipeline.declaration import SourceDeclaration, captures
from cdc_users.pipeline.prepared import MadeNames, Prepared
from cdc_users.pipeline.provision.ground import Ground
from cdc_users.scenario import Pipeline
from cdc_users.users.target import DatabaseTarget
from infra.stack.endpoints import Endpoints
from infra.validate import dsn_place


def _target(prepared: Prepared) -> DatabaseTarget:
    names = prepared.names
    return DatabaseTarget(prepared.endpoints.postgres_dsn, names.schema, names.tables, names.plans)


def _finals(prepared: Prepared) -> tuple[PostgresSideSettings, ...]:
    """The source tables."""
    dsn, tables = prepared.endpoints.postgres_dsn, prepared.names.source_tables
    return tuple(PostgresSideSettings(dsn=dsn, table=table) for table in tables)


def _provision(ground: Ground) -> MadeNames:
    """Tables of the run's own with a publication, or plans for the user's own tables."""
    from infra.postgres.publication import create_publication
    from infra.postgres.table import create_customers, create_schema

    name = ground.name
    if ground.own.tables:
        return _own(ground)
    with ground.postgres() as connection:
        create_schema(connection, ground.note("schema", name), ground.run)
        sources = [create_customers(connection, name, table) for table in ground.tables]
        create_publication(connection, ground.note("publication", name), sources)
    return {"publication": name}


def _own(ground: Ground) -> MadeNames:
    """The user's own tables; with a publication if the run also creates the connector."""
    from cdc_users.pipeline.sources.table.provide import own_tables
    from infra.postgres.publication import create_publication

    plans = own_tables(ground)
    made: MadeNames = {
        "schema": plans[0].schema,
        "tables": tuple(plan.name for plan in plans),
        "plans": plans,
    }
    if not ground.own.published:
        return made
    with ground.postgres() as connection:
        create_publication(connection, ground.note("publication", ground.name), ground.own.tables)
    return {**made, "publication": ground.name}


def _check(endpoints: Endpoints, pipeline: Pipeline) -> None:
    from contextlib import closing

    from cdc_users.pipeline.provision.cleanup.removal import connect
    from infra.postgres.rights import refuse_source

    with closing(connect(endpoints.postgres_dsn)) as connection:
        reader = endpoints.postgres_user_from_connect or ""
        captured = not captures().by_name[pipeline.capture].runs_already
        own = bool(pipeline.connector)
        refuse_source(connection.cursor(), reader, own=own, captured=captured)


def _host(endpoints: Endpoints) -> str | None:
    dsn = endpoints.postgres_dsn
    return dsn_place(dsn).get("host", "127.0.0.1") if dsn else None


POSTGRES = SourceDeclaration(
    "postgres",
    lanes="writer",
    target=_target,
    finals=_finals,
    provision=_provision,
    database=True,
    check=_check,
    host=_host,
    timed=True,
)
