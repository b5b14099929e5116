"""Records the microbenchmarks' inputs: what a real server sends for the changes made here, message
by message.

`python -m tests.benchmark.record_fixtures [DSN]` writes tests/benchmark/fixtures/*.pgoutput.gz
anew; without a DSN it uses the stack that is up. The rows are the same each time; OIDs, LSNs,
transaction numbers and times are the server's.
"""

from __future__ import annotations

import os
import random
import sys
import uuid
from collections.abc import Callable, Sequence

import psycopg

from cdc_users.measure.ledger.probe import Probe, format_probe
from infra.stack.find.locate import locate
from infra.stack.supervise.state import CHECKOUT
from tests.benchmark.stream import FIRST_ID, write

CUSTOMERS = """
CREATE TABLE customers (
    id bigint PRIMARY KEY, first_name text NOT NULL, last_name text NOT NULL,
    email text NOT NULL, phone text,
    balance numeric(12, 2), created_at timestamptz NOT NULL, notes text, probe text);
ALTER TABLE customers REPLICA IDENTITY FULL"""
_NAMES = (
    "Ada",
    "Grace",
    "Barbara",
    "Frances",
    "Radia",
    "Margaret",
    "Shafrira",
    "Lynn",
    "Karen",
    "Adele",
)
_WORDS = (
    "order",
    "late",
    "paid",
    "parcel",
    "returned",
    "called",
    "twice",
    "friendly",
    "new",
    "address",
    "invoice",
    "open",
)
_KINDS = ("text", "int", "numeric(12,2)", "timestamptz", "boolean", "text")


def customer(number: int, chance: random.Random) -> tuple[object, ...]:
    """A row of `customers`, as the harness writes them: some phones and notes are NULL."""
    first, last = chance.choice(_NAMES), chance.choice(_NAMES) + "son"
    probe = Probe(
        "run00001",
        10_001,
        number,
        number // 100,
        number % 100,
        100,
        1,
        "i",
        1_795_503_558_760_000,
        number,
    )
    return (
        FIRST_ID + number,
        first,
        last,
        f"{first}.{last}{number}@example.com".lower(),
        None if number % 8 == 0 else f"+49 30 {chance.randrange(10**7):07d}",
        f"{chance.randrange(10**6) / 100:.2f}",
        (
            f"2026-11-{chance.randrange(1, 29):02d}"
            f" 12:{chance.randrange(60):02d}:07.{chance.randrange(10**6):06d}+00"
        ),
        None if number % 4 == 0 else " ".join(chance.choices(_WORDS, k=chance.randrange(1, 8))),
        format_probe(probe),
    )


def value(kind: str, chance: random.Random) -> object:
    """A value of a wide table."""
    made: dict[str, Callable[[], object]] = {
        "text": lambda: " ".join(chance.choices(_WORDS, k=2)),
        "int": lambda: chance.randrange(-(10**6), 10**6),
        "numeric(12,2)": lambda: f"{chance.randrange(10**8) / 100:.2f}",
        "timestamptz": lambda: (
            f"2026-11-{chance.randrange(1, 29):02d} 12:30:{chance.randrange(60):02d}+00"
        ),
        "boolean": lambda: chance.random() < 0.5,
    }
    return made[kind]()


class Recorder:
    """A schema, a publication and a temporary slot, and what the server sends for what is done in
    them.
    """

    def __init__(self, dsn: str) -> None:
        self._name = f"cdc_record_{uuid.uuid4().hex[:8]}"
        options = f"-c datestyle=ISO -c timezone=UTC -c search_path={self._name}"
        self._connection = psycopg.connect(dsn, autocommit=True, options=options)
        self.run(f"CREATE SCHEMA {self._name}")
        self.run(f"CREATE PUBLICATION {self._name} FOR TABLES IN SCHEMA {self._name}")
        self.run(f"SELECT pg_create_logical_replication_slot('{self._name}', 'pgoutput', true)")

    def run(self, statement: str) -> None:
        self._connection.execute(statement.encode())

    def insert(self, table: str, rows: Sequence[Sequence[object]], transaction: int = 100) -> None:
        """Insert rows, so many in a transaction."""
        marks = ", ".join(["%s"] * len(rows[0]))
        for first in range(0, len(rows), transaction):
            with self._connection.transaction(), self._connection.cursor() as cursor:
                cursor.executemany(
                    f"INSERT INTO {table} VALUES ({marks})".encode(),
                    rows[first : first + transaction],
                )

    def save(self, name: str) -> None:
        """Write what was sent since the last call, in the schema `public` as far as names go."""
        options = f"'proto_version', '1', 'publication_names', '{self._name}'"
        query = (
            f"SELECT data FROM pg_logical_slot_get_binary_changes('{self._name}', NULL, NULL,"
            f" {options})"
        )
        messages = [bytes(row[0]) for row in self._connection.execute(query.encode()).fetchall()]
        named = [
            message.replace(self._name.encode(), b"public") if message[:1] == b"R" else message
            for message in messages
        ]
        write(name, named)
        print(f"{name}: {len(named)} messages, {sum(map(len, named))} bytes")

    def close(self) -> None:
        self.run(f"DROP PUBLICATION {self._name}; DROP SCHEMA {self._name} CASCADE")
        self._connection.close()


