"""Debezium connectors: created, awaited until they really stream, deleted."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import psycopg
import requests

from infra.client.http import ask_connect, connect_trouble
from infra.client.passfile import password
from infra.postgres.encryption import encryption
from infra.postgres.slot import is_read
from infra.stack.endpoints import Endpoints
from infra.stack.error import StackConfigError, StackError
from infra.stack.servers.settings import ServerSettings, Tuning, avro_converters, debezium
from infra.validate import dsn_place

TIMEOUT_S = 30.0
#: The limit for a deleted connector's end; Connect itself gives a task five seconds.
GONE_S = 10.0
POLL_S = 0.05
#: Source types that each event's schema names in its parameters, by their names in pg_type: types
#: that an event's schema alone does not identify.
TOLD_TYPES = (
    *("bit", "money", "bpchar", "jsonb", "inet", "cidr", "macaddr", "macaddr8"),
    *("int4range", "int8range", "numrange", "tsrange", "daterange", "tsvector"),
)


@dataclass(frozen=True, slots=True)
class DebeziumConnector:
    """One connector: its name, its slot and publication, and the tables ("schema.table") that it
    captures.
    """

    name: str
    slot: str
    publication: str
    topic_prefix: str
    tables: tuple[str, ...]
    tuning: Tuning = "latency"
    #: Whether standbys have its slot too (PostgreSQL 17).
    failover: bool = False


@dataclass(frozen=True, slots=True)
class ReadByConnector:
    """The slot and publication through which a connector reads the log."""

    slot: str
    publication: str


def connector_config(connector: DebeziumConnector, endpoints: Endpoints) -> ServerSettings:
    """The configuration; the converters are the worker's, unless the endpoints say where else they
    reach the registry.

    The password is a reference that the worker resolves. If the endpoints have no reference, the
    configuration has the password that libpq would use; Connect's REST interface and topics then
    show it.
    """
    place = dsn_place(endpoints.postgres_dsn)
    user = endpoints.postgres_user_from_connect or place.get("user", "postgres")
    # Looked up as libpq does, by the address in the DSN; Connect may use another address.
    known = endpoints.postgres_secret_from_connect or password(place | {"user": user}, os.environ)
    if endpoints.postgres_from_connect is not None:
        place["host"], _, place["port"] = endpoints.postgres_from_connect.rpartition(":")
    tls = encryption(place, os.environ, endpoints.postgres_ca_from_connect)
    return {
        "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
        "tasks.max": "1",
        "database.hostname": place.get("host", "127.0.0.1"),
        "database.port": place.get("port", "5432"),
        "database.user": user,
        "database.password": known,
        "database.dbname": place.get("dbname", "postgres"),
        "topic.prefix": connector.topic_prefix,
        **{f"database.{name}": text for name, text in tls.items()},
        "plugin.name": "pgoutput",
        "slot.name": connector.slot,
        **({"slot.failover": "true"} if connector.failover else {}),
        # The harness creates and drops the publication, so that a crash of either side leaves a
        # known state.
        "publication.name": connector.publication,
        "publication.autocreate.mode": "disabled",
        "schema.include.list": ",".join(
            sorted({table.split(".")[0] for table in connector.tables})
        ),
        "table.include.list": ",".join(connector.tables),
        # The tables are empty when the connector starts: all rows are captured from the log.
        "snapshot.mode": "no_data",
        "tombstones.on.delete": "true",
        # An event alone does not identify a column of these types. With this setting each event's
        # schema names the type; a schema is read once for each id, and tables without such columns
        # have no such parameter.
        "datatype.propagate.source.type": rf".+\.({'|'.join(TOLD_TYPES)})",
        "retriable.restart.connector.wait.ms": "500",
        # All connectors of the harness use the same server name. Without this tag their metrics'
        # names collide in Connect, and the second connector waits a minute for the first one's.
        "custom.metric.tags": f"connector={connector.name}",
        **debezium(connector.tuning),
        **(avro_converters(registry) if (registry := endpoints.registry_from_connect) else {}),
    }


def create_connector(endpoints: Endpoints, connector: DebeziumConnector) -> None:
    """Ask Kafka Connect for the connector; raises StackError with its answer."""
    body = {"name": connector.name, "config": connector_config(connector, endpoints)}
    answer = ask_worker("POST", f"{endpoints.connect_url}/connectors", json=body)
    if answer.status_code != requests.codes.created:
        raise StackError(
            f"connector {connector.name!r} was refused ({answer.status_code}): {_message(answer)}"
        )


def wait_until_streaming(
    endpoints: Endpoints, connector: DebeziumConnector, limit_s: float
) -> None:
    """Wait until the slot is in use; raises StackError when the task fails or the time is over.

    The task's RUNNING is no proof: Connect says so while the database is down.
    """
    with closing(psycopg.connect(endpoints.postgres_dsn, connect_timeout=10)) as connection:
        connection.autocommit = True

        def streams() -> bool:
            if is_read(connection, connector.slot):
                return True
            if (trace := _failure(endpoints, connector.name)) is not None:
                raise StackError(f"connector {connector.name!r} failed: {trace}")
            return False

        _await(streams, limit_s, f"connector {connector.name!r} does not stream")


def wait_until_committed(endpoints: Endpoints, name: str, limit_s: float) -> None:
    """Wait until Connect has stored an offset of the connector; raises StackError if the time is
    over.

    Connect restarts tasks when it rebalances. A task that restarts before its first offset is
    stored would begin at the log's end at that time, and the rows before it would be lost.
    """
    url = f"{endpoints.connect_url}/connectors/{name}/offsets"

    def has_offset() -> bool:
        answer = ask_worker("GET", url)
        return answer.status_code == requests.codes.ok and bool(answer.json()["offsets"])

    _await(has_offset, limit_s, f"connector {name!r} has stored no offset")


def _failure(endpoints: Endpoints, name: str) -> str | None:
    answer = ask_worker("GET", f"{endpoints.connect_url}/connectors/{name}/status")
    if answer.status_code != requests.codes.ok:
        return None  # not there yet
    status = answer.json()
    for part in (status["connector"], *status["tasks"]):
        if part["state"] == "FAILED":
            return str(part.get("trace", "no trace"))[:1500]
    return None


def slot_of(endpoints: Endpoints, name: str) -> str:
    """The slot of a connector that this project did not make; raises StackConfigError if Connect
    does not know the connector.
    """
    answer = ask_worker("GET", f"{endpoints.connect_url}/connectors/{name}/config")
    if answer.status_code != requests.codes.ok:
        raise StackConfigError(
            f"connector {name!r} is not known to {endpoints.connect_url}; check --connector"
        )
    return what_is_read(answer.json()).slot


def what_is_read(config: Mapping[str, str]) -> ReadByConnector:
    """The names in a connector's configuration, or Debezium's own defaults. Pure."""
    return ReadByConnector(
        config.get("slot.name", "debezium"), config.get("publication.name", "dbz_publication")
    )


def delete_connector(endpoints: Endpoints, name: str) -> None:
    """Delete the connector and wait for its end; it is no error if there is none.

    Connect answers as soon as the deletion is written down, and stops the task later. A task that
    is starting at that time still makes its slot, after whoever deleted the connector has dropped
    it. Connect forgets a connector's status when its tasks are stopped.
    """
    url = f"{endpoints.connect_url}/connectors/{name}"
    answer = ask_worker("DELETE", url)
    if answer.status_code not in (requests.codes.no_content, requests.codes.not_found):
        raise StackError(
            f"connector {name!r} cannot be deleted ({answer.status_code}): {_message(answer)}"
        )
    _await(
        lambda: ask_worker("GET", f"{url}/status").status_code == requests.codes.not_found,
        GONE_S,
        f"connector {name!r} was deleted and still runs",
    )


def _await(done: Callable[[], bool], limit_s: float, trouble: str) -> None:
    """Return when it is done; raises StackError, which names the trouble, if the time is over."""
    deadline_s = time.monotonic() + limit_s
    while not done():
        if time.monotonic() > deadline_s:
            raise StackError(f"{trouble} after {limit_s:g} s; see Connect's log")
        time.sleep(POLL_S)


def ask_worker(method: str, url: str, **arguments: Any) -> requests.Response:
    """Make one request; a worker that is rebalancing (409) is asked again until it has settled.

    Raises StackError if it does not answer.
    """
    deadline_s = time.monotonic() + TIMEOUT_S
    while True:
        try:
            answer = ask_connect(method, url, timeout=TIMEOUT_S, **arguments)
        except requests.RequestException as error:
            raise StackError(
                f"Kafka Connect does not answer at {url}: {connect_trouble(error)}"
            ) from error
        if answer.status_code != requests.codes.conflict or "rebalanc" not in answer.text.lower():
            return answer
        if time.monotonic() > deadline_s:
            return answer
        time.sleep(POLL_S)


def _message(answer: requests.Response) -> str:
    try:
        return str(answer.json().get("message", answer.text))
    except ValueError:
        return answer.text[:500]
