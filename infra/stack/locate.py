"""Finding a stack: the user's own, or the one of this checkout; trusted only after real requests."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path

import psycopg2
import requests
from confluent_kafka import KafkaException

from infra.stack import postgres, process
from infra.stack.endpoints import Endpoints
from infra.stack.error import StackConfigError, StackError
from infra.stack.identity import Identity
from infra.stack.state import read_endpoints, state_of

VARIABLE = "CDC_STACK"


def locate(checkout: Path, environ: Mapping[str, str]) -> Endpoints | None:
    """The stack to use, or None where there is none.

    `CDC_STACK` names a file with the user's endpoints (TOML or JSON) and overrides the checkout's own. Raises
    StackConfigError for a file that cannot be used, StackError for servers that do not answer.
    """
    if environ.get(VARIABLE):
        return verify(read_external(Path(environ[VARIABLE])))
    endpoints = read_endpoints(state_of(checkout))
    if endpoints is None or not supervised(endpoints):
        return None
    return verify(endpoints)


def supervised(endpoints: Endpoints) -> bool:
    """Whether the supervisor of these endpoints lives, and with it the servers; always so where there is none."""
    if endpoints.supervisor_pid is None or endpoints.supervisor_started_s is None:
        return True
    return Identity(endpoints.supervisor_pid, endpoints.supervisor_started_s).process() is not None


def read_external(path: Path) -> Endpoints:
    """Endpoints from a TOML or JSON file; raises StackConfigError that says what is wrong with it."""
    try:
        text = path.read_text(encoding="utf-8")
        data = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except OSError as error:
        raise StackConfigError(f"{VARIABLE}={path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise StackConfigError(f"{VARIABLE}={path} is neither TOML nor JSON: {error}") from error
    return check(Endpoints.from_json(data))


def check(endpoints: Endpoints) -> Endpoints:
    """Endpoints that can be parsed; raises StackConfigError with every mistake."""
    mistakes = []
    try:
        place = psycopg2.extensions.parse_dsn(endpoints.postgres_dsn)
    except psycopg2.Error as error:
        mistakes.append(f"postgres_dsn {endpoints.postgres_dsn!r}: {str(error).strip()}")
    else:
        if "password" in place:
            mistakes.append("postgres_dsn holds a password; put it into PGPASSWORD or PGPASSFILE")
    if not all(_is_address(part) for part in endpoints.kafka_bootstrap.split(",")):
        mistakes.append(f"kafka_bootstrap {endpoints.kafka_bootstrap!r} is not HOST:PORT[,HOST:PORT...]")
    for name in ("schema_registry_url", "connect_url"):
        url = str(getattr(endpoints, name))
        if not url.startswith(("http://", "https://")) or len(url.split("//")[1]) == 0:
            mistakes.append(f"{name} {url!r} is not an http URL")
    if mistakes:
        raise StackConfigError("; ".join(mistakes))
    return endpoints


def _is_address(text: str) -> bool:
    host, _, port = text.strip().rpartition(":")
    return bool(host) and port.isdigit() and 0 < int(port) < 65536


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
            raise StackError(f"{name} does not answer as it should: {str(error).strip()}") from error
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
