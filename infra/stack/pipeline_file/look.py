"""Asks each part of a pipeline what it is, by real requests that change nothing."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import Any

import psycopg
import requests
from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    ConfigResource,
    OffsetSpec,
    TopicMetadata,
)

from infra.client.http import ask_connect, connect_trouble
from infra.client.kafka import KafkaTroubles, kafka_settings
from infra.client.registry import RegistryError, SchemaRegistry
from infra.client.sql import quoted_name
from infra.mariadb.address import FAILURES, connect_to, reason
from infra.mariadb.rights import mariadb_facts, mariadb_mistakes
from infra.postgres.catalog import REPLICA_IDENTITIES
from infra.postgres.rights import RightsError, login_remedy, server_facts, source_mistakes
from infra.stack.debezium.connector import what_is_read
from infra.stack.endpoints import Endpoints
from infra.stack.pipeline_file.found import (
    UNREACHABLE,
    PartFound,
    PartTrouble,
    PipelineFound,
    SourceTable,
)
from infra.stack.pipeline_file.section import CaptureSection, PipelineFile, PlatformSection

TIMEOUT_S = 8.0
_TABLE = """
SELECT c.relreplident, has_table_privilege(c.oid, 'INSERT, UPDATE, DELETE'),
       exists (SELECT FROM pg_attribute WHERE attrelid = c.oid AND attname = 'probe'
               AND NOT attisdropped)
FROM pg_class c WHERE c.oid = to_regclass(%s)
"""
_SLOT = """
SELECT active_pid, wal_status, pg_wal_lsn_diff(pg_current_wal_lsn(), confirmed_flush_lsn)::bigint,
       plugin
FROM pg_replication_slots WHERE slot_name = %s
"""
_PUBLISHED = """
SELECT exists (SELECT FROM pg_publication WHERE pubname = %s),
       exists (SELECT FROM pg_publication_tables
               WHERE pubname = %s AND schemaname || '.' || tablename = %s)
