"""Removes the objects in a journal; one object's failure does not stop the others."""

from __future__ import annotations

import functools
import shutil
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pymysql
from psycopg import Connection

from cdc_users.pipeline.provision import cloud_streams, kafka_topics
from cdc_users.pipeline.provision.cleanup.affliction import FAULT, undo_faults
from cdc_users.pipeline.provision.cleanup.journal import Entry, Journal
from cdc_users.pipeline.provision.limit import TimeLimitError, within
from infra.faults.small_disk import unmount
from infra.mariadb.address import connect_to
from infra.mariadb.database import drop_run_database
from infra.postgres.database import (
    drop_database,
    drop_subscriptions,
    is_marked,
    of_database,
)
from infra.postgres.publication import drop_publication
from infra.postgres.run_rows import delete_run_rows, drop_probe_column
from infra.postgres.slot import drop_slot
from infra.postgres.table import drop_schema
from infra.stack.debezium.connector import delete_connector
from infra.stack.endpoints import Endpoints
from infra.stack.find.locate import supervised

#: The limits for the removal of one object, and of all objects of a journal.
OBJECT_S = 15.0
JOURNAL_S = 40.0
#: The limit for rows, which are removed in batches; that takes long and blocks nobody.
ROWS_S = 600.0
#: Errors that mean that a server, and not one object, is the problem.
SILENCE = (TimeLimitError, OSError, psycopg.OperationalError, pymysql.OperationalError)
#: The server of each kind of object; a server that has failed is not asked again.
SERVERS = {
    "connector": "Kafka Connect",
    "topic": "Kafka",
    "group": "Kafka",
    "groups": "Kafka",
    "subjects": "the schema registry",
    "slot": "PostgreSQL",
    "publication": "PostgreSQL",
    "schema": "PostgreSQL",
    "database": "PostgreSQL",
    "sink-slot": "the sink's PostgreSQL",
    "sink-publication": "the sink's PostgreSQL",
    "mariadb database": "MariaDB",
    "rows": "PostgreSQL",
    "probe column": "PostgreSQL",
    "directory": "the disk",
    "mount": "the disk",
}

#: The kinds of objects that disappear with the stack's servers.
OF_THE_STACK = frozenset(SERVERS) - {
    "directory",
    "mount",
    "sink-slot",
    "sink-publication",
    "mariadb database",
}


def connect(dsn: str) -> Connection[Any]:
    """An autocommit connection; libpq takes a password from PGPASSWORD or PGPASSFILE."""
    return psycopg.connect(dsn, autocommit=True, connect_timeout=10, application_name="locust-cdc")


def _on_postgres(
    action: Callable[[Connection[Any], str], Any],
) -> Callable[[Endpoints, str], None]:
    def carry_out(endpoints: Endpoints, name: str) -> None:
        with closing(connect(endpoints.postgres_dsn)) as connection:
            action(connection, name)

    return carry_out


def _on_sink(
    action: Callable[[Connection[Any], str], Any],
) -> Callable[[Endpoints, str], None]:
    """For an object that is noted with its database, as NAME DSN."""

    def carry_out(endpoints: Endpoints, noted: str) -> None:
        del endpoints
        name, _, dsn = noted.partition(" ")
        with closing(connect(dsn)) as connection:
            action(connection, name)

    return carry_out


def _remove_database(endpoints: Endpoints, name: str) -> None:
    """Drop the subscription first: PostgreSQL does not drop a database that has one."""
    with closing(connect(endpoints.postgres_dsn)) as connection:
        if is_marked(connection, name):
            with closing(connect(of_database(endpoints.postgres_dsn, name))) as inside:
                drop_subscriptions(inside)
        drop_database(connection, name)


def _remove_from_mariadb(endpoints: Endpoints, noted: str) -> None:
    """For a database that is noted with its server, as NAME URL."""
    del endpoints
    name, _, url = noted.partition(" ")
    with closing(connect_to(url)) as connection:
        drop_run_database(connection, name)


