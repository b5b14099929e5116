"""The user's own endpoints, from the environment or from a file; nothing of them is started or stopped."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path

import psycopg2

from infra.stack.endpoints import Endpoints
from infra.stack.error import StackConfigError

#: A TOML or JSON file with the endpoints; it comes before the variables below.
FILE = "CDC_STACK"
#: One variable an endpoint; all four are needed, the last is for a Kafka Connect that reaches Postgres differently.
VARIABLES = {
    "CDC_POSTGRES_DSN": "postgres_dsn",
    "CDC_KAFKA_BOOTSTRAP": "kafka_bootstrap",
    "CDC_SCHEMA_REGISTRY_URL": "schema_registry_url",
    "CDC_CONNECT_URL": "connect_url",
    "CDC_POSTGRES_FROM_CONNECT": "postgres_from_connect",
}
OPTIONAL = frozenset({"CDC_POSTGRES_FROM_CONNECT"})


def external(environ: Mapping[str, str]) -> Endpoints | None:
    """The user's own endpoints, parsed but not asked; None where the environment names none.

    Raises StackConfigError with every mistake.
    """
    if environ.get(FILE):
        return read_external(Path(environ[FILE]))
    given = {name: environ[name] for name in VARIABLES if environ.get(name)}
    if not given:
        return None
    if missing := sorted(set(VARIABLES) - OPTIONAL - set(given)):
        raise StackConfigError(
            f"{', '.join(sorted(given))} without {', '.join(missing)}: an own stack is named by all four, or by a file "
            f"in {FILE}; unset them to use servers of this checkout"
        )
    return check(Endpoints.from_json({VARIABLES[name]: value for name, value in given.items()}))


def source(environ: Mapping[str, str]) -> str | None:
    """What in the environment names the user's own stack, for messages."""
    if environ.get(FILE):
        return FILE
    return next((name for name in VARIABLES if environ.get(name)), None)


def read_external(path: Path) -> Endpoints:
    """Endpoints from a TOML or JSON file; raises StackConfigError that says what is wrong with it."""
    try:
        text = path.read_text(encoding="utf-8")
        data = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except OSError as error:
        raise StackConfigError(f"{FILE}={path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise StackConfigError(f"{FILE}={path} is neither TOML nor JSON: {error}") from error
    return check(Endpoints.from_json(data))


def check(endpoints: Endpoints) -> Endpoints:
    """Endpoints that can be parsed; raises StackConfigError with every mistake."""
    mistakes = _dsn_mistakes(endpoints.postgres_dsn)
    if not all(_is_address(part) for part in endpoints.kafka_bootstrap.split(",")):
        mistakes.append(f"kafka_bootstrap {endpoints.kafka_bootstrap!r} is not HOST:PORT[,HOST:PORT...]")
    for name in ("schema_registry_url", "connect_url"):
        url = str(getattr(endpoints, name))
        if "@" in url:
            mistakes.append(f"{name} holds a user or a password, which would stand in results; none is supported there")
        elif not url.startswith(("http://", "https://")) or len(url.split("//")[1]) == 0:
            mistakes.append(f"{name} {url!r} is not an http URL")
    inside = endpoints.postgres_from_connect
    if inside is not None and not _is_address(inside):
        mistakes.append(f"postgres_from_connect {inside!r} is not HOST:PORT")
    if mistakes:
        raise StackConfigError("; ".join(mistakes))
    return endpoints


def _dsn_mistakes(dsn: str) -> list[str]:
    try:
        place = psycopg2.extensions.parse_dsn(dsn)
    except psycopg2.Error:
        # Neither the text nor libpq's error, which has a part of it: it may hold a secret.
        return ["postgres_dsn cannot be parsed; write NAME=VALUE ... or postgresql://HOST:PORT/DATABASE"]
    return ["postgres_dsn holds a password; put it into PGPASSWORD or PGPASSFILE"] if "password" in place else []


def _is_address(text: str) -> bool:
    host, _, port = text.strip().rpartition(":")
    return bool(host) and port.isdigit() and 0 < int(port) < 65536
