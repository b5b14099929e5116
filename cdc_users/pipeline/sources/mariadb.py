"""Rows go into tables of a MariaDB: the user's own, or one that lives as long as the run."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

from cdc_users.pipeline.declaration import SourceDeclaration
from cdc_users.pipeline.prepared import MadeNames, Prepared
from cdc_users.pipeline.provision.ground import Ground
from cdc_users.scenario import Pipeline
from cdc_users.users.target import DatabaseTarget
from infra.stack.endpoints import Endpoints


def _target(prepared: Prepared) -> DatabaseTarget:
    names = prepared.names
    return DatabaseTarget(names.mariadb, names.schema, names.tables, kind="mariadb")


def _check(endpoints: Endpoints, _: Pipeline) -> None:
    if endpoints.mariadb_url:
        _refuse(endpoints.mariadb_url)


def _refuse(url: str) -> None:
    """Raise RightsError for a server that cannot be a source, TargetError for a silent one."""
    from contextlib import closing

    from cdc_users.error import TargetError
    from infra.mariadb.address import FAILURES, connect_to, reason
    from infra.mariadb.rights import refuse_mariadb

    try:
        with closing(connect_to(url)) as connection:
            refuse_mariadb(connection)
    except FAILURES as error:
        raise TargetError(f"MariaDB does not answer as it should: {reason(error)}") from error


def _host(endpoints: Endpoints) -> str | None:
    from infra.mariadb.address import MariadbAddress

    url = endpoints.mariadb_url
    return MariadbAddress.of(url).host if url else None


def _provision(ground: Ground) -> MadeNames:
    """A database of the run's own; one in the run's own server disappears with it."""
    from contextlib import closing

    from infra.mariadb.address import at_database, connect_to
    from infra.mariadb.database import create_run_database

    name, url = ground.name, ground.endpoints.mariadb_url
    if url:
        ground.note("mariadb database", f"{name} {url}")
    else:
        url = ground.server("mariadb")
        _refuse(url)
    with closing(connect_to(url)) as connection:
        create_run_database(connection, name, ground.run, ground.tables)
    return {"mariadb": at_database(url, name)}


def _fetch(endpoints: Endpoints) -> None:
    import os

    from infra.pipelines.mariadb import program

    if not endpoints.mariadb_url:
        program(os.environ)


def _server(logs: Path) -> AbstractContextManager[str]:
    from infra.pipelines.mariadb import mariadb_server

    return mariadb_server(logs)


MARIADB = SourceDeclaration(
    "mariadb",
    lanes="writer",
    target=_target,
    provision=_provision,
    database=True,
    check=_check,
    host=_host,
    server=_server,
    fetch=_fetch,
)
