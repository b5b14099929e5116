"""Ends the audit for certain: fences go the whole way, behind everything that was sent before."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Protocol

import psycopg
from psycopg import ClientCursor, Connection, sql

from cdc_users.error import FenceRefusedError, HarnessError, TargetError
from cdc_users.measure.clock import Anchor
from cdc_users.measure.ledger.checksum import checksum
from cdc_users.measure.ledger.probe import LANES_PER_STEP, Operation, Probe, format_probe
from cdc_users.users.producer.in_flight import ChangeFlight
from cdc_users.users.producer.producer import AvroProducer, SendOptions
from cdc_users.users.table_statement import insert
from cdc_users.users.target import DatabaseTarget, LaneTarget
from cdc_users.users.workload.keyspace import RowChange
from cdc_users.users.workload.table.plan import TablePlan
from cdc_users.users.workload.table.row import CustomRow, TableRow, TableRows
from cdc_users.users.workload.workload import KEYS_PER_WRITER, WriteTransaction, columns
from infra.postgres.table import CUSTOMERS_COLUMNS

POLL_S = 0.05
#: No lane ever has this number, so a fence's key is always fresh.
WRITER = 999 * LANES_PER_STEP + 9_999
#: Keys tell partitions by hash; so many tries a partition reach each of a few dozen.
TRIES_PER_PARTITION = 40
ROUNDS = 40
#: Fences that come at all come one after another; after so long without one more are sent.
QUIET_S = 3.0
#: So many, that some get through where most are lost.
LATE_PER_PARTITION = 4


class FenceTap(Protocol):
    """How far a tap has come: the fences that it has seen, by key, the partitions that they came
    from, and which came from where.
    """

    fences: set[int]
    fenced_partitions: set[int]
    fence_places: dict[int, int]


def send_fences(
    write: Callable[[int], set[int]],
    partitions: int,
    look: Callable[[], Sequence[FenceTap]],
    limit_s: float,
    gone: Callable[[], bool] = lambda: False,
) -> bool:
    """Write fences until the first tap has seen one in every partition and all taps have seen them
    all; or, where some never come, until others that were sent later have come through every
    partition at every tap.

    A partition is worked in order, so everything before its fence has been there: a pipeline that
    loses fences as it loses events is convicted by those that it lets through. `write` takes how
    many more to write and returns the keys of all so far; `look` gives the taps, first to last,
    and may raise TargetError while one is busy. False when the time is over, or they are `gone`.
    """
    return _Fencing(write, partitions, look, gone).run(limit_s)


class _Fencing:
    """Fences under way."""

    def __init__(
        self,
        write: Callable[[int], set[int]],
        partitions: int,
        look: Callable[[], Sequence[FenceTap]],
        gone: Callable[[], bool],
    ) -> None:
        self._write, self._partitions, self._look, self._gone = write, partitions, look, gone
        self._keys: frozenset[int] = frozenset()
        #: Those that were sent when earlier ones had not come for a while.
        self._late: frozenset[int] = frozenset()
        self._rounds = 0
        self._seen: Sequence[int] = ()
        self._quiet_since_s = 0.0

    def run(self, limit_s: float) -> bool:
        """Send and look until there is an answer."""
        self._send(self._partitions)
        deadline_s = time.monotonic() + limit_s
        while time.monotonic() < deadline_s and not self._gone():
            taps = _answers(self._look)
            if taps and (self._all_here(taps) or self._convicted(taps)):
                return True
            time.sleep(POLL_S)  # Locust has patched it: other lanes go on
        return False

    def _send(self, count: int, *, late: bool = False) -> None:
        before = self._keys
        self._keys = frozenset(self._write(count))
        self._late |= self._keys - before if late else frozenset()
        self._rounds += 1
        self._quiet_since_s = time.monotonic()

    def _all_here(self, taps: Sequence[FenceTap]) -> bool:
        first, *later = taps
        if not self._keys <= first.fences:
            return False
        if self._rounds < ROUNDS and len(first.fenced_partitions) < self._partitions:
            # By hash, so some partition has none yet; a tap that cannot tell partitions gets
            # plenty at once.
            tells = bool(first.fenced_partitions)
            self._send(self._partitions * (1 if tells else TRIES_PER_PARTITION))
            self._rounds = self._rounds if tells else ROUNDS
            return False
        return all(self._keys <= tap.fences for tap in later)

    def _convicted(self, taps: Sequence[FenceTap]) -> bool:
        """Whether late fences have come through every partition at every tap; sends more of them
        where none comes any more.
        """
        if all(self._through(tap, taps[0]) for tap in taps):
            return True
        seen = [len(tap.fences) for tap in taps]
        if seen != self._seen:
            self._seen, self._quiet_since_s = seen, time.monotonic()
        elif time.monotonic() - self._quiet_since_s > QUIET_S and self._rounds < ROUNDS:
            self._send(self._partitions * LATE_PER_PARTITION, late=True)
        return False

    def _through(self, tap: FenceTap, first: FenceTap) -> bool:
        """Whether late fences have come through every partition, which the first tap tells."""
        come = {
            first.fence_places[key] for key in self._late & tap.fences if key in first.fence_places
        }
        return len(come) >= self._partitions


def _answers(look: Callable[[], Sequence[FenceTap]]) -> Sequence[FenceTap]:
    """What the taps say; nothing where one is too busy to say it."""
    try:
        return look()
    except TargetError:
        return ()


def fences(
    run: str, target: LaneTarget, anchor: Anchor, custom: CustomRow | None = None
) -> Callable[[int], set[int]]:
    """What writes a run's fences to where its lanes write (Assignment.target); `custom` is the
    user's own code that makes rows of a table of theirs.
    """
    if isinstance(target, DatabaseTarget) and target.plans:
        return TableFences(run, target.dsn, target.plans, anchor.now_us, custom)
    if isinstance(target, DatabaseTarget):
        return PostgresFences(run, target.dsn, target.schema, target.tables, anchor.now_us)
    producer = AvroProducer(target.bootstrap, target.channels, anchor, SendOptions(linger_ms=0))
    return TopicFences(run, producer, anchor.now_us)


def fence_key(number: int) -> int:
    """The key of the run's fence of that number, counted from 1."""
    return WRITER * KEYS_PER_WRITER + number


