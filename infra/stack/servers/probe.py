"""Real requests to the servers of a stack: each raises while its server does not answer."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from infra.client.access import CONNECT_PREFIX
from infra.client.http import ask_connect
from infra.client.kafka import KafkaTroubles, kafka_settings
from infra.client.registry import SchemaRegistry
from infra.stack.endpoints import Endpoints
from infra.stack.error import StackError
from infra.stack.servers import postgres

PROBE_S = 5.0
POLL_S = 0.05
NOT_LET_IN = (401, 403)


@dataclass(frozen=True, slots=True)
class ServerProbe:
    """One server: the name that people use for it, its address (empty if there is none), and `ask`,
    which raises while the server does not answer.
    """

    title: str
    place: str
    ask: Callable[[], None]


def probes(endpoints: Endpoints) -> Mapping[str, ServerProbe]:
    """A probe of each server, by the name of its log."""
    environ = endpoints.environment(os.environ)
    dsn, bootstrap = endpoints.postgres_dsn, endpoints.kafka_bootstrap
    registry, connect = endpoints.schema_registry_url, endpoints.connect_url
    return {
        "postgres": ServerProbe("PostgreSQL", dsn, lambda: postgres.probe(dsn)),
        "kafka": ServerProbe("Kafka", bootstrap, lambda: probe_kafka(bootstrap, environ)),
        "schema-registry": ServerProbe(
            "Schema Registry", registry, lambda: probe_registry(registry, environ)
        ),
        "connect": ServerProbe("Kafka Connect", connect, lambda: probe_connect(connect, environ)),
    }


def await_answer(server: str, probe: ServerProbe, deadline_s: float) -> None:
    """Wait until a server answers; raises StackError when the time (monotonic) is over."""
    while True:
        try:
            return probe.ask()
        except Exception as error:
            if time.monotonic() > deadline_s:
                raise StackError(
                    f"{server} does not answer ({error}); see `python -m infra.stack logs {server}`"
                ) from error
            time.sleep(POLL_S)


def probe_kafka(bootstrap: str, environ: Mapping[str, str]) -> None:
    """Cluster metadata with at least one broker; raises StackError with the client's reason."""
    troubles = KafkaTroubles()
    own = {"log_level": 0, "socket.timeout.ms": 2000, "error_cb": troubles}
    client = AdminClient(kafka_settings(bootstrap, own, environ))
    try:
        found = troubles.metadata(client, 2.0)
    except KafkaException as error:
        raise StackError(troubles.why(error.args[0], environ)) from error
    if not found.brokers:
        raise StackError(f"Kafka at {bootstrap} has no broker")


def probe_registry(url: str, environ: Mapping[str, str]) -> None:
    """Register a schema, read it back by its id, and remove it."""
    subject, schema = f"locust-cdc-probe-{uuid.uuid4().hex[:8]}", "string"
    with SchemaRegistry(url, PROBE_S, environ) as registry:
        back = registry.schema(registry.register(subject, schema))
        registry.delete(subject)
    if back not in (schema, {"type": schema}):
        raise StackError(f"the schema registry at {url} gave back another schema than it was given")


def probe_connect(url: str, environ: Mapping[str, str]) -> None:
    """The worker has joined its group and knows Debezium's connector."""
    answer = ask_connect("GET", f"{url}/connector-plugins", timeout=PROBE_S, environ=environ)
    if answer.status_code in NOT_LET_IN:
        raise StackError(
            f"Kafka Connect at {url} answers with {answer.status_code}; give it a user who may"
            f" ({CONNECT_PREFIX}_USER, {CONNECT_PREFIX}_PASSWORD_FILE)"
        )
    answer.raise_for_status()
    if not any("debezium" in plugin["class"].lower() for plugin in answer.json()):
        raise StackError(
            f"Kafka Connect at {url} has no Debezium connector for Postgres; install it there"
        )
    answer = ask_connect("GET", f"{url}/connectors", timeout=PROBE_S, environ=environ)
    answer.raise_for_status()
