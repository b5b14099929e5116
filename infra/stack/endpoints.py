"""The addresses of the servers, in one form for every kind of stack."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from dataclasses import asdict, dataclass, field, fields
from types import UnionType
from typing import Any, Literal, get_args

from infra.client.access import (
    CONNECT_PREFIX,
    HTTP_FIELDS,
    KAFKA_PROPERTIES,
    REGISTRY_PREFIX,
    VARIABLES,
    HttpAccess,
)
from infra.stack.error import StackConfigError

StackKind = Literal["process", "compose", "external"]
Profile = Literal["bench", "test"]
_NEEDED = ("postgres_dsn", "kafka_bootstrap", "schema_registry_url", "connect_url")
_EXAMPLE = "docs/external.md has an example"
#: The fields that are not text, or are optional.
_TYPES: Mapping[str, type | UnionType] = {
    "profile": str | None,
    "postgres_from_connect": str | None,
    "postgres_user_from_connect": str | None,
    "postgres_secret_from_connect": str | None,
    "sink_dsn": str | None,
    "postgres_ca_from_connect": str | None,
    "registry_access": Mapping,
    "connect_access": Mapping,
    "versions": Mapping,
    "commands": Mapping,
    "supervisor_pid": int | None,
    "supervisor_started_s": float | None,
}


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Addresses and versions of a stack.

    Never a secret: the DSN of our own server names a password file, and the passwords of other
    servers come from PGPASSWORD or PGPASSFILE. An address is empty if the user's own pipeline has
    no such server.

    `mariadb_url` is a MariaDB of the user's own (infra.mariadb.address).

    `supervisor_pid` and `supervisor_started_s` (`infra.system`) name the process that owns the
    servers of a process stack. Three fields are for a Kafka Connect that reaches PostgreSQL
    otherwise than this machine does (Connect in a container): `postgres_from_connect` is the
    server's HOST:PORT there, `postgres_user_from_connect` the role that Connect logs in with, and
    `postgres_secret_from_connect` a reference to its password that Connect's own configuration
    provider resolves, such as `${file:/etc/kafka/secrets.properties:bench}`.
    `registry_from_connect` is the root of the registry's URL for the run's connectors, if it is not
    the worker's. `sink_dsn` is the database that the user's own pipeline writes to, if it is not
    the source's. `kafka_beside` is a listener of the broker whose clients are sent through a relay
    at that address (infra.faults.relay), at the same port. `kafka_properties` is a file in
    librdkafka's format (infra.client.kafka). `connect_metrics` is where Connect's JVM shows
    Debezium's metrics as Prometheus' text. `commands` are command lines that act on the user's own
    servers, by their names (infra.stack.one_server); they hold no secret.
    """

    kind: StackKind
    postgres_dsn: str = ""
    kafka_bootstrap: str = ""
    schema_registry_url: str = ""
    connect_url: str = ""
    connect_metrics: str = ""
    profile: Profile | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    supervisor_pid: int | None = None
    supervisor_started_s: float | None = None
    postgres_from_connect: str | None = None
    postgres_user_from_connect: str | None = None
    postgres_secret_from_connect: str | None = None
    sink_dsn: str | None = None
    postgres_ca_from_connect: str | None = None
    registry_from_connect: str = ""
    kafka_properties: str = ""
    kafka_beside: str = ""
    mariadb_url: str = ""
    registry_access: HttpAccess = field(default_factory=HttpAccess)
    connect_access: HttpAccess = field(default_factory=HttpAccess)
    commands: Mapping[str, str] = field(default_factory=dict)

    @property
    def sink(self) -> str:
        """The DSN of the database that is watched as the sink."""
        return self.sink_dsn or self.postgres_dsn

    def variables(self) -> dict[str, str]:
        """Variables that tell a process how these servers let it in; files and users, never a
        secret.
        """
        named = {KAFKA_PROPERTIES: self.kafka_properties} if self.kafka_properties else {}
        return {
            **named,
            **self.registry_access.variables(REGISTRY_PREFIX),
            **self.connect_access.variables(CONNECT_PREFIX),
        }

    def environment(self, environ: Mapping[str, str]) -> dict[str, str]:
        """An environment in which clients reach these servers; the user's settings for servers of
        their own do not apply to ours.
        """
        ours = self.kind != "external"
        kept = {name: text for name, text in environ.items() if not ours or name not in VARIABLES}
        return {**kept, **self.variables()}

    def adopt(self, environ: MutableMapping[str, str]) -> None:
        """Make this process, and those that it starts, use these servers."""
        wanted = self.environment(environ)
        for name in VARIABLES & set(environ) - set(wanted):
            del environ[name]
        environ.update(self.variables())

    def to_json(self) -> dict[str, object]:
        """Plain data, for endpoints.json."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Endpoints:
        """Read what `to_json` wrote; raises StackConfigError for anything else."""
        if not isinstance(data, Mapping):
            raise StackConfigError(
                f"endpoints are a table of names and values, not {data!r}; {_EXAMPLE}"
            )
        unknown = sorted(set(data) - {item.name for item in fields(cls)})
        missing = sorted(set(_NEEDED) - set(data))
        if unknown or missing:
            raise StackConfigError(
                f"endpoints are not understood: unknown {unknown or 'none'}, missing"
                f" {missing or 'none'}; {_EXAMPLE}"
            )
        wrong = sorted(
            name for name, value in data.items() if not isinstance(value, _TYPES.get(name, str))
        )
        if wrong:
            raise StackConfigError(
                f"endpoints are not understood: {', '.join(wrong)} is of the wrong type; {_EXAMPLE}"
            )
        accesses = {
            name: data[name] for name in ("registry_access", "connect_access") if name in data
        }
        if odd := sorted(
            f"{name}.{key}"
            for name, access in accesses.items()
            for key, text in access.items()
            if key not in HTTP_FIELDS or not isinstance(text, str)
        ):
            raise StackConfigError(
                f"endpoints are not understood: {', '.join(odd)}; what is known of access are"
                f" {', '.join(HTTP_FIELDS)}, each a text"
            )
        for name, allowed in (("kind", get_args(StackKind)), ("profile", get_args(Profile))):
            if data.get(name) not in (None, *allowed):
                raise StackConfigError(
                    f"{name} {data[name]!r} is not one of {', '.join(allowed)}; leave it out"
                )
        made = {name: HttpAccess(**access) for name, access in accesses.items()}
        return cls(**{"kind": "external", **data, **made})
