"""How fast the Postgres user is beside the plain way: `python -m tests.benchmark.user_comparison`.

Single rows against pgbench with the same statement and as many clients; batches against a bare
loop of psycopg2's execute_values; COPY against the same. The contestants take turns, so that a
busy machine slows all. Each contestant is a process of its own. Unit of work: rows committed a
second.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import closing

import psycopg
import psycopg2
from psycopg2.extras import execute_values

from infra.postgres.table import CUSTOMERS_COLUMNS, create_customers, create_schema, drop_schema
from infra.stack.find.locate import locate
from infra.stack.servers.postgres import find_binaries
from infra.stack.supervise.state import CHECKOUT

SCHEMA = "cdc_load_comparison"
PROBE = "P1abcd1234" + "0" * 45 + "i" + "0" * 24
VALUES = (
    "'Grace','Lovelace','customer-1000000000001@example.test','+49 30"
    f" 0000001',0.37,'2026-01-01',NULL,'{PROBE}'"
)
ROW = (
    "Grace",
    "Lovelace",
    "customer-1000000000001@example.test",
    "+49 30 0000001",
    0.37,
    "2026-01-01",
    None,
    PROBE,
)
BATCH_ROWS = 100


def pgbench(dsn: str, clients: int, seconds: float) -> float:
    """Single-row INSERTs of pgbench, in a transaction each."""
    counting = "\\set n :n + 1\n\\set id :client_id * 1000000000 + :n\n"
    columns = ", ".join(CUSTOMERS_COLUMNS)
    script = f'{counting}INSERT INTO "{SCHEMA}"."customers" ({columns}) VALUES (:id,{VALUES});\n'
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as file:
        file.write(script)
        file.flush()
        binary = find_binaries(os.environ) / "pgbench"
        done = subprocess.run(
            [
                binary,
                "-n",
                "-c",
                str(clients),
                "-j",
                "1",
                "-T",
                str(round(seconds)),
                "-D",
                "n=0",
                "-f",
                file.name,
                dsn,
            ],
            capture_output=True,
            text=True,
            check=True,
        )
    match = re.search(r"tps = ([\d.]+)", done.stdout)
    assert match is not None, done.stdout
    return float(match[1])


def bare(dsn: str, clients: int, seconds: float) -> float:
    """execute_values in a loop, one thread a client; the rows are there before."""
    counts = [0] * clients

    def loop(number: int) -> None:
        with closing(psycopg2.connect(dsn)) as connection, connection.cursor() as cursor:
            connection.autocommit = True
            key = number * 10**9
            while time.monotonic() < end_s:
                rows = [(key + index, *ROW) for index in range(BATCH_ROWS)]
                execute_values(
                    cursor, f"INSERT INTO {SCHEMA}.customers VALUES %s", rows, page_size=BATCH_ROWS
                )
                key += BATCH_ROWS
                counts[number] += BATCH_ROWS

    end_s = time.monotonic() + seconds
    threads = [threading.Thread(target=loop, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / seconds


CONTESTANTS: dict[str, Callable[[str, int, float], float]] = {
    "pgbench, single rows": pgbench,
    "execute_values of 100": bare,
}
#: The user needs a process that begins with Locust: its insert method, and rows a transaction.
USERS = {
    "user, single rows": ("single", 1),
    "user, values of 100": ("values", BATCH_ROWS),
    "user, copy of 100": ("copy", BATCH_ROWS),
}
ORDER = ("pgbench, single rows", "user, single rows", "execute_values of 100", *list(USERS)[1:])


def in_process(name: str, dsn: str, clients: int, seconds: float) -> float:
    """One contestant's turn, on an empty table."""
    with (
        closing(psycopg.connect(dsn, autocommit=True)) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute(f"TRUNCATE {SCHEMA}.customers")
    if name in USERS:
        method, rows = USERS[name]
        command = [sys.executable, "-m", "tests.benchmark.user_process", SCHEMA, method, str(rows)]
        options = [str(clients), str(seconds)]
    else:
        command = [sys.executable, "-m", "tests.benchmark.user_comparison", "--contestant", name]
        options = ["--clients", str(clients), "--seconds", str(seconds)]
    environment = {**os.environ, "CDC_COMPARISON_DSN": dsn}
    done = subprocess.run(
        [*command, *options], env=environment, stdout=subprocess.PIPE, text=True, check=True
    )
    return float(json.loads(done.stdout.splitlines()[-1]))


def compare(clients: int, seconds: float, rounds: int, only: str = "") -> dict[str, list[float]]:
    """Rows a second of every contestant, round by round."""
    endpoints = locate(CHECKOUT, os.environ)
    assert endpoints is not None, "no stack is up; start one with `make stack-up`"
    dsn = endpoints.postgres_dsn
    with closing(psycopg.connect(dsn, autocommit=True)) as connection:
        drop_schema(connection, SCHEMA)
        create_schema(connection, SCHEMA, "comparison")
        create_customers(connection, SCHEMA)
        try:
            found: dict[str, list[float]] = {name: [] for name in ORDER if only in name}
            for _ in range(rounds):
                for name, rates in found.items():
                    rates.append(in_process(name, dsn, clients, seconds))
            return found
        finally:
            drop_schema(connection, SCHEMA)


def table(found: dict[str, list[float]]) -> str:
    """Medians, and what the user's are of its rival's in the same round."""
    rivals = {"user, single rows": "pgbench, single rows"}
    lines = ["| contestant | rows/s (median) | of its rival | per round |", "|---|---|---|---|"]
    for name, rates in found.items():
        rival = rivals.get(name, "execute_values of 100" if name.startswith("user") else "")
        ratios = [mine / other for mine, other in zip(rates, found.get(rival, []), strict=False)]
        shown = f"{statistics.median(ratios):.2f}" if ratios else ""
        each = ", ".join(f"{ratio:.2f}" for ratio in ratios)
        lines.append(f"| {name} | {statistics.median(rates):,.0f} | {shown} | {each} |")
    return "\n".join(lines)


def main(argv: Sequence[str]) -> None:
    """Compare, or be one contestant."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--contestant")
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", help="contestants with this in their name")
    chosen = parser.parse_args(argv)
    if chosen.contestant:
        rate = CONTESTANTS[chosen.contestant](
            os.environ["CDC_COMPARISON_DSN"], chosen.clients, chosen.seconds
        )
        print(json.dumps(rate))
        return
    print(table(compare(chosen.clients, chosen.seconds, chosen.rounds, chosen.only)))


if __name__ == "__main__":
    main(sys.argv[1:])
