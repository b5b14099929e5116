"""Faults of the Debezium connector, through Kafka Connect's REST interface."""

from __future__ import annotations

from collections.abc import Mapping

import requests
from psycopg import sql

from infra.faults.catalogue.process import CAPTURE, REPEATS_S
from infra.faults.fault import Fault, FaultGround
from infra.postgres.database import connect_to
from infra.stack.debezium import connector as debezium
from infra.stack.error import StackError
from infra.stack.servers.settings import TOPIC_PREFIX

_DONE = (
    requests.codes.ok,
    requests.codes.created,
    requests.codes.accepted,
    requests.codes.no_content,
)


def _ask(
    ground: FaultGround,
    method: str,
    path: str,
    body: Mapping[str, str] | None = None,
    *fine: int,
) -> None:
    url = f"{ground.endpoints.connect_url}/connectors/{ground.objects.connector}{path}"
    answer = debezium.ask_worker(method, url, json=body)
    if answer.status_code not in (*_DONE, *fine):
        raise StackError(f"Kafka Connect answers {method} {url} with {answer.status_code}")


def _pause(ground: FaultGround) -> None:
    _ask(ground, "PUT", "/pause")


def _resume(ground: FaultGround) -> None:
    _ask(ground, "PUT", "/resume")


def _delete(ground: FaultGround) -> None:
    debezium.delete_connector(ground.endpoints, ground.objects.connector)


def _connector(ground: FaultGround, publication: str) -> debezium.DebeziumConnector:
    objects = ground.objects
    return debezium.DebeziumConnector(
        name=objects.connector,
        slot=objects.slot,
        publication=publication,
        topic_prefix=TOPIC_PREFIX,
        tables=tuple(f"{objects.schema}.{table}" for table in objects.tables),
        tuning="throughput" if objects.tuning == "throughput" else "latency",
    )


def _create(ground: FaultGround) -> None:
    """Create it under its old name, so that it continues from the offsets that Connect has
    stored.
    """
    _delete(ground)
    connector = _connector(ground, ground.objects.publication)
    debezium.create_connector(ground.endpoints, connector)


def _configure(ground: FaultGround, publication: str) -> None:
    connector = _connector(ground, publication)
    _ask(ground, "PUT", "/config", debezium.connector_config(connector, ground.endpoints))


def _fail_task(ground: FaultGround) -> None:
    """Give it a valid configuration whose task fails as soon as it looks for the publication."""
    _configure(ground, _hidden(ground))


def _mend_task(ground: FaultGround) -> None:
    _configure(ground, ground.objects.publication)


def _rename_publication(ground: FaultGround, old: str, new: str) -> None:
    with connect_to(ground.endpoints.postgres_dsn) as connection:
        found = connection.execute("SELECT 1 FROM pg_publication WHERE pubname = %s", (old,))
        if found.fetchone() is not None:
            connection.execute(
                sql.SQL("ALTER PUBLICATION {} RENAME TO {}").format(
                    sql.Identifier(old), sql.Identifier(new)
                )
            )


def _hidden(ground: FaultGround) -> str:
    return f"{ground.objects.publication}_hidden"


def _hide_publication(ground: FaultGround) -> None:
    _rename_publication(ground, ground.objects.publication, _hidden(ground))


def _show_publication(ground: FaultGround) -> None:
    _rename_publication(ground, _hidden(ground), ground.objects.publication)
    restart_tasks(ground)


def restart_tasks(ground: FaultGround) -> None:
    """Have Connect restart the connector and its tasks; a deleted connector needs no restart."""
    _ask(ground, "POST", "/restart?includeTasks=true", None, requests.codes.not_found)


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
FAIL_TASK = Fault(
    "fail-task",
    "Configures the connector with a publication that is not there, so that its task is FAILED, and"
    " back.",
    on="connector",
    inject=_fail_task,
    heal=_mend_task,
    needs=("own connector",),
    repeats_s=REPEATS_S,
    explains=(CAPTURE,),
    better="an alarm on tasks that are FAILED: Connect does not start them again",
)
HIDE_PUBLICATION = Fault(
    "hide-publication",
    "Renames the publication, and names it back and restarts the task: each change is decoded with"
    " the catalogue of its time, so what was written meanwhile is in no publication.",
    on="connector",
    inject=_hide_publication,
    heal=_show_publication,
    needs=("own connector",),
    repeats_s=REPEATS_S,
    explains=(CAPTURE, "source table .* is not in publication"),
    lasting=True,
    better="nothing but a snapshot; keep the right to alter publications small, and watch the lag"
    " of the slot: the task says RUNNING",
)
