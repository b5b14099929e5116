"""Many short runs, each under an attack that a seed has drawn: none hangs, none passes with wrong
numbers, none leaves anything, and no secret comes out.

`CDC_CHAOS_RUNS` says how many (200), `CDC_CHAOS_SEED` which. A piece of it, or one run again:
`python -m tests.scenarios.chaos --seed 1 --from 37 --runs 1`. That lies, hangs and leftovers are
noticed is shown by tests/unit/test_chaos.py, and here for what is on servers.
"""

from __future__ import annotations

import os
import uuid
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from confluent_kafka import Consumer

from cdc_users.pipeline.provision.kafka_topics import create_topic, delete_groups, delete_topics
from infra.client.kafka import kafka_settings
from infra.client.registry import SchemaRegistry
from infra.postgres.slot import create_slot, drop_slot
from infra.stack.debezium.connector import (
    DebeziumConnector,
    create_connector,
    delete_connector,
)
from infra.stack.endpoints import Endpoints
from infra.stack.servers.settings import TOPIC_PREFIX
from infra.stack.supervise.state import CHECKOUT
from tests.scenarios.chaos.draw import draw
from tests.scenarios.chaos.leftover import look
from tests.scenarios.chaos.soak import Soak
from tests.scenarios.locust_process import NOTHING, LocustProcess, await_that, leftovers

#: What somebody could leave in PostgreSQL, and how it goes again.
PLANTED = {
    "schema": ("CREATE SCHEMA {}", "DROP SCHEMA {}"),
    "publication": ("CREATE PUBLICATION {}", "DROP PUBLICATION {}"),
    "database": ("CREATE DATABASE {}", "DROP DATABASE {}"),
    "role": ("CREATE ROLE {}", "DROP ROLE {}"),
    "public table": ("CREATE TABLE public.{} ()", "DROP TABLE public.{}"),
}


@pytest.mark.soak
def test_whatever_is_left_on_a_server_is_noticed(stack: Endpoints, tmp_path: Path) -> None:
    name = f"left_{uuid.uuid4().hex[:8]}"
    before = look(stack, CHECKOUT, tmp_path)
    bootstrap = stack.kafka_bootstrap
    with (
        closing(psycopg.connect(stack.postgres_dsn, autocommit=True)) as database,
        SchemaRegistry(stack.schema_registry_url) as registry,
    ):
        for make, _ in PLANTED.values():
            database.execute(make.format(name))
        create_slot(database, name)
        create_topic(bootstrap, name, 1)
        consumer = Consumer(kafka_settings(bootstrap, {"group.id": name}))
        consumer.subscribe([name])
        await_that(lambda: not consumer.poll(0.1) and bool(consumer.assignment()), "no group")
        registry.register(name, {"type": "string"})
        table = f"public.{name}"
        create_connector(stack, DebeziumConnector(name, name, name, TOPIC_PREFIX, (table,)))
        try:
            found = look(stack, CHECKOUT, tmp_path).since(before)
        finally:
            consumer.close()
            delete_connector(stack, name)
            registry.delete(name)
            delete_groups(bootstrap, [name])
            delete_topics(bootstrap, [name])
            drop_slot(database, name)
            for _, remove in PLANTED.values():
                database.execute(remove.format(name))

    wanted = {*PLANTED, "slot", "topic", "group", "subject", "connector"}
    assert {item.rpartition(" ")[0] for item in found if item.endswith(f" {name}")} == wanted
    await_that(lambda: look(stack, CHECKOUT, tmp_path).since(before) == [], "it is still there")


@pytest.mark.soak
def test_no_attack_makes_a_run_lie_hang_or_leave_anything(stack: Endpoints, tmp_path: Path) -> None:
    drawn = draw(
        int(os.environ.get("CDC_CHAOS_SEED", "1")), int(os.environ.get("CDC_CHAOS_RUNS", "200"))
    )

    found = Soak(tmp_path, lambda text: print(text, flush=True)).carry_out(drawn)

    # What was killed with its steward is cleared by the next run.
    last = LocustProcess("throughput", tmp_path / "last", "--rows", "20")
    assert last.wait() == 0, last.output
    await_that(lambda: leftovers(stack) == NOTHING, f"left behind: {leftovers(stack)}")
    assert {run: told for run, told in found.items() if told} == {}
