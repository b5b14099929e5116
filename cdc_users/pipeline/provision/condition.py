"""The condition of a run's surroundings: whether its servers have restarted, whether its capture
works, and whether somebody else has changed its objects.

A look is plain data, and a pure function compares two looks. For processes without gevent.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import compress
from typing import Any, TypedDict

import psutil
import psycopg
import requests
from confluent_kafka import KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]

from cdc_users.measure.offset import ClockOffset, asked_offset
from infra.client.http import ask_connect
from infra.client.kafka import kafka_settings
from infra.client.sql import quoted
from infra.mariadb.address import FAILURES, connect_to
from infra.stack.endpoints import Endpoints
from infra.system import started_s
from infra.validate import endpoint_address, is_loopback

TIMEOUT_S = 5.0
#: The identity of a server of this machine that does not run.
NOBODY = "nobody"
#: The states of a connector or task that works, or is about to.
AT_WORK = ("RUNNING", "RESTARTING", "UNASSIGNED")
_SLOT = (
    "SELECT s.active_pid, a.backend_start::text, s.wal_status FROM pg_replication_slots s LEFT"
    " JOIN pg_stat_activity a ON a.pid = s.active_pid WHERE s.slot_name = %s"
)
_TABLE = (
    "SELECT c.oid::bigint, pg_relation_filenode(c.oid), (SELECT array_agg(attname || ' ' ||"
    " format_type(atttypid, atttypmod)"
    " ORDER BY attnum) FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0 AND NOT"
    " attisdropped) FROM pg_class c WHERE c.oid = to_regclass(%s)"
)
_TIME = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
_CLUSTER = "SELECT system_identifier::text FROM pg_control_system()"
_OPERATIONS = "SELECT pubinsert, pubupdate, pubdelete FROM pg_publication WHERE pubname = %s"
#: Each published table, its row filter, and the columns that are left out; releases before 15 have
#: neither.
#: before 15 have neither.
_PUBLISHED = (
    "SELECT schemaname || '.' || tablename, coalesce(to_jsonb(t) ->> 'rowfilter', ''), ARRAY("
    "SELECT attname::text FROM pg_attribute WHERE attrelid = to_regclass(format('%%I.%%I',"
    " schemaname, tablename)) AND attnum > 0 AND NOT attisdropped AND attgenerated = '' AND NOT"
    " jsonb_exists(to_jsonb(t) -> 'attnames', attname::text) ORDER BY attnum)"
    " FROM pg_publication_tables t WHERE pubname = %s"
)


@dataclass(frozen=True, slots=True)
class RunObjects:
    """The run's objects that are looked at; empty fields for those that it does not have. Tables
    are "schema.table" of PostgreSQL; `mariadb` is the URL of the source.
    """

    slot: str = ""
    connector: str = ""
    publication: str = ""
    topics: Sequence[str] = ()
    tables: Sequence[str] = ()
    mariadb: str = ""


@dataclass(frozen=True, slots=True)
class TableCondition:
    """A source table: its identity in the catalogue, which only DROP ends; its file, which TRUNCATE
    changes; and its columns.
    """

    oid: int
    file: int
    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Condition:
    """The findings of one look; what could not be found out is left out.

    `lives` identifies each server's process, so that a restart shows. `slot` is None if there is
    none, otherwise the connection that uses it (empty: none does). `connector` is its state in one
    word and the reason; `topics` has each topic's id, empty if the topic does not exist, and
    `leaders` the leader epoch of each partition. `cluster` is PostgreSQL's system identifier.
    `operations` are those that the publication publishes; `kept_back` is what it leaves out of each
    table. `source_clock` is how far PostgreSQL's clock is ahead of this machine's.
    """

    lives: Mapping[str, str] = field(default_factory=dict)
    silent: Mapping[str, str] = field(default_factory=dict)
    slot: str | None = ""
    wal_lost: bool = False
    connector: str = ""
    topics: Mapping[str, str] = field(default_factory=dict)
    leaders: Mapping[str, int] = field(default_factory=dict)
    tables: Mapping[str, TableCondition | None] = field(default_factory=dict)
    published: frozenset[str] | None = None
    operations: frozenset[str] = frozenset()
    kept_back: Mapping[str, str] = field(default_factory=dict)
    cluster: str = ""
    source_clock: ClockOffset | None = None


@dataclass(frozen=True, slots=True)
class Changes:
    """The differences of two looks, in sentences: what restarted, what is permanently gone, and
    what somebody else did.
    """

    restarted: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()
    disturbed: tuple[str, ...] = ()


def changes(watched: RunObjects, before: Condition, now: Condition) -> Changes:
    """What has happened between two looks."""
    restarted = tuple(_restarted(before, now))
    # The consequences of a restart are not reported again.
    interrupted = () if restarted else _interrupted(before, now)
    return Changes(
        restarted,
        tuple(_gone(watched, before, now)),
        (*interrupted, *_disturbed(before, now)),
    )


def broken(watched: RunObjects, now: Condition) -> Iterator[str]:
    """What is broken in a pipeline before any load, in sentences."""
    if now.connector and now.connector.split()[0] not in AT_WORK:
        yield f"connector {watched.connector!r} is {now.connector}"
    if watched.slot and now.slot is None:
        yield f"there is no replication slot {watched.slot!r}"
    elif now.wal_lost:
        yield f"the WAL that slot {watched.slot!r} needs was removed"
    for name, number in now.topics.items():
        if not number:
            yield f"there is no topic {name!r}"
    for name, table in now.tables.items():
        if table is None:
            yield f"there is no source table {name}"


def _restarted(before: Condition, now: Condition) -> Iterator[str]:
    for name, life in now.lives.items():
        if life != NOBODY and before.lives.get(name, life) != life:
            yield name


def _interrupted(before: Condition, now: Condition) -> Iterator[str]:
    """What servers say of one another that have not restarted themselves."""
    moved = [
        name
        for name, leaders in now.leaders.items()
        if before.leaders.get(name, leaders) != leaders
    ]
    if moved:
        yield (
            f"Kafka elected the leaders of {', '.join(moved)} again (a broker restarted, or did not"
            " answer its controller)"
        )
    if before.slot and now.slot and before.slot != now.slot:
        yield "the capture (its connection to the replication slot) was interrupted"


def _gone(watched: RunObjects, before: Condition, now: Condition) -> Iterator[str]:
    for server, why in now.silent.items():
        yield f"{server} does not answer ({why})"
    if before.cluster and now.cluster and before.cluster != now.cluster:
        yield (
            f"PostgreSQL is another cluster (its system identifier was {before.cluster} and is"
            f" {now.cluster}): positions in its log mean something else"
        )
    for server, life in now.lives.items():
        if life == NOBODY and before.lives.get(server, life) != life and server not in now.silent:
            yield f"{server} has ended: nobody listens where it did"
    if now.connector and now.connector.split()[0] not in AT_WORK:
        yield f"the capture is gone: connector {watched.connector!r} is {now.connector}"
    if before.slot is not None and now.slot is None:
        yield f"the capture is gone: replication slot {watched.slot!r} was dropped"
    elif now.wal_lost:
        yield f"the capture is gone: the WAL that slot {watched.slot!r} needs was removed"
    elif before.slot and now.slot == "" and not now.connector:
        yield f"nobody reads replication slot {watched.slot!r} any more"
    for name, number in now.topics.items():
        if not number:
            yield f"topic {name!r} was deleted"
        elif before.topics.get(name, number) != number:
            yield f"topic {name!r} was deleted and created again"
    for name, table in now.tables.items():
        if table is None and before.tables.get(name) is not None:
            yield f"source table {name} was dropped or renamed"
        elif before.published and now.published is not None and name not in now.published:
            yield f"source table {name} is not in publication {watched.publication!r} any more"
    for name, what in now.kept_back.items():
        if what and what != before.kept_back.get(name, what):
            yield f"publication {watched.publication!r} now leaves out of table {name} {what}"
    if now.published and (left := before.operations - now.operations):
        yield (
            f"publication {watched.publication!r} no longer publishes {' and '.join(sorted(left))}"
        )


def _disturbed(before: Condition, now: Condition) -> Iterator[str]:
    for name, table in now.tables.items():
        earlier = before.tables.get(name)
        if table is None or earlier is None:
            continue
        if table.oid != earlier.oid:
            yield (
                f"somebody dropped source table {name} and created it again: no event says that the"
                " first one's rows are gone, and a sink may keep them"
            )
        elif table.columns != earlier.columns:
            left = sorted(set(earlier.columns) - set(table.columns))
            come = sorted(set(table.columns) - set(earlier.columns))
            changes = [f"without {', '.join(left)}"] * bool(left) + [
                f"with {', '.join(come)}"
            ] * bool(come)
            yield f"somebody altered source table {name}: it is now {' and '.join(changes)}"
        elif table.file != earlier.file:
            yield f"somebody emptied or rewrote source table {name} (TRUNCATE, VACUUM FULL)"


class ConditionFindings(TypedDict, total=False):
    """What one server tells: those fields of Condition that it knows."""

    lives: dict[str, str]
    slot: str | None
    wal_lost: bool
    connector: str
    topics: dict[str, str]
    leaders: dict[str, int]
    tables: dict[str, TableCondition | None]
    published: frozenset[str]
    operations: frozenset[str]
    kept_back: dict[str, str]
    cluster: str
    source_clock: ClockOffset | None


def look(endpoints: Endpoints, watched: RunObjects) -> Condition:
    """Look now; servers that do not answer are in `silent`."""
    found: ConditionFindings = {"lives": _processes(endpoints, watched)}
    silent: dict[str, str] = {}
    for server, read in _READERS.items():
        try:
            answer = read(endpoints, watched)
        except (psycopg.Error, *FAILURES, KafkaException, requests.RequestException) as error:
            silent[server] = type(error).__name__
        else:
            found["lives"] = {**found["lives"], **answer.pop("lives", {})}
            found |= answer
    return Condition(**found, silent=silent)


def _processes(endpoints: Endpoints, watched: RunObjects) -> dict[str, str]:
    """The process that listens at each server's address on this machine, and its start time."""
    places = {
        "Kafka": endpoints.kafka_bootstrap.split(",")[0],
        "the schema registry": endpoint_address(endpoints.schema_registry_url),
        "Kafka Connect": endpoint_address(endpoints.connect_url),
        "MariaDB": endpoint_address(watched.mariadb),
    }
    ports = {}
    for name, place in places.items():
        host, _, port = place.rpartition(":")
        if is_loopback(host.strip("[]")) and port.isdigit():
            ports[int(port)] = name
    found = dict.fromkeys(ports.values(), NOBODY)
    for connection in psutil.net_connections("tcp"):
        server = ports.get(connection.laddr.port) if connection.laddr else None
        if server is None or connection.status != psutil.CONN_LISTEN:
            continue
        found.pop(server, None)
        if connection.pid:
            # A process that ends just now has a successor, which the next look finds.
            with contextlib.suppress(psutil.Error):
                found[server] = f"{connection.pid} since {started_s(connection.pid):.2f}"
    return found


