"""The sections of a pipeline file, declared once: the reader, its mistakes, the commented file of
`init` and the JSON schema for editors are derived from these.

A file has a section for each part that the pipeline has. No key holds a secret; some keys name a
file or a variable that holds one.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

#: A line of text with its purpose.
_DSN = "libpq's connection string, without a password: PGPASSWORD or passfile= has it."


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One part of a pipeline."""


class SourceSection(Section, frozen=True, kw_only=True):
    """The database where rows go in."""

    dsn: Annotated[str, Meta(description=_DSN, min_length=1)]
    kind: Annotated[
        Literal["postgres", "mariadb"],
        Meta(description="postgres, or mariadb, whose dsn is mysql://USER@HOST:PORT."),
    ] = "postgres"
    password_file: Annotated[
        str, Meta(description="mariadb: a file that holds the password alone.")
    ] = ""
    ca: Annotated[
        str, Meta(description="mariadb: who signs the server's certificate (PEM); then it must.")
    ] = ""
    table: Annotated[
        str, Meta(description="SCHEMA.TABLE to write to; without it the run makes tables.")
    ] = ""


class CaptureSection(Section, frozen=True, kw_only=True):
    """What reads the database's log."""

    kind: Annotated[
        str, Meta(description="debezium, or wal (the direct reader); debezium where none is named.")
    ] = ""
    connector: Annotated[
        str, Meta(description="A connector that is there; without it the run makes one.")
    ] = ""
    slot: Annotated[
        str, Meta(description="check: the slot that it reads, where no connector says which.")
    ] = ""
    publication: Annotated[
        str, Meta(description="check: its publication, where no connector says which.")
    ] = ""


_PEM = Meta(description="A file of certificates (PEM), relative to this one.")


class HttpSection(Section, frozen=True, kw_only=True):
    """A server that is asked by HTTP; names of files are relative to the pipeline file."""

    url: Annotated[str, Meta(description="http or https, with its path.", min_length=1)]
    user: Annotated[str, Meta(description="Who logs in (basic).")] = ""
    password_file: Annotated[str, Meta(description="A file that holds the password alone.")] = ""
    token_file: Annotated[str, Meta(description="A file that holds a bearer token.")] = ""
    ca: Annotated[str, _PEM] = ""
    certificate: Annotated[str, Meta(description="What the server is shown of ours (PEM).")] = ""
    key: Annotated[str, Meta(description="Its key, where it is in a file of its own.")] = ""


class KafkaSection(Section, frozen=True, kw_only=True):
    """Kafka between capture and platform."""

    bootstrap: Annotated[str, Meta(description="HOST:PORT, several by comma.", min_length=1)]
    properties: Annotated[
        str,
        Meta(description="A file of librdkafka's properties: security.protocol, sasl.*, ssl.*."),
    ] = ""
    topic: Annotated[
        str, Meta(description="A topic that is there; without it the run makes one.")
    ] = ""


class RegistrySection(HttpSection, frozen=True, kw_only=True):
    """The schema registry, by Confluent's interface."""


class ConnectSection(HttpSection, frozen=True, kw_only=True):
    """Kafka Connect."""

    metrics: Annotated[
        str, Meta(description="URL of Debezium's own metrics as Prometheus' text (JMX exporter).")
    ] = ""
    postgres: Annotated[
        str, Meta(description="HOST:PORT of PostgreSQL as Connect reaches it, where that differs.")
    ] = ""
    postgres_user: Annotated[
        str, Meta(description="The role that Connect logs in with, where it is another.")
    ] = ""
    postgres_secret: Annotated[
        str, Meta(description="${PROVIDER:PATH:KEY}, where Connect itself has the password.")
    ] = ""
    postgres_ca: Annotated[
        str, Meta(description="The DSN's sslrootcert as Connect sees it, where that differs.")
    ] = ""


