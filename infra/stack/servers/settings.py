"""Every server's settings, as data: the one source of the process stack and of the compose files.

Each function turns the places that differ (addresses, directories) into plain mappings. Each kind
of stack decides how to hand the settings to a server (file, flag or environment). docs/stack.md
explains the choices.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

ServerSettings = dict[str, str]
Tuning = Literal["latency", "throughput"]

#: Kafka Connect's internal topics and consumer group.
CONNECT_GROUP = "locust-cdc-connect"
LOOPBACK = "127.0.0.1"
#: The prefix of the topics of captured tables, for every capture.
TOPIC_PREFIX = "cdc"


@dataclass(frozen=True, slots=True)
class Listener:
    """An address of a server: where it binds, and how other processes reach it."""

    bind: str
    port: int
    advertised: str


def postgres(listener: Listener) -> ServerSettings:
    """PostgreSQL's parameters: logical decoding is on, everything else is as a user of the
    benchmark would find it.
    """
    return {
        "listen_addresses": listener.bind,
        "port": str(listener.port),
        "wal_level": "logical",
        "max_wal_senders": "20",
        "max_replication_slots": "20",
        "max_connections": "200",
        # A slot without a reader must not fill the disk of a laptop.
        "max_slot_wal_keep_size": "4GB",
        "shared_buffers": "128MB",
        "max_wal_size": "2GB",
    }


def kafka(
    client: Listener, controller_port: int, directory: str, internal: Listener | None = None
) -> ServerSettings:
    """One combined KRaft node.

    `internal` is a second listener: for neighbours in a container network, or a relay's clients.
    """
    # The controller is the broker itself, so no other process talks to it, not even in a container.
    listeners = [
        f"PLAINTEXT://{client.bind}:{client.port}",
        f"CONTROLLER://{LOOPBACK}:{controller_port}",
    ]
    advertised = [f"PLAINTEXT://{client.advertised}:{client.port}"]
    protocols = "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT"
    if internal is not None:
        listeners.append(f"INTERNAL://{internal.bind}:{internal.port}")
        advertised.append(f"INTERNAL://{internal.advertised}:{internal.port}")
        protocols += ",INTERNAL:PLAINTEXT"
    return {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@{LOOPBACK}:{controller_port}",
        "controller.listener.names": "CONTROLLER",
        "listeners": ",".join(listeners),
        "advertised.listeners": ",".join(advertised),
        "listener.security.protocol.map": protocols,
        "inter.broker.listener.name": "PLAINTEXT",
        "log.dirs": directory,
        # Topics are created explicitly, with the requested number of partitions, or not at all.
        "auto.create.topics.enable": "false",
        "num.partitions": "1",
        "offsets.topic.num.partitions": "4",
        "offsets.topic.replication.factor": "1",
        "transaction.state.log.num.partitions": "4",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "share.coordinator.state.topic.num.partitions": "4",
        "share.coordinator.state.topic.replication.factor": "1",
        "share.coordinator.state.topic.min.isr": "1",
        "group.initial.rebalance.delay.ms": "0",
        # A killed broker is back after seconds, without waiting for the default session of nine
        # seconds.
        "broker.session.timeout.ms": "2000",
        "broker.heartbeat.interval.ms": "500",
        "group.min.session.timeout.ms": "1000",
        "log.message.timestamp.type": "LogAppendTime",
    }


def registry(listener: Listener, management_port: int) -> ServerSettings:
    """The schema registry's properties (Quarkus); by default its management port would listen on
    all addresses.
    """
    return {
        "quarkus.http.host": listener.bind,
        "quarkus.http.port": str(listener.port),
        "quarkus.management.host": listener.bind,
        "quarkus.management.port": str(management_port),
        "quarkus.log.level": "WARN",
        "apicurio.rest.deletion.artifact.enabled": "true",
        "apicurio.rest.deletion.artifact-version.enabled": "true",
        "apicurio.rest.deletion.group.enabled": "true",
    }


def connect(listener: Listener, kafka_bootstrap: str, registry_url: str) -> ServerSettings:
    """A distributed Kafka Connect worker with Avro converters, so that connectors need not name
    converters.
    """
    return {
        "bootstrap.servers": kafka_bootstrap,
        "group.id": CONNECT_GROUP,
        "listeners": f"http://{listener.bind}:{listener.port}",
        "rest.advertised.host.name": listener.advertised,
        "rest.advertised.port": str(listener.port),
        "config.storage.topic": f"{CONNECT_GROUP}-configs",
        "offset.storage.topic": f"{CONNECT_GROUP}-offsets",
        "status.storage.topic": f"{CONNECT_GROUP}-status",
        "config.storage.replication.factor": "1",
        "offset.storage.replication.factor": "1",
        "status.storage.replication.factor": "1",
        "offset.storage.partitions": "1",
        "status.storage.partitions": "1",
        # The default of a minute would mean a minute of duplicates after a crash.
        "offset.flush.interval.ms": "1000",
        "session.timeout.ms": "2000",
        "heartbeat.interval.ms": "500",
        "scheduled.rebalance.max.delay.ms": "0",
        # Worker and broker start side by side; a pause of a second between attempts would lose a
        # second.
        "reconnect.backoff.max.ms": "100",
        "plugin.discovery": "service_load",
        "connector.client.config.override.policy": "All",
        **avro_converters(registry_url),
    }


def avro_converters(registry_url: str) -> ServerSettings:
    """Converters of a worker, or of one connector, that keep their schemas in this registry."""
    converter = {
        "": "io.apicurio.registry.utils.converter.AvroConverter",
        ".apicurio.registry.url": f"{registry_url}/apis/registry/v2",
        ".apicurio.registry.auto-register": "true",
        ".apicurio.registry.find-latest": "true",
        ".apicurio.registry.as-confluent": "true",
        ".apicurio.registry.use-id": "contentId",
        # The converter asks about each schema again after 30 s. Without this setting an answer that
        # fails ends the task for good, although the schema is known.
        ".apicurio.registry.fault-tolerant-refresh": "true",
        # Otherwise the schema's id would be in a header, and the message would not have Confluent's
        # wire format.
        ".apicurio.registry.headers.enabled": "false",
    }
    return {
        f"{side}.converter{name}": value
        for side in ("key", "value")
        for name, value in converter.items()
    }


def file_provider(path: str) -> ServerSettings:
    """A worker's settings for `${file:PATH:KEY}` in connectors. The worker resolves the
    reference, so its stored configuration of a connector does not hold the file's content.

    No other file is read: every client of the worker can have a reference resolved and see the
    result, by `PUT /connector-plugins/CLASS/config/validate`.
    """
    return {
        "config.providers": "file",
        "config.providers.file.class": "org.apache.kafka.common.config.provider.FileConfigProvider",
        "config.providers.file.param.allowed.paths": path,
    }


def debezium(tuning: Tuning) -> ServerSettings:
    """Debezium's settings: a short poll for latency by default, large batches for throughput by
    option.
    """
    if tuning == "latency":
        return {"poll.interval.ms": "1", "producer.override.linger.ms": "0"}
    return {
        "poll.interval.ms": "10",
        "max.batch.size": "8192",
        "max.queue.size": "32768",
        "producer.override.linger.ms": "5",
        "producer.override.batch.size": "262144",
        "producer.override.compression.type": "lz4",
    }


def render_properties(settings: ServerSettings) -> str:
    """A Java properties file."""
    return "".join(f"{name}={value}\n" for name, value in settings.items())
