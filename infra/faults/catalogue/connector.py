"""What is done to the Debezium connector through Kafka Connect's REST interface."""

from __future__ import annotations

from contextlib import closing

import psycopg
import requests
from psycopg import sql

from infra.client import http
from infra.faults.catalogue.process import CAPTURE, REPEATS_S
from infra.faults.fault import Fault, FaultGround
from infra.stack.debezium import connector as debezium
from infra.stack.error import StackError

TIMEOUT_S = 30.0
TOPIC_PREFIX = "cdc"
_DONE = (requests.codes.ok, requests.codes.accepted, requests.codes.no_content)


def _ask(ground: FaultGround, method: str, path: str) -> None:
    url = f"{ground.endpoints.connect_url}/connectors/{ground.objects.connector}{path}"
    answer = http.request(method, url, timeout=TIMEOUT_S)
    if answer.status_code not in _DONE:
        raise StackError(f"Kafka Connect answers {method} {url} with {answer.status_code}")


def _pause(ground: FaultGround) -> None:
    _ask(ground, "PUT", "/pause")


def _resume(ground: FaultGround) -> None:
    _ask(ground, "PUT", "/resume")


def _delete(ground: FaultGround) -> None:
    debezium.delete_connector(ground.endpoints, ground.objects.connector)


def _create(ground: FaultGround) -> None:
    """Under its old name, so that it goes on from the offsets that Connect has stored for it."""
    objects = ground.objects
    _delete(ground)
    debezium.create_connector(
        ground.endpoints,
        debezium.DebeziumConnector(
            name=objects.connector,
            slot=objects.slot,
            publication=objects.publication,
            topic_prefix=TOPIC_PREFIX,
            tables=tuple(f"{objects.schema}.{table}" for table in objects.tables),
            tuning="throughput" if objects.tuning == "throughput" else "latency",
        ),
    )


def _rename_publication(ground: FaultGround, old: str, new: str) -> None:
    with closing(psycopg.connect(ground.endpoints.postgres_dsn, autocommit=True)) as connection:
        found = connection.execute("SELECT 1 FROM pg_publication WHERE pubname = %s", (old,))
        if found.fetchone() is not None:
            connection.execute(
                sql.SQL("ALTER PUBLICATION {} RENAME TO {}").format(
                    sql.Identifier(old), sql.Identifier(new)
                )
            )


def _hidden(ground: FaultGround) -> str:
    return f"{ground.objects.publication}_hidden"


def _fail_task(ground: FaultGround) -> None:
    """Without its publication the next change that is decoded is an error to the task."""
    _rename_publication(ground, ground.objects.publication, _hidden(ground))


def _restart_task(ground: FaultGround) -> None:
    _rename_publication(ground, _hidden(ground), ground.objects.publication)
    _ask(ground, "POST", "/restart?includeTasks=true")


PAUSE_CONNECTOR = Fault(
    "pause-connector",
    "Pauses the connector by Kafka Connect's REST interface, and resumes it.",
    on="connector",
    inject=_pause,
    heal=_resume,
    needs=("own connector",),
    repeats_s=REPEATS_S,
    explains=(CAPTURE,),
    better="watch the connector's state: a paused one retains WAL and is no error",
)
DELETE_CONNECTOR = Fault(
    "delete-connector",
    "Deletes the connector, and creates it again under its old name.",
    on="connector",
    inject=_delete,
    heal=_create,
    needs=("own connector",),
    repeats_s=REPEATS_S,
    explains=(CAPTURE,),
    better="keep the name: Connect stores offsets by it, and the slot keeps the WAL",
)
HIDE_PUBLICATION = Fault(
    "hide-publication",
    "Renames the publication, so that the task fails, and names it back and restarts the task.",
    on="connector",
    inject=_fail_task,
    heal=_restart_task,
    needs=("own connector",),
    repeats_s=REPEATS_S,
    explains=(CAPTURE, "source table .* is not in publication"),
    better="errors.max.retries, and somebody who restarts a task that says FAILED",
)
