"""Fences: rows that follow all others through the pipeline. Once they have arrived, the audit is
final.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from cdc_users.error import FenceRefusedError, HarnessError, TargetError
from cdc_users.measure.clock import Anchor
from cdc_users.measure.ledger.checksum import checksum
from cdc_users.measure.ledger.probe import LANES_PER_STEP, Operation, Probe, format_probe
from cdc_users.users.producer.in_flight import ChangeFlight
from cdc_users.users.producer.producer import AvroProducer, SendOptions
from cdc_users.users.source.look import SourceLook
from cdc_users.users.source.looks import source_look
from cdc_users.users.statement import form_of, statement
from cdc_users.users.table_statement import insert
from cdc_users.users.target import DatabaseTarget, LaneTarget
from cdc_users.users.workload.keyspace import RowChange
from cdc_users.users.workload.table.row import CustomRow, TableRow, TableRows
from cdc_users.users.workload.workload import KEYS_PER_WRITER, WriteTransaction, columns
from infra.client.sql import quoted_name

POLL_S = 0.05
#: No lane has this number, so a fence's key is always new.
WRITER = 999 * LANES_PER_STEP + 9_999
#: A key's hash decides its partition; this many tries for each partition reach all of a few dozen.
TRIES_PER_PARTITION = 40
ROUNDS = 40
#: Fences arrive one after another; if none has arrived for this long, more are sent.
QUIET_S = 3.0
#: Enough that some arrive even in a pipeline that loses most events.
LATE_PER_PARTITION = 4


class FenceTap(Protocol):
    """How far a tap has come: the keys of fences that it has seen, the partitions that they came
    from, and the partition of each.
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
    """Write fences until the first tap has seen one in every partition, and all taps have seen all
    of them. If some never arrive, it suffices that later ones arrived through every partition at
    every tap.

    A partition keeps its order, so all events before a fence have passed when the fence arrives.
    Even a pipeline that loses fences is therefore convicted by the ones that arrive. `write` writes
    a number of further fences and returns the keys of all so far; `look` returns the taps, first to
    last, and may raise TargetError while a tap is busy. Returns False if the time is over, or if
    the taps are `gone`.
    """
    return _Fencing(write, partitions, look, gone).run(limit_s)


class _Fencing:
    """The fences of one call of `send_fences`."""

    def __init__(
        self,
        write: Callable[[int], set[int]],
        partitions: int,
        look: Callable[[], Sequence[FenceTap]],
        gone: Callable[[], bool],
    ) -> None:
        self._write, self._partitions, self._look, self._gone = write, partitions, look, gone
        self._keys: frozenset[int] = frozenset()
        #: The fences that were sent because earlier ones had not arrived for a while.
        self._late: frozenset[int] = frozenset()
        self._rounds = 0
        self._seen: Sequence[int] = ()
        self._quiet_since_s = 0.0

    def run(self, limit_s: float) -> bool:
        """Send and look until there is a result."""
        self._send(self._partitions)
        deadline_s = time.monotonic() + limit_s
        while time.monotonic() < deadline_s and not self._gone():
            taps = _answers(self._look)
            if taps and (self._all_here(taps) or self._convicted(taps)):
                return True
            time.sleep(POLL_S)  # Locust has patched sleep, so other lanes go on
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
            # Keys are hashed, so some partition has no fence yet. A tap that cannot tell partitions
            # gets plenty of fences at once.
            tells = bool(first.fenced_partitions)
            self._send(self._partitions * (1 if tells else TRIES_PER_PARTITION))
            self._rounds = self._rounds if tells else ROUNDS
            return False
        return all(self._keys <= tap.fences for tap in later)

    def _convicted(self, taps: Sequence[FenceTap]) -> bool:
        """Whether late fences have arrived through every partition at every tap; sends more of them
        if none arrives any more.
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
        """Whether late fences have come through every partition; the first tap knows their
        partitions.
        """
        come = {
            first.fence_places[key] for key in self._late & tap.fences if key in first.fence_places
        }
        return len(come) >= self._partitions


def _answers(look: Callable[[], Sequence[FenceTap]]) -> Sequence[FenceTap]:
    """The taps' progress; empty while one of them is too busy to answer."""
    try:
        return look()
    except TargetError:
        return ()