class PlatformSection(Section, frozen=True, kw_only=True):
    """What reads from Kafka and writes to the sink."""

    command: Annotated[
        str,
        Meta(description="A command line to start, reference, or none: it runs already."),
    ] = ""
    group: Annotated[
        str, Meta(description="Its consumer group, whose lag is shown, where it runs already.")
    ] = ""


#: A tap's name.
TAP_NAME = "[a-z][a-z0-9_-]{0,31}"


class TapSection(Section, frozen=True, kw_only=True):
    """Where events come out."""

    kind: Annotated[str, Meta(description="webhook, postgres, topic, ...", min_length=1)]
    place: Annotated[
        str, Meta(description="A port, SCHEMA.TABLE, a topic: what --sink-tap KIND:PLACE takes.")
    ]
    name: Annotated[
        str,
        Meta(
            description="Its name in results, where there are several.",
            extra_json_schema={"pattern": f"^({TAP_NAME})?$"},
        ),
    ] = ""
    behind: Annotated[
        bool, Meta(description="Whether events pass the tap above it first; else it is beside it.")
    ] = False
    url: Annotated[
        str, Meta(description="redis, nats: the server, e.g. redis://HOST:6379, nats://HOST:4222.")
    ] = ""
    user: Annotated[str, Meta(description="redis, nats: who logs in.")] = ""
    password_file: Annotated[
        str, Meta(description="redis, nats: a file that holds the password alone.")
    ] = ""
    token_file: Annotated[
        str,
        Meta(description="webhook, nats: a file with the token that a request must bear."),
    ] = ""
    ca: Annotated[str, Meta(description="redis, nats: who signed its certificate (PEM).")] = ""
    certificate: Annotated[
        str,
        Meta(description="webhook: what it shows (PEM), and so speaks TLS; else what we show."),
    ] = ""
    key: Annotated[str, Meta(description="The certificate's key, if elsewhere.")] = ""
    dsn: Annotated[
        str, Meta(description="The database of a table that is watched, where not the source's.")
    ] = ""


_COMMAND = Meta(
    description="A command line; kill, restart, pause or resume is added as its last word."
)


class CommandsSection(Section, frozen=True, kw_only=True):
    """What acts on servers of your own, for faults that kill one or have it stand still."""

    postgres: Annotated[str, _COMMAND] = ""
    kafka: Annotated[str, _COMMAND] = ""
    schema_registry: Annotated[str, _COMMAND] = ""
    connect: Annotated[str, _COMMAND] = ""

    @property
    def by_server(self) -> dict[str, str]:
        """The given commands, by the names that servers have in faults."""
        named = {item.name: str(getattr(self, item.name)) for item in msgspec.structs.fields(self)}
        return {name.replace("_", "-"): command for name, command in named.items() if command}


class PipelineFile(Section, frozen=True, kw_only=True):
    """A whole file; `options` are any of docs/options.md, by name."""

    source: SourceSection | None = None
    capture: CaptureSection | None = None
    kafka: KafkaSection | None = None
    registry: RegistrySection | None = None
    connect: ConnectSection | None = None
    platform: PlatformSection | None = None
    tap: tuple[TapSection, ...] = ()
    commands: CommandsSection | None = None
    options: dict[str, Any] = {}

    @property
    def names_servers(self) -> bool:
        """Whether the file says where servers are; if it names none, the servers are this
        checkout's.
        """
        return any((self.source, self.kafka, self.registry, self.connect))

    @property
    def runs_already(self) -> bool:
        """Whether a table and a tap are all that the run knows: the user's own pipeline leads from
        one to the other.
        """
        return bool(self.source and self.tap) and not (self.kafka or self.capture)


SECTIONS: dict[str, type[Section]] = {
    "source": SourceSection,
    "capture": CaptureSection,
    "kafka": KafkaSection,
    "registry": RegistrySection,
    "connect": ConnectSection,
    "platform": PlatformSection,
    "tap": TapSection,
    "commands": CommandsSection,
}


def editor_schema() -> dict[str, object]:
    """The JSON schema of a file, for editors that check TOML against a schema (`#:schema`)."""
    made = msgspec.json.schema(PipelineFile)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **made}