def record(recorder: Recorder) -> None:
    """All fixtures."""
    chance = random.Random(20261124)
    recorder.run(CUSTOMERS)
    recorder.insert("customers", [customer(number, chance) for number in range(300)])
    recorder.save("insert")
    _mixed(recorder, chance)
    for width in (10, 50, 100):
        kinds = [_KINDS[column % len(_KINDS)] for column in range(width - 1)]
        _table(recorder, f"wide_{width}", kinds)
        rows = [[FIRST_ID + n, *(value(kind, chance) for kind in kinds)] for n in range(100)]
        recorder.insert(f"wide_{width}", rows)
        recorder.save(f"wide_{width}")
    _interleaved(recorder, chance)
    _table(recorder, "documents", ["text", "text"])
    recorder.insert(
        "documents", [[FIRST_ID + n, f"title {n}", _letters(10_000, chance)] for n in range(20)], 10
    )
    recorder.save("large")
    _table(recorder, "sparse", ["text", "int", "text", "timestamptz"] * 10)
    recorder.insert("sparse", [_sparse(number, chance) for number in range(200)])
    recorder.save("sparse")
    _table(recorder, "notes", ["text", "jsonb"])
    quoted = [
        [
            FIRST_ID + n,
            f'said "{chance.choice(_WORDS)}"\nand left',
            f'{{"tags": ["a", "b"], "n": {n}}}',
        ]
        for n in range(200)
    ]
    recorder.insert("notes", quoted)
    recorder.save("quoted")


def _table(recorder: Recorder, name: str, kinds: Sequence[str]) -> None:
    columns = ", ".join(f"c{column} {kind}" for column, kind in enumerate(kinds, start=1))
    recorder.run(f"CREATE TABLE {name} (id bigint PRIMARY KEY, {columns})")


def _mixed(recorder: Recorder, chance: random.Random) -> None:
    """Half inserts, the rest updates and deletes, as a service would do them."""
    for number in range(300, 500):
        recorder.insert("customers", [customer(number, chance)])
        if number % 4 < 3:
            recorder.run(
                f"UPDATE customers SET balance = balance + 1 WHERE id = {FIRST_ID + number - 100}"
            )
        if number % 4 == 3:
            recorder.run(f"DELETE FROM customers WHERE id = {FIRST_ID + number - 200}")
    recorder.save("mixed")


def _interleaved(recorder: Recorder, chance: random.Random) -> None:
    for table in range(5):
        _table(recorder, f"shop_{table}", _KINDS[: 2 + table])
    for number in range(60):
        with recorder._connection.transaction():
            for table in range(5):
                row = [FIRST_ID + number, *(value(kind, chance) for kind in _KINDS[: 2 + table])]
                recorder.insert(f"shop_{table}", [row])
    recorder.save("interleaved")


def _letters(count: int, chance: random.Random) -> str:
    # From few words, so that the fixture stays small when it is packed.
    return " ".join(chance.choices(_WORDS, k=count // 4))[:count]


def _sparse(number: int, chance: random.Random) -> list[object]:
    kinds = ["text", "int", "text", "timestamptz"] * 10
    return [
        FIRST_ID + number,
        *(value(kind, chance) if chance.random() < 0.1 else None for kind in kinds),
    ]


def main(arguments: Sequence[str]) -> int:
    """Record from the server named, or from the stack."""
    endpoints = None if arguments else locate(CHECKOUT, os.environ)
    if not arguments and endpoints is None:
        print("no stack is up; run 'make stack-up', or name a server's DSN", file=sys.stderr)
        return 3
    recorder = Recorder(arguments[0] if arguments else endpoints.postgres_dsn if endpoints else "")
    try:
        record(recorder)
    finally:
        recorder.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
