"""Debezium Server's configuration, as its own properties. Pure.

Debezium documentation, "Debezium Server". Only what a run decides is set; everything else is the
upstream default, so a run measures what users have.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlencode, urlsplit

from infra.pipelines.debezium_server.mariadb import is_mariadb, source_properties
from infra.postgres.encryption import encryption
from infra.stack.servers.settings import TOPIC_PREFIX, render_properties
from infra.validate import bracketed, dsn_place, url_address

ROUTER = "org.apache.kafka.connect.transforms.RegexRouter"
#: Secrets are passed in these variables, never in the file.
SOURCE_PASSWORD = "DEBEZIUM_SOURCE_DATABASE_PASSWORD"  # noqa: S105 - a variable's name
JDBC_PASSWORD = "DEBEZIUM_SINK_JDBC_CONNECTION_PASSWORD"  # noqa: S105 - a variable's name
Properties = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class DebeziumServerSettings:
    """The run's choices: what is read, and where it goes. A `dsn` of MariaDB is a URL, and has
    neither slot nor publication.

    `endpoint` is the transport's service, for `postgres` the sink's DSN; `stream` is what is
    written to there, in a `project` or `region` if the service has these. `tables` are those of the
    publication, SCHEMA.TABLE. What a DSN does not say of TLS is looked up in `environ`, as libpq
    does.
    """

    dsn: str
    slot: str
    publication: str
    transport: str
    endpoint: str
    tables: tuple[str, ...] = ()
    stream: str = ""
    project: str = ""
    region: str = ""
    environ: Mapping[str, str] = field(default_factory=dict, repr=False)


def configuration(settings: DebeziumServerSettings, place: Path) -> dict[str, str]:
    """All properties; in the directory `place` Debezium Server keeps its position."""
    sink = {
        f"debezium.{name}": value for name, value in SINKS[settings.transport](settings).items()
    }
    return {**_source(settings, place), **_PROCESS, **sink}


_PROCESS: Properties = {
    "quarkus.http.host": "127.0.0.1",
    "quarkus.http.port": "0",
    "quarkus.log.console.json.enabled": "false",
    "quarkus.banner.enabled": "false",
}


def _source(settings: DebeziumServerSettings, place: Path) -> dict[str, str]:
    mariadb = is_mariadb(settings.dsn)
    own = source_properties(settings.dsn, place) if mariadb else _postgres(settings)
    of_source = {
        **own,
        # The capture is there before any row of the run, so no snapshot is needed.
        "snapshot.mode": "no_data",
        "topic.prefix": TOPIC_PREFIX,
        "table.include.list": ",".join(map(_pattern, settings.tables)),
        "offset.storage.file.filename": str(place / "offsets.dat"),
        # As in the upstream example: the position is stored after every batch.
        "offset.flush.interval.ms": "0",
    }
    return {f"debezium.source.{name}": value for name, value in of_source.items() if value}


def _postgres(settings: DebeziumServerSettings) -> dict[str, str]:
    place = dsn_place(settings.dsn)
    return {
        "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
        "plugin.name": "pgoutput",
        "database.hostname": place.get("host", "127.0.0.1"),
        "database.port": place.get("port", "5432"),
        "database.user": place.get("user", ""),
        "database.dbname": place.get("dbname", place.get("user", "")),
        "database.sslmode": "prefer",
        **{f"database.{name}": text for name, text in encryption(place, settings.environ).items()},
        "slot.name": settings.slot,
        "publication.name": settings.publication,
        "publication.autocreate.mode": "disabled",
    }


def _pattern(table: str) -> str:
    """A regular expression for exactly this table's name; backslashes are doubled, because the
    properties' own reader removes one.
    """
    return table.replace(".", "[.]")


def _json(settings: DebeziumServerSettings) -> dict[str, str]:
    """Events as JSON without their schemas; decimals as text, which needs no schema."""
    del settings
    return {
        "format.key": "json",
        "format.value": "json",
        "format.key.schemas.enable": "false",
        "format.value.schemas.enable": "false",
        "source.decimal.handling.mode": "string",
    }


def _to(replacement: str, pattern: str = ".*") -> dict[str, str]:
    """One name for what would otherwise go to a place named after its topic."""
    return {
        "transforms": "route",
        "transforms.route.type": ROUTER,
        "transforms.route.regex": pattern,
        "transforms.route.replacement": replacement,
    }


def _http(settings: DebeziumServerSettings) -> dict[str, str]:
    return {**_json(settings), "sink.type": "http", "sink.http.url": settings.endpoint}


def _kafka(settings: DebeziumServerSettings) -> dict[str, str]:
    producer = {
        "bootstrap.servers": settings.endpoint,
        "key.serializer": "org.apache.kafka.common.serialization.StringSerializer",
        "value.serializer": "org.apache.kafka.common.serialization.StringSerializer",
    }
    own = {f"sink.kafka.producer.{name}": value for name, value in producer.items()}
    return {**_json(settings), "sink.type": "kafka", **own}


def _jdbc(settings: DebeziumServerSettings) -> dict[str, str]:
    """Upserts and deletes by the source's key, into existing tables of the same names."""
    place = dsn_place(settings.endpoint)
    host, port = bracketed(place.get("host", "127.0.0.1")), place.get("port", "5432")
    tls = urlencode(encryption(place, settings.environ), safe="/")
    base = f"jdbc:postgresql://{host}:{port}/{place.get('dbname', '')}"
    own = {
        "connection.url": f"{base}?{tls}" if tls else base,
        "connection.username": place.get("user", ""),
        "insert.mode": "upsert",
        "delete.enabled": "true",
        "primary.key.mode": "record_key",
        "schema.evolution": "none",
    }
    named = {f"sink.jdbc.{name}": value for name, value in own.items()}
    return {**_to("$1", ".*[.]([^.]+)"), "sink.type": "jdbc", **named}


