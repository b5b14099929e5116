"""Ends the audit for certain: settles unknown outcomes at the source, then sends fences the whole way."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing

import gevent
import psycopg2
from psycopg2 import sql

from cdc_users.measure.ledger import Outcomes, Range, subtract
from cdc_users.measure.probe import LANES_PER_STEP, Operation, Probe, checksum, format_probe
from cdc_users.users.postgres import APPLICATION_NAME
from cdc_users.workload import KEYS_PER_WRITER, columns
from infra.postgres.table import CUSTOMERS_COLUMNS

POLL_S = 0.05
#: No lane ever has this number, so a fence's key is always fresh.
WRITER = 999 * LANES_PER_STEP + 9_999
#: The keys tell partitions by hash; so many tries reach each of a few dozen partitions.
TRIES_PER_PARTITION = 40


def settle_unknown(
    dsn: str, schema: str, table: str, outcomes: Mapping[int, Outcomes], limit_s: float
) -> dict[int, Outcomes]:
    """Read back what became of unknown transactions, once no backend of the lanes is at work any more.

    What cannot be settled in time stays unknown.
    """
    if not any(outcome.unknown for outcome in outcomes.values()):
        return dict(outcomes)
    with closing(psycopg2.connect(dsn, connect_timeout=10)) as connection:
        connection.autocommit = True
        if not _lanes_idle(connection, limit_s):
            return dict(outcomes)
        return {writer: _settled(connection, schema, table, writer, outcome) for writer, outcome in outcomes.items()}


def _lanes_idle(connection: psycopg2.extensions.connection, limit_s: float) -> bool:
    deadline_s = time.monotonic() + limit_s
    while time.monotonic() < deadline_s:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE application_name = %s AND state <> 'idle'",
                (APPLICATION_NAME,),
            )
            row = cursor.fetchone()
        if row is not None and row[0] == 0:
            return True
        gevent.sleep(POLL_S)
    return False


def _settled(
    connection: psycopg2.extensions.connection, schema: str, table: str, writer: int, outcome: Outcomes
) -> Outcomes:
    found: list[Range] = []
    base = writer * KEYS_PER_WRITER
    for first, last in outcome.unknown:
        with connection.cursor() as cursor:
            query = sql.SQL("SELECT id FROM {} WHERE id BETWEEN %s AND %s").format(sql.Identifier(schema, table))
            cursor.execute(query, (base + first, base + last))
            found += [(key - base, key - base) for (key,) in cursor.fetchall()]
    return Outcomes(
        acked=[*outcome.acked, *found],
        failed=[*outcome.failed, *subtract(outcome.unknown, found)],
    )


def send_fences(
    run: str,
    dsn: str,
    schema: str,
    table: str,
    partitions: int,
    seen: Callable[[], set[int]],
    now_us: Callable[[], int],
    limit_s: float,
) -> bool:
    """Write fence rows until one has come out of every partition at the sink; False when the time is over.

    A sink works each partition in order, so everything before a partition's fence has been there. The harness
    cannot see which partition a row went to, so it sends enough keys and waits for all of them.
    """
    count = 1 if partitions == 1 else partitions * TRIES_PER_PARTITION
    with closing(psycopg2.connect(dsn, connect_timeout=10)) as connection:
        connection.autocommit = True
        keys = _write(connection, run, schema, table, count, now_us())
    deadline_s = time.monotonic() + limit_s
    while time.monotonic() < deadline_s:
        if keys <= seen():
            return True
        gevent.sleep(POLL_S)
    return False


def _write(
    connection: psycopg2.extensions.connection, run: str, schema: str, table: str, count: int, intended_us: int
) -> set[int]:
    places: Sequence[sql.Composable] = [sql.Placeholder()] * len(CUSTOMERS_COLUMNS)
    insert = sql.SQL("INSERT INTO {} VALUES ({})").format(sql.Identifier(schema, table), sql.SQL(", ").join(places))
    keys = set()
    for number in range(1, count + 1):
        key = WRITER * KEYS_PER_WRITER + number
        values = columns(key, intended_us, "")
        code = checksum(key, 1, values)
        probe = Probe(run, WRITER, number, number, 0, 1, 1, Operation.FENCE, intended_us, code)
        with connection.cursor() as cursor:
            cursor.execute(insert, (key, *values, format_probe(probe)))
        keys.add(key)
    return keys