def fences(
    run: str, target: LaneTarget, anchor: Anchor, custom: CustomRow | None = None
) -> Callable[[int], set[int]]:
    """The writer of a run's fences, for the place where its lanes write (Assignment.target);
    `custom` is the user's own code that makes rows of the user's tables.
    """
    if isinstance(target, DatabaseTarget) and target.plans:
        return TableFences(run, target, anchor.now_us, custom)
    if isinstance(target, DatabaseTarget):
        return CustomerFences(run, target, anchor.now_us)
    producer = AvroProducer(target.bootstrap, target.channels, anchor, SendOptions(linger_ms=0))
    return TopicFences(run, producer, anchor.now_us)


def fence_key(number: int) -> int:
    """The key of the run's n-th fence, counted from 1."""
    return WRITER * KEYS_PER_WRITER + number


def fence(run: str, number: int, intended_us: int, table: int = 0) -> RowChange:
    """The run's n-th fence; its key is new."""
    key = fence_key(number)
    values = columns(key, intended_us, "")
    code = checksum(key, 1, values)
    probe = Probe(run, WRITER, number, number, 0, 1, 1, Operation.FENCE, intended_us, code)
    return RowChange(
        Operation.FENCE, table, key, 1, number, (key, *values, format_probe(probe)), None
    )


@contextmanager
def _writing(target: DatabaseTarget, run: str) -> Iterator[SourceLook]:
    """A connection to the source.

    Raises TargetError where the source does not answer, and FenceRefusedError where a statement is
    wrong by now, because somebody else has dropped or altered a table.
    """
    with source_look(target, run) as look:
        try:
            yield look
        except look.failures as error:
            if look.silent(error):
                raise
            reason = str(error).strip().partition("\n")[0]
            raise FenceRefusedError(f"fences could not be written: {reason}") from error


class CustomerFences:
    """Writes fences to the source tables, each in a transaction of its own; the database's capture
    decides their partitions.
    """

    def __init__(self, run: str, target: DatabaseTarget, now_us: Callable[[], int]) -> None:
        self._run, self._target, self._now_us = run, target, now_us
        self._keys: set[int] = set()

    def __call__(self, count: int) -> set[int]:
        """Write this many more to each table; returns the keys of all."""
        target, form = self._target, form_of(self._target.kind)
        with _writing(target, self._run) as look:
            for table in target.tables:
                name = quoted_name(target.schema, table)
                for _ in range(count):
                    change = fence(self._run, len(self._keys) + 1, self._now_us())
                    look.execute(statement(change, name, form))
                    self._keys.add(change.key)
        return self._keys


class TableFences:
    """Writes fences to the user's own tables, each in a transaction of its own and in the tables'
    order, because rows of later tables may refer to the first fence of an earlier one.
    """

    def __init__(
        self,
        run: str,
        target: DatabaseTarget,
        now_us: Callable[[], int],
        custom: CustomRow | None,
    ) -> None:
        self._run, self._target, self._now_us = run, target, now_us
        self._rows = [TableRows(run, WRITER, [plan], custom=custom) for plan in target.plans]
        self._keys: set[int] = set()

    def __call__(self, count: int) -> set[int]:
        """Write this many more to each table; returns the keys of all."""
        with _writing(self._target, self._run) as look:
            for _ in range(count):
                for plan, rows in zip(self._target.plans, self._rows, strict=True):
                    number = len(self._keys) + 1
                    key = fence_key(number)
                    rows.begin(number, 1, self._now_us())
                    row = self._row(rows, key, number)
                    look.execute(insert(plan, [row]))
                    self._keys.add(key)
        return self._keys

    def _row(self, rows: TableRows, key: int, number: int) -> TableRow:
        """A fence; raises HarnessError if the user's own code fails to make it."""
        try:
            return rows.row(key, 1, Operation.FENCE, number, 0)
        except Exception as error:
            raise HarnessError(
                f"row() of the locustfile failed: {type(error).__name__}: {error}"
            ) from error


class TopicFences:
    """Produces fences straight to the topics, one into each partition by number."""

    def __init__(self, run: str, producer: AvroProducer, now_us: Callable[[], int]) -> None:
        self._run, self._producer, self._now_us = run, producer, now_us
        self._keys: set[int] = set()

    def __call__(self, _count: int) -> set[int]:
        """Write one more into each partition; returns the keys of all."""
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
            time.sleep(POLL_S)  # Locust has patched sleep, so other lanes go on
        return self._keys