def fence(run: str, number: int, intended_us: int, table: int = 0) -> RowChange:
    """The run's fence of that number; its key is fresh."""
    key = fence_key(number)
    values = columns(key, intended_us, "")
    code = checksum(key, 1, values)
    probe = Probe(run, WRITER, number, number, 0, 1, 1, Operation.FENCE, intended_us, code)
    return RowChange(
        Operation.FENCE, table, key, 1, number, (key, *values, format_probe(probe)), None
    )


@contextmanager
def _connected(dsn: str) -> Iterator[Connection]:
    """A connection whose statements are transactions of their own.

    Other lanes go on while it waits: psycopg 3 sees that Locust has patched `select`, and does not
    wait in C then. Raises TargetError where the source does not answer, and FenceRefusedError where
    a statement is wrong by now, because somebody else has dropped or altered a table.
    """
    try:
        with closing(psycopg.connect(dsn, autocommit=True, connect_timeout=10)) as connection:
            yield connection
    except psycopg.OperationalError as error:
        raise TargetError(f"the source does not take a row: {str(error).strip()}") from error
    except psycopg.Error as error:
        reason = str(error).strip().partition("\n")[0]
        raise FenceRefusedError(f"fences could not be written: {reason}") from error


class PostgresFences:
    """Writes fences to the source tables, each a transaction of its own; their partitions are not
    ours to say.
    """

    def __init__(
        self, run: str, dsn: str, schema: str, tables: Sequence[str], now_us: Callable[[], int]
    ) -> None:
        self._run, self._dsn, self._schema, self._tables, self._now_us = (
            run,
            dsn,
            schema,
            tables,
            now_us,
        )
        self._keys: set[int] = set()

    def __call__(self, count: int) -> set[int]:
        """Write so many more to each table; returns the keys of all."""
        places: Sequence[sql.Composable] = [sql.Placeholder()] * len(CUSTOMERS_COLUMNS)
        with _connected(self._dsn) as connection:
            for table in self._tables:
                name = sql.Identifier(self._schema, table)
                insert = sql.SQL("INSERT INTO {} VALUES ({})").format(
                    name, sql.SQL(", ").join(places)
                )
                with ClientCursor(connection) as cursor:
                    for _ in range(count):
                        change = fence(self._run, len(self._keys) + 1, self._now_us())
                        cursor.execute(insert, change.row)
                        self._keys.add(change.key)
        return self._keys


class TableFences:
    """Writes fences to the user's own tables, each a transaction of its own, in the tables' order:
    the first one of a table is what rows of later ones may refer to.
    """

    def __init__(
        self,
        run: str,
        dsn: str,
        plans: Sequence[TablePlan],
        now_us: Callable[[], int],
        custom: CustomRow | None,
    ) -> None:
        self._dsn, self._plans, self._now_us = dsn, plans, now_us
        self._rows = [TableRows(run, WRITER, [plan], custom=custom) for plan in plans]
        self._keys: set[int] = set()

    def __call__(self, count: int) -> set[int]:
        """Write so many more to each table; returns the keys of all."""
        with _connected(self._dsn) as connection, connection.cursor() as cursor:
            for _ in range(count):
                for plan, rows in zip(self._plans, self._rows, strict=True):
                    number = len(self._keys) + 1
                    key = fence_key(number)
                    rows.begin(number, 1, self._now_us())
                    row = self._row(rows, key, number)
                    cursor.execute(insert(plan, [row]).encode())
                    self._keys.add(key)
        return self._keys

    def _row(self, rows: TableRows, key: int, number: int) -> TableRow:
        """A fence; raises HarnessError where the user's own code cannot make it."""
        try:
            return rows.row(key, 1, Operation.FENCE, number, 0)
        except Exception as error:
            raise HarnessError(
                f"row() of the locustfile failed: {type(error).__name__}: {error}"
            ) from error


class TopicFences:
    """Produces fences straight to the topics, one to each partition by its number."""

    def __init__(self, run: str, producer: AvroProducer, now_us: Callable[[], int]) -> None:
        self._run, self._producer, self._now_us = run, producer, now_us
        self._keys: set[int] = set()

    def __call__(self, _count: int) -> set[int]:
        """Write one more to each partition; returns the keys of all."""
        for table, channel in enumerate(self._producer.channels):
            for partition in range(channel.partitions):
                change = fence(self._run, len(self._keys) + 1, self._now_us(), table)
                flight = ChangeFlight(partition=partition)
                flight.add(
                    WriteTransaction(change.sequence, change.sequence, change.sequence, [change]),
                    time.monotonic_ns(),
                )
                self._producer.push(flight)
                self._keys.add(change.key)
        while self._producer.flying:
            self._producer.poll()
            time.sleep(POLL_S)  # Locust has patched it: other lanes go on
        return self._keys