def _postgres(endpoints: Endpoints, watched: RunObjects) -> ConditionFindings:
    if not endpoints.postgres_dsn:
        return {}  # without an address libpq would use the environment's
    found: ConditionFindings = {"tables": {}}
    with (
        closing(
            psycopg.connect(
                endpoints.postgres_dsn,
                connect_timeout=int(TIMEOUT_S),
                autocommit=True,
                options=f"-c statement_timeout={TIMEOUT_S:.0f}s",
            )
        ) as connection,
        connection.cursor() as cursor,
    ):
        found["source_clock"] = asked_offset(
            lambda: _server_time_us(cursor), lambda: time.time_ns() // 1000
        )
        cursor.execute("SELECT pg_postmaster_start_time()::text")
        found["lives"] = {"PostgreSQL": str((cursor.fetchone() or ("",))[0])}
        # Some services allow nobody to read this.
        with contextlib.suppress(psycopg.errors.InsufficientPrivilege):
            found["cluster"] = str((cursor.execute(_CLUSTER).fetchone() or ("",))[0])
        if watched.slot:
            row = cursor.execute(_SLOT, (watched.slot,)).fetchone()
            found["slot"] = None if row is None else f"{row[0]} since {row[1]}" if row[0] else ""
            found["wal_lost"] = row is not None and row[2] == "lost"
        if watched.publication:
            rows = cursor.execute(_PUBLISHED, (watched.publication,)).fetchall()
            found["published"] = frozenset(str(row[0]) for row in rows)
            found["kept_back"] = {name: _kept_back(*rest) for name, *rest in rows}
            flags = cursor.execute(_OPERATIONS, (watched.publication,)).fetchone() or ()
            found["operations"] = frozenset(compress(("inserts", "updates", "deletes"), flags))
        for name in watched.tables:
            row = cursor.execute(_TABLE, (".".join(map(quoted, name.split("."))),)).fetchone()
            found["tables"][name] = TableCondition(row[0], row[1], tuple(row[2])) if row else None
    return found


