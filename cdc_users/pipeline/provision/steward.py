"""Creates what a run needs outside its own process, and removes it whatever happens to the run.

`python -m cdc_users.pipeline.provision.steward` is a process of its own, without gevent: one JSON
request a line on its standard input, one JSON answer a line on its standard output. When the input
ends, because the run has finished or because it was killed, the steward removes all that it
created and exits. If the steward is killed as well, the next run finds its journal and removes
what is left.

Requests: {"do": "open", ...} finds or starts the stack; {"do": "prepare", ...} creates one
pipeline's objects; {"do": "committed"} waits for the connector's first offset; {"do": "health"}
says what happened to the servers since; {"do": "release"} removes the objects; {"do": "close"}
removes everything and ends. An answer is {"ok": ...} or {"error": text, "exit_code": 2 or 3}.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

import psycopg2
from confluent_kafka import KafkaException
from psycopg2.extensions import connection as Connection

from cdc_users.error import HarnessError, TargetError
from cdc_users.pipeline.captures.debezium import STREAMING_DEADLINE_S, TOPIC_PREFIX
from cdc_users.pipeline.declaration import captures, sinks, sources, transports
from cdc_users.pipeline.provision import cloud_streams, kafka_topics
from cdc_users.pipeline.provision.allow_list import check_addresses, stack_mistakes
from cdc_users.pipeline.provision.cloud_streams import CloudStreams
from cdc_users.pipeline.provision.condition import Condition, RunObjects, changes, look
from cdc_users.pipeline.provision.ground import Ground
from cdc_users.pipeline.provision.journal import Entry, Journal, abandoned
from infra.client.environment import module_command
from infra.postgres.publication import drop_publication
from infra.postgres.slot import SlotError, drop_slot
from infra.postgres.table import (
    TableError,
    drop_schema,
)
from infra.stack.debezium.connector import (
    delete_connector,
    wait_until_committed,
)
from infra.stack.endpoints import Endpoints
from infra.stack.error import StackConfigError, StackError
from infra.stack.find.locate import locate, supervised
from infra.stack.supervise.state import CHECKOUT
from infra.validate import endpoint_address

REFUSALS = (HarnessError, StackError, SlotError, TableError, KafkaException)


def connect(dsn: str) -> Connection:
    """An autocommit connection; the password, if any, comes from PGPASSWORD or PGPASSFILE."""
    connection = psycopg2.connect(dsn, connect_timeout=10, application_name="locust-cdc")
    connection.autocommit = True
    return connection


def remove(entry: Entry, endpoints: Endpoints) -> None:
    """Remove one object of a run; one that is gone already is fine."""
    removers: dict[str, Callable[[], None]] = {
        "connector": lambda: delete_connector(endpoints, entry.name),
        "topic": lambda: kafka_topics.delete_topics(endpoints.kafka_bootstrap, [entry.name]),
        "group": lambda: kafka_topics.delete_groups(endpoints.kafka_bootstrap, [entry.name]),
        "subjects": lambda: kafka_topics.delete_subjects(endpoints.schema_registry_url, entry.name),
        "slot": lambda: _on_postgres(
            endpoints, lambda connection: drop_slot(connection, entry.name)
        ),
        "publication": lambda: _on_postgres(
            endpoints, lambda connection: drop_publication(connection, entry.name)
        ),
        "schema": lambda: _on_postgres(
            endpoints, lambda connection: drop_schema(connection, entry.name)
        ),
        "directory": lambda: shutil.rmtree(entry.name, ignore_errors=True),
    }
    if entry.kind in removers:
        removers[entry.kind]()
    else:
        cloud_streams.delete(entry.kind, entry.name)


def _on_postgres(endpoints: Endpoints, action: Callable[[Connection], Any]) -> None:
    with closing(connect(endpoints.postgres_dsn)) as connection:
        action(connection)


def remove_all(journal: Journal, endpoints: Endpoints) -> list[str]:
    """Remove a journal's objects, last created first; returns what could not be removed."""
    # With servers that are gone went everything in them.
    kinds = None if supervised(endpoints) else ("directory",)
    problems = []
    for entry in reversed(
        [entry for entry in journal.entries() if kinds is None or entry.kind in kinds]
    ):
        try:
            remove(entry, endpoints)
        except (*REFUSALS, psycopg2.Error, OSError) as error:
            problems.append(f"{entry.kind} {entry.name!r}: {error}")
    return problems


