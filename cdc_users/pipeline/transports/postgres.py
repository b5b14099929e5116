"""A second database of the run's own on the source's server; its log shows each commit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cdc_users.observe.settings import PostgresLogSettings, PostgresSideSettings, listed_tables
from cdc_users.pipeline.declaration import TransportDeclaration
from cdc_users.pipeline.prepared import Prepared
from cdc_users.pipeline.provision.ground import Ground


def make_database(ground: Ground) -> Mapping[str, str]:
    """Create the database with the source's schema and tables, a publication, and a slot on them.

    The schema is first in the search path, because the JDBC sink writes table names without a
    schema.
    """
    from infra.postgres.database import connect_to, create_database, of_database, use_schema
    from infra.postgres.publication import create_publication
    from infra.postgres.slot import create_slot
    from infra.postgres.table import create_customers, create_schema

    name, slot = ground.name, f"{ground.name}_sink"
    with ground.postgres() as connection:
        create_database(connection, ground.note("database", name), ground.run)
    dsn = of_database(ground.endpoints.postgres_dsn, name)
    with connect_to(dsn) as sink:
        create_schema(sink, name, ground.run)
        tables = [create_customers(sink, name, table) for table in ground.tables]
        use_schema(sink, name)
        create_publication(sink, slot, tables)
        create_slot(sink, ground.note("slot", slot))
    return {
        "endpoint": dsn,
        "name": ",".join(f"{name}.{table}" for table in ground.tables),
        "slot": slot,
    }


def _tap(prepared: Prepared) -> PostgresLogSettings:
    made = prepared.names.stream
    return PostgresLogSettings(
        dsn=made["endpoint"], table=made["name"], slot=made["slot"], publication=made["slot"]
    )


def _finals(prepared: Prepared) -> Sequence[PostgresSideSettings]:
    """The copies of all tables."""
    made = prepared.names.stream
    return [
        PostgresSideSettings(dsn=made["endpoint"], table=table)
        for table in listed_tables(made["name"])
    ]


POSTGRES = TransportDeclaration(
    "postgres", "PostgreSQL", tap=_tap, provision=make_database, finals=_finals, named=True
)
