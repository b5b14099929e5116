"""Every server's settings, as data: the one source of the process stack and of the compose files.

Each function answers with plain mappings from the places that differ (addresses, directories); how
a kind of stack hands them to a server (file, flag or environment) is its own affair. docs/stack.md
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
#: What the topics of captured tables begin with, whoever captures.
TOPIC_PREFIX = "cdc"


@dataclass(frozen=True, slots=True)
class Listener:
    """An address of a server: where it binds, and how others reach it."""

    bind: str
    port: int
    advertised: str


def postgres(listener: Listener) -> ServerSettings:
    """PostgreSQL's parameters: logical decoding on, everything else as a benchmark's user would
    find it.
    """
    return {
        "listen_addresses": listener.bind,
        "port": str(listener.port),
        "wal_level": "logical",
        "max_wal_senders": "20",
        "max_replication_slots": "20",
        "max_connections": "200",
        # A slot that nobody reads must not fill the disk of a laptop.
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
    # The controller is the broker itself, so no other process talks to it, in a container as well.
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
        # Topics are created explicitly, with the partitions that were asked for, or not at all.
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
        # A broker that was killed is back in seconds instead of a session of nine.
        "broker.session.timeout.ms": "2000",
        "broker.heartbeat.interval.ms": "500",
        "group.min.session.timeout.ms": "1000",
        "log.message.timestamp.type": "LogAppendTime",
    }


def registry(listener: Listener, management_port: int) -> ServerSettings:
    """The schema registry's properties (Quarkus); its management port would listen everywhere by
    default.
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
    """A distributed Kafka Connect worker with Avro converters; connectors need not name
    converters.
    """
    converter = {
        "": "io.apicurio.registry.utils.converter.AvroConverter",
        ".apicurio.registry.url": f"{registry_url}/apis/registry/v2",
        ".apicurio.registry.auto-register": "true",
        ".apicurio.registry.find-latest": "true",
        ".apicurio.registry.as-confluent": "true",
        ".apicurio.registry.use-id": "contentId",
        # Otherwise the schema's id goes into a header and there is no Confluent wire format.
        ".apicurio.registry.headers.enabled": "false",
    }
    settings = {
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
        # The default minute would be a minute of duplicates after a crash.
        "offset.flush.interval.ms": "1000",
        "session.timeout.ms": "2000",
        "heartbeat.interval.ms": "500",
        "scheduled.rebalance.max.delay.ms": "0",
        # Worker and broker start side by side; a second's pause between attempts would be a second
        # lost.
        "reconnect.backoff.max.ms": "100",
        "plugin.discovery": "service_load",
        "connector.client.config.override.policy": "All",
    }
    for side in ("key", "value"):
        settings.update({f"{side}.converter{name}": value for name, value in converter.items()})
    return settings


def file_provider(path: str) -> ServerSettings:
    """A worker's settings for `${file:PATH:KEY}` in connectors: resolved in the worker, so what it
    keeps of a connector does not hold what the file does.

    No other file is read: whoever reaches the worker can have a reference resolved and told, by
    `PUT /connector-plugins/CLASS/config/validate`.
    """
    return {
        "config.providers": "file",
        "config.providers.file.class": "org.apache.kafka.common.config.provider.FileConfigProvider",
        "config.providers.file.param.allowed.paths": path,
    }


def debezium(tuning: Tuning) -> ServerSettings:
    """Debezium's knobs: a short poll for latency by default, large batches for throughput by
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
