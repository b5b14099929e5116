"""What the parts of a pipeline say, judged: no server is asked here."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from infra.stack.endpoints import Endpoints
from infra.stack.pipeline_file.found import PartTrouble
from infra.stack.pipeline_file.look import (
    PipelineLook,
    connector_state,
    postgres_trouble,
)
from infra.stack.pipeline_file.section import KafkaSection, PipelineFile, SourceSection

RUNNING: dict[str, Any] = {
    "connector": {"state": "RUNNING"},
    "tasks": [{"id": 0, "state": "RUNNING"}],
}


def texts(status: dict[str, Any]) -> tuple[list[str], list[str]]:
    told = list(connector_state("shop", status))
    return (
        [one for one in told if isinstance(one, str)],
        [one.text for one in told if isinstance(one, PartTrouble)],
    )


def test_a_connector_at_work_says_its_tasks_states() -> None:
    assert texts(RUNNING) == (["connector shop: connector RUNNING, task 0 RUNNING"], [])


def test_a_failed_task_says_why_in_one_line() -> None:
    failed = {"id": 0, "state": "FAILED", "trace": "ConnectException: no slot\n\tat a.b\n"}

    _, (trouble,) = texts({**RUNNING, "tasks": [failed]})

    assert trouble.startswith("task 0 of 'shop' is FAILED: ConnectException: no slot; mend")


def test_a_paused_connector_and_one_without_a_task_are_troubles() -> None:
    assert "is PAUSED" in texts({**RUNNING, "connector": {"state": "PAUSED"}})[1][0]
    assert "has no task" in texts({**RUNNING, "tasks": []})[1][0]


def test_a_connector_that_is_not_there_is_said_to_be_missing() -> None:
    assert texts({}) == ([], ["there is no connector 'shop'; create it, or leave it out"])


@pytest.mark.parametrize(
    ("said", "remedy"),
    [
        ('FATAL:  password authentication failed for user "bench"', "PGPASSFILE"),
        ("fe_sendauth: no password supplied", "PGPASSWORD"),
        ("SSL error: certificate verify failed", "sslrootcert"),
        ('FATAL:  database "shop" does not exist', "name another"),
        ("Connection refused", ""),
    ],
)
def test_what_libpq_says_of_access_gets_a_remedy(said: str, remedy: str) -> None:
    trouble = postgres_trouble(psycopg.OperationalError(said))

    assert trouble.exit_code == 3
    assert remedy in trouble.text


def test_parts_that_do_not_answer_keep_no_other_from_being_asked() -> None:
    dsn = "host=127.0.0.1 port=1 dbname=shop user=bench"
    file = PipelineFile(source=SourceSection(dsn=dsn), kafka=KafkaSection(bootstrap="127.0.0.1:1"))
    places = Endpoints(
        "external", dsn, "127.0.0.1:1", "http://127.0.0.1:1/registry", "http://127.0.0.1:1"
    )

    found = PipelineLook(file, places, {}).look()

    assert [part.name for part in found.parts] == [
        "PostgreSQL",
        "Kafka Connect",
        "Kafka",
        "Schema Registry",
    ]
    assert all(part.troubles for part in found.parts)
    assert found.exit_code == 3


def test_what_a_pipeline_does_not_have_is_not_asked() -> None:
    assert PipelineLook(PipelineFile(), Endpoints("external"), {}).look().parts == []
