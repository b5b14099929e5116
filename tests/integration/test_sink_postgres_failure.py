"""What a target refuses, on a real server: one event, or the table, or the moment."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from infra.platform.process.error import (
    ConfigError,
    PlatformError,
    RefusedError,
    RetryableError,
    TableRefusedError,
)
from infra.platform.sinks.postgres.sink import PostgresSink
from infra.stack.endpoints import Endpoints
from tests.batches import Partition
from tests.change_events import Event, filled_topic
from tests.platform_process import PlatformProcess, await_that

COLUMNS: dict[str, tuple[Any, bool]] = {"id": ("long", False), "state": ("string", True)}
TRIGGER = (
    "CREATE FUNCTION {s}.f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.state = 'bad' THEN"
    " RAISE EXCEPTION 'no bad rows'{code}; END IF; RETURN NEW; END $$; CREATE TRIGGER t BEFORE"
    " INSERT OR UPDATE ON {s}.rows FOR EACH ROW EXECUTE FUNCTION {s}.f()"
)


@pytest.fixture
def schema(stack: Endpoints) -> Iterator[str]:
    name = f"cdc_sinks_{uuid.uuid4().hex[:8]}"
    with psycopg.connect(stack.postgres_dsn, autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {name}")
        connection.execute(
            f"CREATE TABLE {name}.rows (id bigint PRIMARY KEY, state text, cdc_version bigint)"
        )
        yield name
        connection.execute(f"DROP SCHEMA {name} CASCADE")


def execute(stack: Endpoints, *statements: str) -> None:
    with psycopg.connect(stack.postgres_dsn, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


async def failure_of(stack: Endpoints, schema: str, state: str | None) -> PlatformError:
    sink = PostgresSink(stack.postgres_dsn, f"{schema}.rows")
    await sink.open()
    try:
        with pytest.raises(PlatformError) as caught:
            await sink.write(Partition(columns=COLUMNS).batch([Event("c", 1, (1, state))]))
    finally:
        await sink.close()
    return caught.value


REFUSING: dict[str, tuple[str, str | None]] = {
    "check": ("ALTER TABLE {s}.rows ADD CHECK (state <> 'bad')", "bad"),
    "trigger": (TRIGGER.replace("{code}", ""), "bad"),
    "trigger with a code": (TRIGGER.replace("{code}", " USING ERRCODE = '42501'"), "bad"),
    "index": ("CREATE INDEX ON {s}.rows (state)", "".join(uuid.uuid4().hex for _ in range(400))),
    "not null": ("ALTER TABLE {s}.rows ALTER state SET NOT NULL", None),
    "reference": (
        "CREATE TABLE {s}.states (state text PRIMARY KEY); ALTER TABLE {s}.rows ADD FOREIGN KEY"
        " (state) REFERENCES {s}.states",
        "bad",
    ),
    "unique": (
        "CREATE UNIQUE INDEX ON {s}.rows (state); INSERT INTO {s}.rows VALUES (9, 'bad')",
        "bad",
    ),
}


@pytest.mark.parametrize("rule", REFUSING)
async def test_a_rule_of_the_target_refuses_the_event(
    stack: Endpoints, schema: str, rule: str
) -> None:
    ddl, state = REFUSING[rule]
    execute(stack, ddl.replace("{s}", schema))

    assert isinstance(await failure_of(stack, schema, state), RefusedError)


async def test_a_lock_that_is_not_given_in_time_is_of_the_moment(
    stack: Endpoints, schema: str
) -> None:
    dsn = f"{stack.postgres_dsn} options='-c lock_timeout=50'"
    sink = PostgresSink(dsn, f"{schema}.rows")
    await sink.open()
    batch = Partition(columns=COLUMNS).batch([Event("c", 1, (1, "good"))])
    with psycopg.connect(stack.postgres_dsn) as other:
        other.execute(f"LOCK TABLE {schema}.rows")
        with pytest.raises(RetryableError, match="55P03"):
            await sink.write(batch)
    await sink.write(batch)
    await sink.close()


async def test_a_server_that_only_reads_is_of_the_moment(stack: Endpoints, schema: str) -> None:
    sink = PostgresSink(stack.postgres_dsn, f"{schema}.rows")
    await sink.open()
    await sink.close()
    reading = PostgresSink(
        f"{stack.postgres_dsn} options='-c default_transaction_read_only=on'", f"{schema}.rows"
    )
    await reading.open()
    with pytest.raises(RetryableError, match="25006"):
        await reading.write(Partition(columns=COLUMNS).batch([Event("c", 1, (1, "good"))]))
    await reading.close()


async def test_a_right_that_is_missing_refuses_the_table(stack: Endpoints, schema: str) -> None:
    role = f"{schema}_role"
    sink = PostgresSink(stack.postgres_dsn, f"{schema}.rows")
    await sink.open()
    await sink.close()
    execute(
        stack,
        f"CREATE ROLE {role} LOGIN PASSWORD 'poor'",
        f"GRANT USAGE ON SCHEMA {schema} TO {role}",
        f"GRANT ALL ON {schema}.rows_offsets TO {role}",
        f"GRANT SELECT ON {schema}.rows TO {role}",
    )
    try:
        poor = PostgresSink(f"{stack.postgres_dsn} user={role} password=poor", f"{schema}.rows")
        await poor.open()
        with pytest.raises(TableRefusedError, match="42501"):
            await poor.write(Partition(columns=COLUMNS).batch([Event("c", 1, (1, "good"))]))
        await poor.close()
    finally:
        execute(stack, f"DROP OWNED BY {role}", f"DROP ROLE {role}")


async def test_a_user_or_a_database_that_is_not_there_ends_the_sink(stack: Endpoints) -> None:
    for wrong, said in (
        ("user=nobody_knows password=guessed", "password authentication failed"),
        ("dbname=nowhere", "does not exist"),
    ):
        sink = PostgresSink(f"{stack.postgres_dsn} {wrong}", "public.rows")
        with pytest.raises(ConfigError, match=said):
            await sink.open()
        await sink.close()


@pytest.mark.parametrize("rule", ["trigger", "index"])
def test_one_refused_row_goes_aside_and_the_others_go_on(
    stack: Endpoints, schema: str, tmp_path: Path, rule: str
) -> None:
    ddl, bad = REFUSING[rule]
    execute(stack, ddl.replace("{s}", schema))
    dead = f"dead.{schema}"
    admin = AdminClient({"bootstrap.servers": stack.kafka_bootstrap})
    admin.create_topics([NewTopic(dead, 1, 1)])[dead].result(30)
    try:
        with filled_topic(stack, f"cdc.{schema}", 1, COLUMNS) as topic:
            states = ["good", bad, "good"]
            topic.fill(Event("c", key, (key, state)) for key, state in enumerate(states, 1))
            platform = PlatformProcess(
                stack,
                topic.name,
                tmp_path / "platform.log",
                {
                    "sink": "postgres",
                    "postgres-dsn": stack.postgres_dsn,
                    "postgres-table": f"{schema}.rows",
                    "dead-letter-topic": dead,
                },
            )
            try:
                platform.await_durable(2)
                await_that(
                    lambda: (
                        platform.get("/snapshot")["consumer"]["partitions"][f"{topic.name}:0"][
                            "durable"
                        ]
                        == 3
                    ),
                    lambda: platform.output,
                )
                snapshot = platform.get("/snapshot")["consumer"]
            finally:
                platform.stop()
        with psycopg.connect(stack.postgres_dsn) as connection:
            rows = connection.execute(f"SELECT id FROM {schema}.rows ORDER BY 1").fetchall()
    finally:
        admin.delete_topics([dead])[dead].result(30)

    assert rows == [(1,), (3,)]
    assert (snapshot["dead_letters"], snapshot["errors"]) == (1, [])
