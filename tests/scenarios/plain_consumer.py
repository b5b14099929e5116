"""A plain consumer, such as anybody writes: a topic of Debezium's Avro into a table, by upsert.

`--fault` makes it one of seven that are broken in one way each; without one it is right: offsets
are committed after the rows, and a row is never replaced by an older one.
"""

from __future__ import annotations

import argparse
import io
import json
import signal
from datetime import datetime
from typing import Any

import fastavro
import psycopg
import requests
from confluent_kafka import Consumer

COLUMNS = "first_name, last_name, email, phone, balance, created_at, notes, probe"
#: The key's version in the probe, which a later write of the key has higher (docs/probe.md).
VERSION = slice(47, 55)
UPSERT = (
    f"INSERT INTO {{table}} AS t (id, {COLUMNS}) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)"
    f" ON CONFLICT (id) DO UPDATE SET ({COLUMNS}) = (excluded.first_name, excluded.last_name,"
    " excluded.email, excluded.phone, excluded.balance, excluded.created_at, excluded.notes,"
    " excluded.probe)"
)
NEWER = " WHERE substr(t.probe, 48, 8) < substr(excluded.probe, 48, 8)"


class PlainConsumer:
    """Reads until it is asked to stop."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options, self.fault = options, options.fault
        self.schemas: dict[int, Any] = {}
        self.gone: dict[int, str] = {}
        self.count = 0
        self.stopping = False
        self.consumer = Consumer({
            "bootstrap.servers": options.bootstrap, "group.id": options.group,
            "auto.offset.reset": "earliest", "enable.auto.commit": False,
        })  # fmt: skip

    def run(self) -> None:
        signal.signal(signal.SIGTERM, lambda *_: setattr(self, "stopping", True))
        self.consumer.subscribe([self.options.topic])
        with psycopg.connect(self.options.dsn, autocommit=True) as connection:
            while not self.stopping:
                messages = [m for m in self.consumer.consume(200, 0.1) if m.error() is None]
                if messages:
                    self.write(connection, messages)
        self.consumer.close()

    def write(self, connection: psycopg.Connection[Any], messages: list[Any]) -> None:
        if self.fault == "commits-early":
            self.consumer.commit(asynchronous=False)
            if self.count < 500 <= self.count + len(messages):
                self.count += len(messages)
                return  # as if it had died here: the next one begins behind these
        with connection.transaction():
            for message in messages:
                self.count += 1
                if message.value() is not None and not self.skips():
                    self.apply(connection, self.event(message.value()))
        if self.fault == "arrival" and self.count > 500 and messages:
            # Comes up again from an old offset, and what it has is not what is newest.
            self.fault = "none"
            with connection.transaction():
                for message in messages[: len(messages) // 2]:
                    if message.value() is not None:
                        self.apply(connection, self.event(message.value()), force=True)
        self.consumer.commit(asynchronous=False)

    def skips(self) -> bool:
        every = {"skips": 500, "rebalance": 400}.get(self.fault)
        return every is not None and self.count % every == every - 1

    def event(self, value: bytes) -> Any:
        number = int.from_bytes(value[1:5], "big")
        if number not in self.schemas:
            url = f"{self.options.schema_registry}/schemas/ids/{number}"
            schema = requests.get(url, timeout=10).json()["schema"]
            self.schemas[number] = fastavro.parse_schema(json.loads(schema))
        return fastavro.schemaless_reader(io.BytesIO(value[5:]), self.schemas[number], None)

    def apply(self, connection: psycopg.Connection[Any], event: Any, force: bool = False) -> None:
        table = self.options.table
        if event["op"] == "d":
            key, probe = event["before"]["id"], event["before"]["probe"]
            if self.fault != "deletes":
                self.gone[key] = probe[VERSION]
                connection.execute(f"DELETE FROM {table} WHERE id = %s".encode(), (key,))
            return
        row = dict(event["after"])
        if not force and self.gone.get(row["id"], "") >= row["probe"][VERSION]:
            return
        row["created_at"] = datetime.fromisoformat(row["created_at"])
        if self.fault == "rounds":
            row["created_at"] = row["created_at"].replace(microsecond=0)
        if self.fault == "cuts" and row["notes"]:
            row["notes"] = row["notes"][:200]
        statement = UPSERT.format(table=table) + ("" if force else NEWER)
        names = ["id", *COLUMNS.split(", ")]
        connection.execute(statement.encode(), [row[name] for name in names])


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    for flag in ("bootstrap", "schema-registry", "topic", "group", "dsn", "table"):
        parser.add_argument(f"--{flag}", required=True)
    parser.add_argument("--fault", default="none")
    PlainConsumer(parser.parse_args()).run()