"""
_NAME = re.compile(r"[^.\"]+")


@dataclass(slots=True)
class PipelineLook:
    """One look at a pipeline; each part is asked once. The other parts are still asked after one
    that does not answer.
    """

    file: PipelineFile
    endpoints: Endpoints
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    found: PipelineFound = field(default_factory=PipelineFound)

    def look(self) -> PipelineFound:
        """Ask all parts that exist; the connector first, because it names the slot."""
        file, places = self.file, self.endpoints
        capture = file.capture or CaptureSection()
        platform = file.platform or PlatformSection(command="")
        self.found = PipelineFound(
            slot=capture.slot,
            connector=capture.connector,
            topic=file.kafka.topic if file.kafka else "",
            group=platform.group,
            source=file.source.kind if file.source else "postgres",
            capture=capture.kind or "debezium",
            taps=tuple(f"{tap.kind}:{tap.place}" for tap in file.tap),
            platform=platform.command or ("none" if file.tap else ""),
            sections=frozenset(
                name for name in ("source", "kafka", "registry", "connect") if getattr(file, name)
            ),
        )
        connect = self._part("Kafka Connect", places.connect_url, self._connect)
        slot, publication = self._named_by_connector(capture.publication)
        self.found = replace(self.found, slot=slot)
        source = self._part("PostgreSQL", places.postgres_dsn, lambda: self._source(publication))
        mariadb = self._part("MariaDB", self._mariadb_named, self._mariadb)
        kafka = self._part("Kafka", places.kafka_bootstrap, self._kafka)
        registry = self._part("Schema Registry", places.schema_registry_url, self._registry)
        parts = [part for part in (source, mariadb, connect, kafka, registry) if part is not None]
        return replace(self.found, parts=parts)

    def _part(
        self, name: str, place: str, ask: Callable[[], Iterator[str | PartTrouble]]
    ) -> PartFound | None:
        """Ask one part; None if the pipeline does not have it."""
        if not place:
            return None
        facts: list[str] = []
        troubles: list[PartTrouble] = []
        try:
            for told in ask():
                (troubles if isinstance(told, PartTrouble) else facts).append(told)  # type: ignore[arg-type]
        except psycopg.Error as error:
            troubles.append(postgres_trouble(error))
        except FAILURES as error:
            troubles.append(PartTrouble(f"{name} does not let us in: {reason(error)}", UNREACHABLE))
        except RightsError as error:
            troubles.append(PartTrouble(str(error)))
        except RegistryError as error:
            troubles.append(PartTrouble(str(error), UNREACHABLE))
        except (requests.RequestException, KafkaException) as error:
            told = (
                connect_trouble(error)
                if isinstance(error, requests.RequestException)
                else str(error)
            )
            troubles.append(PartTrouble(f"{name} does not answer: {told}", UNREACHABLE))
        return PartFound(name, place, facts, troubles)

    def _source(self, publication: str) -> Iterator[str | PartTrouble]:
        options = f"-c statement_timeout={TIMEOUT_S:.0f}s -c default_transaction_read_only=on"
        with (
            closing(
                psycopg.connect(
                    self.endpoints.postgres_dsn,
                    connect_timeout=int(TIMEOUT_S),
                    autocommit=True,
                    options=options,
                )
            ) as connection,
            connection.cursor() as cursor,
        ):
            reader = self.endpoints.postgres_user_from_connect or ""
            facts = server_facts(cursor, reader)
            tls = "yes" if facts.encrypted else "no"
            yield f"version {facts.version}, wal_level {facts.wal_level}, TLS {tls}"
            own = bool(self.found.connector or self.found.slot)
            captured = not self.file.runs_already
            yield from map(PartTrouble, source_mistakes(facts, own=own, captured=captured))
            table = self.file.source.table if self.file.source else ""
            if table:
                yield from self._table(cursor, table, publication)
            if self.found.slot and not facts.replica:
                yield from self._slot(cursor)

    @property
    def _mariadb_named(self) -> str:
        """The MariaDB that rows go into, if the file names it."""
        return self.endpoints.mariadb_url if self.found.source == "mariadb" else ""

    def _mariadb(self) -> Iterator[str | PartTrouble]:
        url, limit_s = self.endpoints.mariadb_url, int(TIMEOUT_S)
        with closing(connect_to(url, self.environ, read_timeout=limit_s)) as connection:
            facts = mariadb_facts(connection)
        yield f"version {facts.version}, user {facts.user}"
        log = "ON" if facts.log_bin else "OFF"
        yield (
            f"log_bin {log}, binlog_format {facts.binlog_format},"
            f" binlog_row_image {facts.row_image}"
        )
        yield from map(PartTrouble, mariadb_mistakes(facts))

    def _table(
        self, cursor: psycopg.Cursor[Any], table: str, publication: str
    ) -> Iterator[str | PartTrouble]:
        row = cursor.execute(_TABLE, (quoted_name(*table.split(".")),)).fetchone()
        if row is None:
            self.found = self.found.lacking("table")
            yield PartTrouble(f"there is no table {table}; create it, or name another one")
            return
        published = None
        if publication:
            there, published = cursor.execute(
                _PUBLISHED, (publication, publication, table)
            ).fetchone() or (False, False)
            yield f"publication {publication}"
            if not there:
                yield PartTrouble(f"there is no publication {publication!r}; create it for {table}")
            elif not published:
                yield PartTrouble(
                    f"publication {publication!r} lacks {table}; run ALTER PUBLICATION"
                    f" {publication} ADD TABLE {table}"
                )
        found = SourceTable(table, REPLICA_IDENTITIES[row[0]], bool(row[2]), published)
        self.found = replace(self.found, table=found)
        yield f"table {table}, REPLICA IDENTITY {found.identity.upper()}"
        if not row[1]:
            yield PartTrouble(
                f"this role may not write to {table}; run GRANT INSERT, UPDATE, DELETE ON {table}"
            )

    def _slot(self, cursor: psycopg.Cursor[Any]) -> Iterator[str | PartTrouble]:
        row = cursor.execute(_SLOT, (self.found.slot,)).fetchone()
        if row is None:
            self.found = self.found.lacking("slot")
            yield PartTrouble(
                f"there is no slot {self.found.slot!r}; start what captures, or name it"
            )
            return
        active = f"active for pid {row[0]}" if row[0] else "nobody reads it"
        yield f"slot {self.found.slot}: {active}, {row[1]}, {row[2] or 0:,} bytes behind"
        if row[0] is None:
            yield PartTrouble(f"nobody reads slot {self.found.slot!r}; start what captures")
        if row[1] == "lost":
            yield PartTrouble(
                f"the WAL that slot {self.found.slot!r} needs was removed; make a new one"
            )

    def _connect(self) -> Iterator[str | PartTrouble]:
        root = self._asked("/")
        plugins = self._asked("/connector-plugins")
        debezium = [item for item in plugins if "debezium" in item["class"].lower()]
        yield f"version {root.get('version', '?')}"
        for plugin in debezium[:1]:
            yield f"Debezium {plugin.get('version', '?')}"
        if not debezium and not self.found.connector:
            yield PartTrouble("Kafka Connect has no connector of Debezium's; install it there")
        if self.found.connector:
            status = self._asked(f"/connectors/{self.found.connector}/status")
            if not status:
                self.found = self.found.lacking("connector")
            yield from connector_state(self.found.connector, status)

    def _named_by_connector(self, publication: str) -> tuple[str, str]:
        """The slot and publication of the connector, if the file does not name them."""
        slot = self.found.slot
        if not (self.found.connector and self.endpoints.connect_url) or (slot and publication):
            return slot, publication
        try:
            config = self._asked(f"/connectors/{self.found.connector}/config")
        except requests.RequestException:
            return slot, publication
        if "postgres" not in str(config.get("connector.class", "")).lower():
            return slot, publication
        read = what_is_read(config)
        return slot or read.slot, publication or read.publication

    def _asked(self, path: str) -> Any:
        answer = ask_connect(
            "GET",
            f"{self.endpoints.connect_url.rstrip('/')}{path}",
            timeout=TIMEOUT_S,
            environ=self.environ,
        )
        if answer.status_code == requests.codes.not_found:
            return {}
        answer.raise_for_status()
        return answer.json()

    def _kafka(self) -> Iterator[str | PartTrouble]:
        troubles = KafkaTroubles()
        own = {"log_level": 0, "error_cb": troubles, "socket.timeout.ms": 5000}
        admin = AdminClient(kafka_settings(self.endpoints.kafka_bootstrap, own, self.environ))
        try:
            known = troubles.metadata(admin, TIMEOUT_S)
        except KafkaException as error:
            yield PartTrouble(troubles.why(error.args[0], self.environ), UNREACHABLE)
            return
        yield f"{len(known.brokers)} broker(s), {len(known.topics)} topics"
        if self.found.topic:
            yield from self._topic(admin, known.topics)
        if self.found.group:
            yield from self._group(admin)

    def _topic(
        self, admin: AdminClient, topics: Mapping[str, TopicMetadata]
    ) -> Iterator[str | PartTrouble]:
        name = self.found.topic
        if name not in topics or topics[name].error is not None:
            self.found = self.found.lacking("topic")
            yield PartTrouble(
                f"there is no topic {name!r}, or it may not be seen; create it, or grant"
            )
            return
        partitions = [TopicPartition(name, number) for number in topics[name].partitions]
        yield f"topic {name}: {len(partitions)} partition(s)"
        resource = ConfigResource(ConfigResource.Type.TOPIC, name)
        try:
            told = admin.describe_configs([resource], request_timeout=TIMEOUT_S)[resource]
            kind = told.result(TIMEOUT_S)["message.timestamp.type"].value
            self.found = replace(self.found, append_time=kind == "LogAppendTime")
            yield f"time of its records: {kind}"
            latest: Any = OffsetSpec.latest()  # type: ignore[no-untyped-call]
            ends = admin.list_offsets(dict.fromkeys(partitions, latest), request_timeout=TIMEOUT_S)
            end = sum(one.result(TIMEOUT_S).offset for one in ends.values())
            yield f"end offsets sum to {end:,}"
        except KafkaException as error:
            yield PartTrouble(
                f"topic {name!r} may not be described ({error.args[0].str()}); grant DESCRIBE and"
                " DESCRIBE_CONFIGS on it"
            )

    def _group(self, admin: AdminClient) -> Iterator[str | PartTrouble]:
        name = self.found.group
        try:
            told = admin.describe_consumer_groups([name], request_timeout=TIMEOUT_S)[name]
            group = told.result(TIMEOUT_S)
        except KafkaException as error:
            yield PartTrouble(
                f"group {name!r} may not be described ({error.args[0].str()}); grant it"
            )
            return
        yield f"group {name}: {group.state.name.lower()}, {len(group.members)} member(s)"
        if not group.members:
            yield PartTrouble(
                f"nobody is in group {name!r}; start your platform, or name its group"
            )

    def _registry(self) -> Iterator[str | PartTrouble]:
        url = self.endpoints.schema_registry_url
        with SchemaRegistry(url, TIMEOUT_S, self.environ) as registry:
            registry.check()
            yield "answers"
            if self.found.topic:
                there = registry.latest(f"{self.found.topic}-value") is not None
                yield f"{self.found.topic}-value: {'a schema' if there else 'no schema yet'}"


def connector_state(name: str, status: Mapping[str, Any]) -> Iterator[str | PartTrouble]:
    """What Connect's status of a connector says. Pure."""
    if not status:
        yield PartTrouble(f"there is no connector {name!r}; create it, or leave it out")
        return
    parts = [("connector", status["connector"])]
    parts += [(f"task {task['id']}", task) for task in status["tasks"]]
    yield f"connector {name}: " + ", ".join(f"{what} {one['state']}" for what, one in parts)
    if not status["tasks"]:
        yield PartTrouble(f"connector {name!r} has no task; see Connect's log")
    for what, one in parts:
        if one["state"] not in ("RUNNING", "UNASSIGNED", "RESTARTING"):
            trace = str(one.get("trace", "")).strip().partition("\n")[0][:300]
            yield PartTrouble(
                f"{what} of {name!r} is {one['state']}{f': {trace}' if trace else ''}; mend and"
                " restart it"
            )


def postgres_trouble(error: psycopg.Error) -> PartTrouble:
    """libpq's message; the remedy is added to an error of access."""
    told = " ".join(str(error).split())
    remedy = login_remedy(told)
    return PartTrouble(f"{told}{f'; {remedy}' if remedy else ''}", UNREACHABLE)
