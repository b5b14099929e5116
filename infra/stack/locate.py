"""Finding a stack: the user's own, or the one of this checkout; trusted only after real requests."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import psycopg2
import requests
from confluent_kafka import KafkaException

from infra.stack import postgres, process
from infra.stack.endpoints import Endpoints
from infra.stack.error import StackError
from infra.stack.external import external
from infra.stack.identity import Identity
from infra.stack.state import read_endpoints, state_of


def locate(checkout: Path, environ: Mapping[str, str]) -> Endpoints | None:
    """The stack to use, or None where there is none.

    The user's own (`infra.stack.external`) come before the checkout's. Raises StackConfigError for endpoints that
    cannot be used, StackError for servers that do not answer.
    """
    if (own := external(environ)) is not None:
        return verify(own)
    endpoints = read_endpoints(state_of(checkout))
    if endpoints is None or not supervised(endpoints):
        return None
    return verify(endpoints)


def supervised(endpoints: Endpoints) -> bool:
    """Whether the supervisor of these endpoints lives, and with it the servers; always so where there is none."""
    if endpoints.supervisor_pid is None or endpoints.supervisor_started_s is None:
        return True
    return Identity(endpoints.supervisor_pid, endpoints.supervisor_started_s).process() is not None


def verify(endpoints: Endpoints) -> Endpoints:
    """Make one real request to every server; raises StackError that names the one that does not answer."""
    probes = {
        f"PostgreSQL ({endpoints.postgres_dsn})": lambda: postgres.probe(endpoints.postgres_dsn),
        f"Kafka ({endpoints.kafka_bootstrap})": lambda: process.probe_kafka(endpoints.kafka_bootstrap),
        f"Schema Registry ({endpoints.schema_registry_url})": lambda: process.probe_registry(
            endpoints.schema_registry_url
        ),
        f"Kafka Connect ({endpoints.connect_url})": lambda: process.probe_connect(endpoints.connect_url),
    }
    for name, probe in probes.items():
        try:
            probe()
        except (psycopg2.Error, KafkaException, requests.RequestException) as error:
            raise StackError(
                f"{name} does not answer as it should: {str(error).strip()}; see that server's log, or name another one"
            ) from error
    return endpoints


def hosts(endpoints: Endpoints) -> list[str]:
    """HOST:PORT of every server that a run puts load on or changes."""
    place = psycopg2.extensions.parse_dsn(endpoints.postgres_dsn)
    addresses = [f"{place.get('host', '127.0.0.1')}:{place.get('port', '5432')}"]
    addresses += [part.strip() for part in endpoints.kafka_bootstrap.split(",")]
    for url in (endpoints.schema_registry_url, endpoints.connect_url):
        authority = url.split("//")[1].split("/")[0]
        addresses.append(authority if ":" in authority else f"{authority}:{443 if url.startswith('https') else 80}")
    return addresses