REMOVERS: Mapping[str, Callable[[Endpoints, str], None]] = {
    "connector": delete_connector,
    "topic": lambda place, name: kafka_topics.delete_topics(place.kafka_bootstrap, [name]),
    "group": lambda place, name: kafka_topics.delete_groups(place.kafka_bootstrap, [name]),
    "groups": lambda place, prefix: kafka_topics.delete_groups(
        place.kafka_bootstrap, kafka_topics.groups_with(place.kafka_bootstrap, prefix)
    ),
    "subjects": lambda place, name: kafka_topics.delete_subjects(place.schema_registry_url, name),
    "slot": _on_postgres(drop_slot),
    "publication": _on_postgres(drop_publication),
    "schema": _on_postgres(drop_schema),
    "database": _remove_database,
    "sink-slot": _on_sink(drop_slot),
    "sink-publication": _on_sink(drop_publication),
    "mariadb database": _remove_from_mariadb,
    "rows": _on_postgres(delete_run_rows),
    "probe column": _on_postgres(drop_probe_column),
    "mount": lambda _, name: unmount(Path(name)),
    "directory": lambda _, name: shutil.rmtree(name, ignore_errors=True),
}


def remove(entry: Entry, endpoints: Endpoints) -> None:
    """Remove one object of a run; it may be gone already."""
    if entry.kind in REMOVERS:
        REMOVERS[entry.kind](endpoints, entry.name)
    else:
        cloud_streams.delete(entry.kind, entry.name)


def _of_the_stack(entry: Entry, endpoints: Endpoints) -> bool:
    """Whether an object disappeared with the stack's servers; a sink's may be on another server."""
    if entry.kind in OF_THE_STACK:
        return True
    _, _, dsn = entry.name.partition(" ")
    return entry.kind.startswith("sink-") and dsn == endpoints.postgres_dsn


def remove_all(
    journal: Journal,
    endpoints: Endpoints,
    limit_s: float = JOURNAL_S,
    remover: Callable[[Entry, Endpoints], None] = remove,
) -> list[str]:
    """Undo a journal's faults and remove its objects; returns what could not be undone or removed.

    Faults are undone before the objects that they were done to, and with a limit of their own,
    because a server may have to start.
    """
    return [*undo_faults(journal, endpoints), *remove_objects(journal, endpoints, limit_s, remover)]


def remove_objects(
    journal: Journal,
    endpoints: Endpoints,
    limit_s: float = JOURNAL_S,
    remover: Callable[[Entry, Endpoints], None] = remove,
) -> list[str]:
    """Remove a journal's objects, the last one first; returns those that could not be removed.

    An object that fails stays in the journal and does not stop the others. Once a server has not
    answered, its other objects are left for the next run, so a dead server costs one wait. The slot
    of a connector that is left is removed and stays in the journal: as soon as Connect goes on, the
    connector makes it again.
    """
    alive = supervised(endpoints)
    left: list[tuple[Entry, str]] = []
    deadline_s = time.monotonic() + limit_s
    silent: dict[str, str] = {}
    for entry in reversed([entry for entry in journal.entries() if entry.kind != FAULT]):
        server = SERVERS.get(entry.kind, entry.kind)
        if not alive and _of_the_stack(entry, endpoints):
            journal.gone(entry)  # everything on these servers is gone with them
            continue
        left_s = min(OBJECT_S, deadline_s - time.monotonic())
        if entry.kind == "rows" and left_s > 0:
            deadline_s += ROWS_S
            left_s = ROWS_S
        if server in silent or left_s <= 0:
            left.append((entry, silent.get(server, f"not tried within {limit_s:g} s")))
            continue
        try:
            within(left_s, server, functools.partial(remover, entry, endpoints))
            if entry.kind != "slot" or all(other.kind != "connector" for other, _ in left):
                journal.gone(entry)
        except Exception as error:  # noqa: BLE001 - whatever a server or its client raises
            left.append((entry, str(error).strip() or type(error).__name__))
            if isinstance(error, SILENCE):
                silent.setdefault(server, f"{server} does not answer")
    return [f"{entry.kind} {entry.name!r}: {reason}" for entry, reason in left]