def _redis(settings: DebeziumServerSettings) -> dict[str, str]:
    url = urlsplit(settings.endpoint)
    own = {
        "address": url_address(settings.endpoint),
        "ssl.enabled": "true" if url.scheme == "rediss" else "",
        "db.index": url.path.strip("/"),
    }
    return {**_json(settings), **_to(settings.stream), **_sink("redis", own)}


def _nats(settings: DebeziumServerSettings) -> dict[str, str]:
    """Into an existing stream, whose subject has the stream's name."""
    own = {"url": settings.endpoint, "create-stream": "false"}
    return {**_json(settings), **_to(settings.stream), **_sink("nats-jetstream", own)}


def _kinesis(settings: DebeziumServerSettings) -> dict[str, str]:
    own = {"region": settings.region, "endpoint": settings.endpoint}
    return {**_json(settings), **_to(settings.stream), **_sink("kinesis", own)}


def _pubsub(settings: DebeziumServerSettings) -> dict[str, str]:
    own = {"project.id": settings.project, "address": settings.endpoint}
    return {**_json(settings), **_to(settings.stream), **_sink("pubsub", own)}


def _sink(kind: str, own: Properties) -> dict[str, str]:
    """A sink's type and its own properties, without empty ones."""
    named = {f"sink.{kind}.{name}": value for name, value in own.items() if value}
    return {"sink.type": kind, **named}


SINKS: Mapping[str, Callable[[DebeziumServerSettings], dict[str, str]]] = {
    "http": _http,
    "kafka": _kafka,
    "postgres": _jdbc,
    "redis": _redis,
    "nats": _nats,
    "kinesis": _kinesis,
    "pubsub": _pubsub,
}


def as_text(properties: Properties) -> str:
    """Properties as a file; only backslashes and line ends in values are escaped."""
    return render_properties(
        {
            name: value.replace("\\", "\\\\").replace("\n", "\\n")
            for name, value in properties.items()
        }
    )
