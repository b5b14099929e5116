"""What runs leave behind, wherever they make anything: compared before and after."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil
import psycopg
from confluent_kafka.admin import AdminClient

from infra.client import http
from infra.client.kafka import kafka_settings
from infra.stack.endpoints import Endpoints

#: By kind, what PostgreSQL is asked.
QUERIES = {
    "schema": "SELECT nspname FROM pg_namespace WHERE nspname NOT LIKE 'pg\\_%'",
    "slot": "SELECT slot_name FROM pg_replication_slots",
    "publication": "SELECT pubname FROM pg_publication",
    "subscription": "SELECT subname FROM pg_subscription",
    "database": "SELECT datname FROM pg_database",
    "role": "SELECT rolname FROM pg_roles",
    "public table": "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace",
    "event trigger": "SELECT evtname FROM pg_event_trigger",
    "prepared transaction": "SELECT gid FROM pg_prepared_xacts",
}
LIMIT_S = 20.0
SHARED_MEMORY = Path("/dev/shm")
#: PostgreSQL's servers make these for themselves, ours and those of others on this machine.
SERVERS_OWN = ("PostgreSQL.",)


@dataclass(frozen=True, slots=True)
class World:
    """Everything by kind that a run could have left."""

    found: Mapping[str, frozenset[str]]

    def since(self, before: World) -> list[str]:
        """What is there and was not, each as KIND NAME."""
        return [
            f"{kind} {name}"
            for kind, names in self.found.items()
            for name in sorted(names - before.found.get(kind, frozenset()))
        ]


def of_postgres(dsn: str) -> dict[str, frozenset[str]]:
    """What is in the source's server."""
    with psycopg.connect(dsn, autocommit=True, connect_timeout=10) as connection:
        return {
            kind: frozenset(str(row[0]) for row in connection.execute(query))
            for kind, query in QUERIES.items()
        }


def of_kafka(bootstrap: str) -> dict[str, frozenset[str]]:
    """Topics and groups; Kafka's and Connect's own are there before."""
    admin = AdminClient(kafka_settings(bootstrap))
    groups = admin.list_consumer_groups(request_timeout=LIMIT_S).result()
    return {
        "topic": frozenset(admin.list_topics(timeout=LIMIT_S).topics),
        "group": frozenset(group.group_id for group in groups.valid),
    }


def of_connect(url: str) -> dict[str, frozenset[str]]:
    """Connectors."""
    return {"connector": frozenset(http.get(f"{url}/connectors", timeout=LIMIT_S).json())}


def of_registry(url: str) -> dict[str, frozenset[str]]:
    """Subjects."""
    return {"subject": frozenset(http.get(f"{url}/subjects", timeout=LIMIT_S).json())}


def of_disk(checkout: Path, temporary: Path) -> dict[str, frozenset[str]]:
    """Journals, directories and locks of runs in the checkout, and temporary files."""
    state = checkout / ".stack"
    return {
        "file": frozenset(
            str(path.relative_to(checkout))
            for folder in (state / "runs", state / "users")
            if folder.is_dir()
            for path in folder.iterdir()
        ),
        "temporary file": frozenset(map(str, temporary.iterdir())),
        "shared memory": frozenset(
            path.name for path in SHARED_MEMORY.iterdir() if not path.name.startswith(SERVERS_OWN)
        ),
    }


def look(stack: Endpoints, checkout: Path, temporary: Path) -> World:
    """Everything there is now."""
    return World(
        of_postgres(stack.postgres_dsn)
        | of_kafka(stack.kafka_bootstrap)
        | of_connect(stack.connect_url)
        | of_registry(stack.schema_registry_url)
        | of_disk(checkout, temporary)
    )


def in_use(name: str) -> bool:
    """Whether a living process has a piece of shared memory mapped."""
    place = str(SHARED_MEMORY / name)
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if place in Path(f"/proc/{process.pid}/maps").read_text(encoding="utf-8"):
                return True
    return False
