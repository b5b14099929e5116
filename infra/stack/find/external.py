"""The user's own endpoints, from the environment or from a file; these servers are never started or
stopped.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from infra import validate
from infra.client.access import (
    CONNECT_PREFIX,
    HTTP_FILES,
    KAFKA_PROPERTIES,
    REGISTRY_PREFIX,
    HttpAccess,
    access_mistakes,
    http_access,
)
from infra.client.kafka import property_mistakes
from infra.mariadb.address import URL as MARIADB_URL
from infra.mariadb.address import address_mistakes, with_access_files
from infra.stack.command import command_mistakes
from infra.stack.endpoints import Endpoints
from infra.stack.error import StackConfigError
from infra.stack.pipeline_file.read import VARIABLE as PIPELINE
from infra.stack.pipeline_file.read import beside, read_pipeline
from infra.stack.pipeline_file.section import (
    ConnectSection,
    HttpSection,
    KafkaSection,
    RegistrySection,
    SourceSection,
)

#: A TOML or JSON file with the endpoints; it takes precedence over the variables below.
FILE = "CDC_STACK"
#: One variable for each endpoint; the four that are not OPTIONAL are required. The optional ones
#: serve a Connect in a container, or one that gets the password from a provider.
VARIABLES = {
    "CDC_POSTGRES_DSN": "postgres_dsn",
    "CDC_KAFKA_BOOTSTRAP": "kafka_bootstrap",
    "CDC_SCHEMA_REGISTRY_URL": "schema_registry_url",
    "CDC_CONNECT_URL": "connect_url",
    "CDC_POSTGRES_FROM_CONNECT": "postgres_from_connect",
    "CDC_POSTGRES_USER_FROM_CONNECT": "postgres_user_from_connect",
    "CDC_POSTGRES_SECRET_FROM_CONNECT": "postgres_secret_from_connect",
    "CDC_POSTGRES_CA_FROM_CONNECT": "postgres_ca_from_connect",
}
#: The prefix of the variables with the login for each URL's server.
PREFIXES = {"schema_registry_url": REGISTRY_PREFIX, "connect_url": CONNECT_PREFIX}
#: Files of [source] that MariaDB alone needs, and where PostgreSQL has the same.
_OF_MARIADB = {
    "password_file": "PostgreSQL's password is in PGPASSFILE, or in the file that passfile= names"
    " in the DSN",
    "ca": "PostgreSQL's authority is in the file that sslrootcert= names in the DSN",
}
_REFERENCE = re.compile(r"\$\{[^{}:]+:[^{}]+\}")
#: The database of a watched sink, for any stack; this variable alone does not make a stack the
#: user's own.
SINK_DSN = "CDC_SINK_DSN"
OPTIONAL = frozenset(name for name in VARIABLES if name.endswith("_FROM_CONNECT"))


def external(environ: Mapping[str, str]) -> Endpoints | None:
    """The user's own endpoints, parsed but not yet asked; None if the environment names none.

    Raises StackConfigError with every mistake.
    """
    found = _named(environ)
    return None if found is None else checked_access(found, environ)


def _named(environ: Mapping[str, str]) -> Endpoints | None:
    if environ.get(PIPELINE):
        found = of_pipeline(Path(environ[PIPELINE]), environ)
        if found is not None:
            return found
    if environ.get(FILE):
        return read_external(Path(environ[FILE]), environ)
    given = {name: environ[name] for name in VARIABLES if environ.get(name)}
    if not given:
        return None
    if missing := sorted(set(VARIABLES) - OPTIONAL - set(given)):
        raise StackConfigError(
            f"{', '.join(sorted(given))} without {', '.join(missing)}: an own stack is named by all"
            f" four, or by a file in {FILE}; unset them to use servers of this checkout"
        )
    return check(
        Endpoints.from_json({VARIABLES[name]: value for name, value in given.items()}), environ
    )


def checked_access(endpoints: Endpoints, environ: Mapping[str, str]) -> Endpoints:
    """The endpoints with the logins that file and environment give; the file takes precedence.

    Raises StackConfigError with every mistake, before any server is asked.
    """
    found = replace(
        endpoints,
        kafka_properties=endpoints.kafka_properties or environ.get(KAFKA_PROPERTIES, ""),
        registry_access=endpoints.registry_access.over(http_access(REGISTRY_PREFIX, environ)),
        connect_access=endpoints.connect_access.over(http_access(CONNECT_PREFIX, environ)),
    )
    within = found.environment(environ)
    mistakes = [
        *property_mistakes(within),
        *access_mistakes(REGISTRY_PREFIX, within),
        *access_mistakes(CONNECT_PREFIX, within),
    ]
    if mistakes:
        raise StackConfigError("\n".join(mistakes))
    return found


def source(environ: Mapping[str, str]) -> str | None:
    """The setting in the environment that names the user's own stack, for messages."""
    if environ.get(PIPELINE) and _names_servers(Path(environ[PIPELINE])):
        return PIPELINE
    if environ.get(FILE):
        return FILE
    return next((name for name in VARIABLES if environ.get(name)), None)