class Steward:
    """Holds one run's journal and endpoints; one method a request."""

    def __init__(self, checkout: Path) -> None:
        self._checkout = checkout
        self._journals = checkout / ".stack" / "runs"
        self._journal: Journal | None = None
        self._endpoints: Endpoints | None = None
        self._run = ""
        self._owns_stack = False
        self._connector = ""
        self._watched, self._before = RunObjects(), Condition()
        self._topics: Sequence[str] = ()
        self._allowed: Sequence[str] = ()
        self._clouds: CloudStreams | None = None

    def open(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Find the stack or start one, clear away what dead runs left, and start this run's
        journal.

        Refuses servers outside loopback that are not allowed by name, before it asks them anything.
        """
        self._run = str(request["run"])
        self._allowed = request["allowed"]
        if mistakes := stack_mistakes(self._checkout, os.environ, self._allowed):
            raise StackConfigError("; ".join(mistakes))
        endpoints = locate(self._checkout, os.environ)
        self._owns_stack = endpoints is None
        self._endpoints = endpoints = endpoints or self._start_stack(str(request["profile"]))
        for old in abandoned(self._journals):
            self._clear(old)
        self._journal = Journal(self._journals / f"{self._run}.jsonl")
        self._journal.open(self._run, endpoints.to_json(), owns_stack=self._owns_stack)
        return {"endpoints": endpoints.to_json(), "owns_stack": self._owns_stack}

    def _start_stack(self, profile: str) -> Endpoints:
        command = module_command("infra.stack", "up", "--profile", profile)
        # Its progress belongs on the terminal, never in this process's answers.
        done = subprocess.run(command, cwd=self._checkout, stdout=sys.stderr, check=False)
        endpoints = locate(self._checkout, os.environ) if done.returncode == 0 else None
        if endpoints is None:
            raise TargetError(
                "the stack did not come up; its own message above says why (make stack-logs shows"
                " more)"
            )
        return endpoints

    def _clear(self, old: Journal) -> None:
        head = old.head()
        if head and not remove_all(old, Endpoints.from_json(head["endpoints"])):
            print(f"cleared away what run {head['run']} had left behind", file=sys.stderr)
        old.remove()

    def _creating(self, kind: str, name: str) -> str:
        assert self._journal is not None
        self._journal.add(kind, name)
        return name

    def prepare(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Create one pipeline's objects; returns their names (prepared.Names).

        `request` says what stands between: source, capture, transport, sink, tables, partitions,
        tuning. A topic, or a connector with its table, that the user names is taken as it is, and
        never removed.
        """
        assert self._endpoints is not None
        name, tables = str(request["name"]), [str(table) for table in request["tables"]]
        topics = [request["topic"] or f"{TOPIC_PREFIX}.{name}.{table}" for table in tables]
        names: dict[str, Any] = {"schema": name, "tables": tables, "topics": topics}
        self._connector = ""
        transport = transports().by_name[str(request["transport"])]
        # A topic of the user's own may well have lost its beginning before.
        self._topics = topics if transport.of_kafka and not request["topic"] else ()
        names["partitions"] = int(request["partitions"])
        if transport.of_kafka:
            names |= self._kafka(
                name, [] if request["topic"] else topics, int(request["partitions"])
            )
            names["partitions"] = kafka_topics.count_partitions(
                self._endpoints.kafka_bootstrap, topics
            )
        ground = self._ground(name, tables, topics, request)
        source = sources().by_name[str(request["source"])]
        names |= source.provision(ground)
        if source.database:
            capture = captures().by_name[str(request["capture"])]
            names |= capture.provision(ground)
            self._connector = "" if ground.connector else capture.connector(name)
        names |= sinks().by_name[str(request["sink"])].provision(ground)
        self._watched = RunObjects(
            slot=names.get("slot", ""),
            connector=ground.connector or self._connector,
            publication=names.get("publication", ""),
            topics=topics if transport.of_kafka else (),
            tables=[f"{names['schema']}.{t}" for t in names["tables"]] if source.database else (),
        )
        self._before = look(self._endpoints, self._watched)
        return names

    def _ground(
        self, name: str, tables: Sequence[str], topics: Sequence[str], request: Mapping[str, Any]
    ) -> Ground:
        assert self._endpoints is not None
        dsn = self._endpoints.postgres_dsn
        return Ground(
            name=name,
            run=self._run,
            tables=tables,
            topics=topics,
            partitions=int(request["partitions"]),
            tuning=str(request["tuning"]),
            transport=str(request["transport"]),
            transport_endpoint=str(request["transport_endpoint"]),
            connector=str(request["connector"]),
            table=str(request["table"]),
            endpoints=self._endpoints,
            checkout=self._checkout,
            note=self._creating,
            postgres=lambda: closing(connect(dsn)),
            service=lambda transport, given: self._service(name, transport, given),
        )

    def _kafka(self, name: str, topics: Sequence[str], partitions: int) -> dict[str, Any]:
        assert self._endpoints is not None
        for wanted in topics:
            self._creating("subjects", wanted)
            kafka_topics.create_topic(
                self._endpoints.kafka_bootstrap, self._creating("topic", wanted), partitions
            )
        dead_letter = self._creating("topic", f"{TOPIC_PREFIX}.{name}.dead-letter")
        kafka_topics.create_topic(self._endpoints.kafka_bootstrap, dead_letter, 1)
        return {
            "group": self._creating("group", name.replace("_", "-")),
            "dead_letter": dead_letter,
        }

    def _service(self, name: str, transport: str, given: str) -> str:
        """The endpoint of a transport's service; an emulator is started where none is named."""
        if self._clouds is None:
            logs = self._creating("directory", str(self._journals / f"{self._run}-emulators"))
            self._clouds = CloudStreams(Path(logs))
        endpoint = self._clouds.endpoint(transport, given)
        if cloud_streams.own_endpoint(transport, given):
            check_addresses([endpoint_address(endpoint)], self._allowed)
            self._creating(transport, f"{endpoint} {name}")
        return endpoint

    def committed(self) -> dict[str, Any]:
        """Return when Connect has stored how far the run's connector has come."""
        assert self._endpoints is not None
        if self._connector:
            wait_until_committed(self._endpoints, self._connector, STREAMING_DEADLINE_S)
            # Connect may have restarted the task until now; from here on nobody should.
            self._before = look(self._endpoints, self._watched)
        return {}

    def health(self) -> dict[str, Any]:
        """What has happened to the servers and the run's objects since `prepare`: what restarted,
        what is gone for good, what somebody else did, and how many records the topics have deleted.
        """
        assert self._endpoints is not None
        now = look(self._endpoints, self._watched)
        topics = [name for name in self._topics if now.topics.get(name)]
        bootstrap = self._endpoints.kafka_bootstrap
        return {
            **asdict(changes(self._watched, self._before, now)),
            "deleted_records": kafka_topics.deleted_records(bootstrap, topics) if topics else 0,
        }

    def release(self) -> dict[str, Any]:
        """Remove what `prepare` created so far; the stack stays."""
        assert self._journal is not None
        assert self._endpoints is not None
        problems = remove_all(self._journal, self._endpoints)
        self._journal.remove()
        self._journal.open(self._run, self._endpoints.to_json(), owns_stack=self._owns_stack)
        return {"problems": problems}

    def close(self) -> dict[str, Any]:
        """Remove everything, and take down a stack that this run started."""
        if self._journal is None or self._endpoints is None:
            return {"problems": []}
        journal, self._journal = self._journal, None
        if self._clouds is not None:
            self._clouds.close()
        # With the stack goes everything in it, so nothing there needs to be removed one by one.
        problems = self._stop_stack() if self._owns_stack else []
        problems += remove_all(journal, self._endpoints)
        journal.remove()
        return {"problems": problems}

    def _stop_stack(self) -> list[str]:
        command = module_command("infra.stack", "down")
        done = subprocess.run(command, cwd=self._checkout, stdout=sys.stderr, check=False)
        return (
            []
            if done.returncode == 0
            else [f"`python -m infra.stack down` ended with {done.returncode}"]
        )


def answer(steward: Steward, request: Mapping[str, Any]) -> dict[str, Any]:
    """Carry out one request; failures become answers."""
    actions: dict[str, Callable[[], dict[str, Any]]] = {
        "open": lambda: steward.open(request),
        "prepare": lambda: steward.prepare(request),
        "committed": steward.committed,
        "health": steward.health,
        "release": steward.release,
        "close": steward.close,
    }
    try:
        return {"ok": actions[str(request["do"])]()}
    except (StackConfigError, TableError) as error:
        return {"error": str(error), "exit_code": 2}
    except HarnessError as error:
        return {"error": str(error), "exit_code": error.exit_code}
    except (*REFUSALS, psycopg2.Error, OSError) as error:
        return {"error": str(error).strip(), "exit_code": 3}


def main() -> int:
    """Serve requests until the input ends; then leave nothing behind."""
    # The run decides when it ends, also after Ctrl-C in the terminal that both share.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    steward = Steward(CHECKOUT)
    for line in sys.stdin:
        reply = answer(steward, json.loads(line))
        try:
            print(json.dumps(reply), flush=True)
        except BrokenPipeError:
            break  # the run died while this was under way
    for problem in answer(steward, {"do": "close"}).get("ok", {}).get("problems", []):
        print(f"left behind: {problem}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
