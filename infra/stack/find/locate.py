"""Finds a stack: the user's own, or the one of this checkout; it is trusted only after real
requests.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import psycopg
import requests
from confluent_kafka import KafkaException

from infra import validate
from infra.client.http import connect_trouble
from infra.client.kafka import KafkaPropertiesError
from infra.client.registry import RegistryError
from infra.postgres.rights import login_remedy
from infra.stack.endpoints import Endpoints
from infra.stack.error import StackConfigError, StackError
from infra.stack.find.external import external, with_databases
from infra.stack.servers.probe import probes
from infra.stack.supervise.identity import Identity
from infra.stack.supervise.state import is_held, read_endpoints, state_of

#: Errors of clients whose server does not answer, or refuses.
SILENCE = (psycopg.Error, KafkaException, RegistryError, KafkaPropertiesError)


def find(checkout: Path, environ: Mapping[str, str]) -> Endpoints | None:
    """The stack to use, before any request to it; None if there is none.

    The user's own endpoints (`infra.stack.find.external`) come before the checkout's. Raises
    StackConfigError for endpoints that cannot be used.
    """
    if (own := external(environ)) is not None:
        return with_databases(own, environ)
    endpoints = read_endpoints(state_of(checkout))
    if endpoints is None or not supervised(endpoints):
        return None
    return with_databases(endpoints, environ)


def locate(checkout: Path, environ: Mapping[str, str]) -> Endpoints | None:
    """The stack that `find` finds, verified; raises StackError for servers that do not answer."""
    endpoints = find(checkout, environ)
    return None if endpoints is None else verify(endpoints)


def supervised(endpoints: Endpoints) -> bool:
    """Whether the supervisor of these endpoints lives, and with it the servers; true if there is no
    supervisor.
    """
    if endpoints.supervisor_pid is None or endpoints.supervisor_started_s is None:
        return True
    state = state_of()
    if is_held(state) and _same_supervisor(read_endpoints(state), endpoints):
        return True  # in this pid namespace its pid may be that of another process
    return Identity(endpoints.supervisor_pid, endpoints.supervisor_started_s).process() is not None


def _same_supervisor(one: Endpoints | None, other: Endpoints) -> bool:
    return one is not None and (one.supervisor_pid, one.supervisor_started_s) == (
        other.supervisor_pid,
        other.supervisor_started_s,
    )


def verify(endpoints: Endpoints) -> Endpoints:
    """Make one real request to every server; raises StackError that names the server that does not
    answer.
    """
    for probe in probes(endpoints).values():
        if not probe.place:
            continue  # the user's own pipeline need not have this server
        try:
            probe.ask()
        except StackConfigError:
            raise
        except (*SILENCE, StackError, requests.RequestException) as error:
            why = (
                connect_trouble(error)
                if isinstance(error, requests.RequestException)
                else str(error)
            )
            remedy = login_remedy(why) or "see that server's log, or name another one"
            raise StackError(
                f"{probe.title} ({probe.place}) does not answer as it should: {why.strip()};"
                f" {remedy}"
            ) from error
    return endpoints


def hosts(endpoints: Endpoints, environ: Mapping[str, str]) -> list[str]:
    """HOST:PORT of every server that a run puts load on or changes.

    Raises StackConfigError if libpq would connect to another place than the DSN says.
    """
    dsn = endpoints.postgres_dsn
    if dsn and (found := validate.dsn_mistakes(dsn, environ)):
        raise StackConfigError("; ".join(f"postgres_dsn {mistake}" for mistake in found))
    urls = (endpoints.schema_registry_url, endpoints.connect_url, endpoints.connect_metrics)
    return [
        *(validate.dsn_addresses(dsn, environ) if dsn else ()),
        *((validate.url_address(endpoints.mariadb_url),) if endpoints.mariadb_url else ()),
        *(validate.dsn_addresses(endpoints.sink_dsn, environ) if endpoints.sink_dsn else ()),
        *(part.strip() for part in endpoints.kafka_bootstrap.split(",") if part),
        *(validate.url_address(url) for url in urls if url),
    ]