def of_pipeline(path: Path, environ: Mapping[str, str]) -> Endpoints | None:
    """The servers that a pipeline file names; None if it names none; then the environment
    or this checkout names them. Raises StackConfigError with every mistake.
    """
    file = read_pipeline(path)
    commands = file.commands.by_server if file.commands else {}
    if not file.names_servers:
        if commands:
            raise StackConfigError(
                f"pipeline {path}: [commands] act on servers of your own, and the file names none;"
                " name them, or leave [commands] out"
            )
        return None
    # A part that the pipeline lacks names no server.
    source = file.source or SourceSection(dsn="")
    files = {name: beside(path, getattr(source, name)) for name in _OF_MARIADB}
    mariadb = source.kind == "mariadb"
    for name, named in files.items():
        if named and not mariadb:
            raise StackConfigError(
                f'pipeline {path}: [source] {name} is for kind = "mariadb"; {_OF_MARIADB[name]}'
            )
    kafka = file.kafka or KafkaSection(bootstrap="")
    registry = file.registry or RegistrySection(url="")
    connect = file.connect or ConnectSection(url="")
    found = Endpoints(
        kind="external",
        postgres_dsn="" if mariadb else source.dsn,
        mariadb_url=with_access_files(source.dsn, **files) if mariadb else "",
        kafka_bootstrap=kafka.bootstrap,
        kafka_properties=beside(path, kafka.properties),
        schema_registry_url=registry.url,
        registry_access=_access(path, registry),
        connect_url=connect.url,
        connect_metrics=connect.metrics,
        connect_access=_access(path, connect),
        postgres_from_connect=connect.postgres or None,
        postgres_user_from_connect=connect.postgres_user or None,
        postgres_secret_from_connect=connect.postgres_secret or None,
        sink_dsn=next((tap.dsn for tap in file.tap if tap.dsn), None),
        postgres_ca_from_connect=connect.postgres_ca or None,
        commands=commands,
    )
    try:
        return check(found, environ, whole=False)
    except StackConfigError as error:
        raise StackConfigError(f"pipeline {path}: {error}") from error


def _access(path: Path, section: HttpSection) -> HttpAccess:
    found = {name: beside(path, getattr(section, name)) for name in HTTP_FILES}
    return HttpAccess(user=section.user, **found)


def _names_servers(path: Path) -> bool:
    try:
        return read_pipeline(path).names_servers
    except StackConfigError:
        return True  # the next reader of the file reports the mistake


