"""The stack's command line on real servers."""

from __future__ import annotations

import json
from contextlib import closing

import psycopg
import pytest

from infra.postgres.slot import drop_slot
from infra.stack.debezium.canary import send_canary
from infra.stack.debezium.connector import ask_worker, delete_connector
from infra.stack.endpoints import Endpoints
from infra.stack.find.locate import verify
from infra.stack.supervise.state import recorded, state_of
from tests.integration.debezium_capture import captured_customers
from tests.real_stack import stack_command
from tests.scenarios.locust_process import NOTHING, await_that, leftovers

#: A task that has started since then has both its sessions, and looks for its slot next.
TASK_STARTS = """
SELECT 1 FROM pg_stat_activity
WHERE application_name = 'Debezium General' AND backend_start > %s
HAVING count(*) > 1
"""


def secrets() -> list[str]:
    """The passwords of the stack that is up, out of its files."""
    directory = state_of().run / "secrets"
    found = [path.read_text(encoding="ascii") for path in sorted(directory.iterdir())]
    return [text.strip().replace("=", ":").rpartition(":")[2] for text in found]


def test_up_is_idempotent(stack: Endpoints) -> None:
    before = recorded(state_of())

    done = stack_command("up")

    assert done.returncode == 0, done.stderr
    assert "the stack is up" in done.stdout
    assert recorded(state_of()) == before


def test_status_speaks_only_after_real_requests(stack: Endpoints) -> None:
    done = stack_command("status")

    assert done.returncode == 0
    assert "every server answers" in done.stdout
    assert verify(stack) == stack


def test_env_prints_endpoints_without_a_secret(stack: Endpoints) -> None:
    done = stack_command("env")

    assert Endpoints.from_json(json.loads(done.stdout)) == stack
    assert '"password":' not in done.stdout
    assert not [secret for secret in secrets() if secret in done.stdout]


def test_a_canary_leaves_nothing_behind(stack: Endpoints) -> None:
    send_canary(stack, 60)

    assert leftovers(stack) == NOTHING


@pytest.mark.parametrize("attempt", range(3))
def test_a_connector_that_is_deleted_while_its_task_starts_makes_no_slot(
    stack: Endpoints, attempt: int
) -> None:
    del attempt
    with (
        closing(psycopg.connect(stack.postgres_dsn, autocommit=True)) as connection,
        captured_customers(stack) as capture,
    ):
        slot = capture.table.split(".")[0]
        name = slot.replace("_", "-")
        before = connection.execute("SELECT now()").fetchone()
        ask_worker("POST", f"{stack.connect_url}/connectors/{name}/restart?includeTasks=true")
        await_that(
            lambda: connection.execute(TASK_STARTS, before).fetchone() is not None,
            "no task starts",
        )

        delete_connector(stack, name)
        drop_slot(connection, slot)

        send_canary(stack, 60)  # takes longer than the start of a task
        assert leftovers(stack)["slots"] == []


def test_all_servers_listen_on_loopback_only(stack: Endpoints) -> None:
    processes, _ = recorded(state_of())
    for identity in processes:
        process = identity.process()
        assert process is not None
        listening = [found.laddr for found in process.net_connections() if found.status == "LISTEN"]
        assert all(address.ip in ("127.0.0.1", "::ffff:127.0.0.1") for address in listening), (
            process,
            listening,
        )


def test_postgres_is_ready_for_logical_decoding(stack: Endpoints) -> None:
    with closing(psycopg.connect(stack.postgres_dsn)) as connection:
        assert connection.execute("SHOW wal_level").fetchone() == ("logical",)


def test_down_leaves_no_process_and_no_directory(stack: Endpoints) -> None:
    processes, places = recorded(state_of())

    done = stack_command("down")

    assert done.returncode == 0, done.stderr
    assert not [identity for identity in processes if identity.process()]
    assert not state_of().run.exists()
    assert not any(place.exists() for place in places)
    assert stack_command("status").returncode == 3