def _kept_back(row_filter: str, columns: Sequence[str]) -> str:
    """What a publication leaves out of a table."""
    rows = [f"rows but those where {row_filter}"] * bool(row_filter)
    return " and ".join([*rows, *[f"columns {', '.join(columns)}"] * bool(columns)])


def _server_time_us(cursor: psycopg.Cursor[Any]) -> int:
    row = cursor.execute(_TIME).fetchone()
    return int(row[0]) if row else 0


def _mariadb(_: Endpoints, watched: RunObjects) -> ConditionFindings:
    if watched.mariadb:
        connect_to(watched.mariadb, read_timeout=TIMEOUT_S).close()
    return {}


def _kafka(endpoints: Endpoints, watched: RunObjects) -> ConditionFindings:
    if not watched.topics:
        return {}
    admin = AdminClient(kafka_settings(endpoints.kafka_bootstrap, {"log_level": 0}))
    described = admin.describe_topics(
        TopicCollection(list(watched.topics)), request_timeout=TIMEOUT_S
    )
    topics: dict[str, str] = {}
    places = []
    for name, future in described.items():
        try:
            topic = future.result(2 * TIMEOUT_S)
        except KafkaException as error:
            if error.args[0].name() not in ("UNKNOWN_TOPIC_OR_PART", "_UNKNOWN_TOPIC"):
                raise
            topics[name] = ""
            continue
        topics[name] = str(topic.topic_id)
        places += [TopicPartition(name, part.id) for part in topic.partitions]
    latest: Any = OffsetSpec.latest()  # type: ignore[no-untyped-call]
    offsets = admin.list_offsets(dict.fromkeys(places, latest), request_timeout=TIMEOUT_S)
    leaders = {}
    for place, answer in offsets.items():
        epoch = answer.result(2 * TIMEOUT_S).leader_epoch
        if epoch is not None and epoch >= 0:  # an empty partition need not have one yet
            leaders[f"{place.topic}[{place.partition}]"] = epoch
    return {"topics": topics, "leaders": leaders}


def _connect(endpoints: Endpoints, watched: RunObjects) -> ConditionFindings:
    if not watched.connector:
        return {}
    url = f"{endpoints.connect_url}/connectors/{watched.connector}/status"
    answer = ask_connect("GET", url, timeout=TIMEOUT_S)
    if answer.status_code == requests.codes.not_found:
        return {"connector": "deleted"}
    if answer.status_code != requests.codes.ok:
        return {}  # a worker that rebalances gives no state
    status = answer.json()
    for part in (status["connector"], *status["tasks"]):
        if part["state"] not in AT_WORK:
            trace = str(part.get("trace", "")).strip().partition("\n")[0]
            return {"connector": f"{part['state']} {trace}".strip()}
    return {"connector": "RUNNING"}


_READERS: Mapping[str, Callable[[Endpoints, RunObjects], ConditionFindings]] = {
    "PostgreSQL": _postgres,
    "MariaDB": _mariadb,
    "Kafka": _kafka,
    "Kafka Connect": _connect,
}