def read_external(path: Path, environ: Mapping[str, str]) -> Endpoints:
    """Endpoints from a TOML or JSON file; raises StackConfigError that names the mistake."""
    try:
        text = path.read_text(encoding="utf-8-sig")
        data = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
        return check(Endpoints.from_json(data), environ)
    except OSError as error:
        raise StackConfigError(
            f"{FILE}={path} cannot be read: {error.strerror}; name a file that can, or unset {FILE}"
            " to use servers of this checkout"
        ) from error
    except StackConfigError as error:
        raise StackConfigError(f"{FILE}={path}: {error}") from error
    except ValueError as error:
        raise StackConfigError(
            f"{FILE}={path} is neither TOML nor JSON: {error}; docs/external.md has an example"
        ) from error


def with_databases(endpoints: Endpoints, environ: Mapping[str, str]) -> Endpoints:
    """Endpoints with the databases that the environment names for any stack: the sink's, and a
    MariaDB if the endpoints name none. Raises StackConfigError.
    """
    dsn = environ.get(SINK_DSN) or endpoints.sink_dsn
    url = endpoints.mariadb_url or environ.get(MARIADB_URL, "")
    mistakes = []
    if environ.get(SINK_DSN):
        mistakes += [
            f"{SINK_DSN} {mistake}" for mistake in validate.dsn_mistakes(dsn or "", environ)
        ]
    if not endpoints.mariadb_url and url:
        mistakes += [f"{MARIADB_URL} {mistake}" for mistake in address_mistakes(url)]
    if mistakes:
        raise StackConfigError("; ".join(mistakes))
    return replace(endpoints, sink_dsn=dsn, mariadb_url=url)


def check(endpoints: Endpoints, environ: Mapping[str, str], *, whole: bool = True) -> Endpoints:
    """Endpoints whose addresses are valid; raises StackConfigError with every mistake.

    If they need not be `whole`, a server without an address counts as absent.
    """
    mistakes = [
        f"{name} {mistake}"
        for name, dsn, needed in (
            ("postgres_dsn", endpoints.postgres_dsn, whole),
            ("sink_dsn", endpoints.sink_dsn or "", False),
        )
        if needed or dsn
        for mistake in validate.dsn_mistakes(dsn, environ)
    ]
    if endpoints.mariadb_url:
        mistakes += [f"mariadb_url {clause}" for clause in address_mistakes(endpoints.mariadb_url)]
    mistakes += command_mistakes(endpoints.commands)
    if (whole or endpoints.kafka_bootstrap) and not validate.are_addresses(
        endpoints.kafka_bootstrap
    ):
        mistakes.append(
            f"kafka_bootstrap {endpoints.kafka_bootstrap!r} is not HOST:PORT[,HOST:PORT...]"
        )
    for name in ("schema_registry_url", "connect_url"):
        url = str(getattr(endpoints, name))
        if "@" in url:
            mistakes.append(
                f"{name} holds a user or a password, which would stand in results; name them by"
                f" {PREFIXES[name]}_USER and {PREFIXES[name]}_PASSWORD_FILE"
            )
        elif (whole or url) and not validate.is_url(url):
            mistakes.append(f"{name} {url!r} is not an http URL; write http://HOST:PORT")
    metrics = endpoints.connect_metrics
    if metrics and (not validate.is_url(metrics) or "@" in metrics):
        mistakes.append(
            "connect_metrics is not an http URL without a login; write http://HOST:PORT/metrics"
        )
    inside = endpoints.postgres_from_connect
    if inside is not None and not validate.is_address(inside):
        mistakes.append(f"postgres_from_connect {inside!r} is not HOST:PORT")
    reference = endpoints.postgres_secret_from_connect
    if reference is not None and not _REFERENCE.fullmatch(reference):
        mistakes.append(
            "postgres_secret_from_connect is no reference to a password; write"
            " ${PROVIDER:PATH:KEY} with a provider of Connect's own configuration, and leave a"
            " password itself to PGPASSWORD or PGPASSFILE"
        )
    if mistakes:
        raise StackConfigError("; ".join(mistakes))
    return endpoints
