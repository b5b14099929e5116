"""The tap on a sink's table by the log of the sink's own database (logical decoding).

It sees each write that the sink committed, in commit order and with the commit's own time. Repeats,
changed orders and deletes therefore show as they happened; the table tap (postgres.py) sees only
the table's contents at each look.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from threading import Event, Thread
from typing import Any

import numpy as np
import psycopg
from numpy.typing import NDArray
from typing_extensions import override

from cdc_users.measure.clock import Anchor
from cdc_users.measure.ledger.bitmap import Numbers
from cdc_users.measure.ledger.ledger import RowCheck
from cdc_users.measure.ledger.probe import LAYOUT
from cdc_users.measure.offset import ONE_CLOCK, ClockOffset, asked_offset
from cdc_users.observe.declaration import TapDeclaration
from cdc_users.observe.events.table import ObservedTable, observed_tables, table_of
from cdc_users.observe.events.torn import TornTransactions
from cdc_users.observe.message import TapPlace
from cdc_users.observe.settings import PostgresLogSettings, listed_tables
from cdc_users.observe.tap import Events, ObservedRecord, Tap, TapError, end_thread
from infra.avro.kind import UNAVAILABLE
from infra.replication.error import StreamError
from infra.replication.pgoutput import event as log
from infra.replication.pgoutput.decoder import PgOutputDecoder
from infra.replication.pgoutput.form import LazyChange, LazyForm
from infra.replication.pgoutput.value import CATALOGUE, ValueKinds
from infra.replication.stream import ReplicationStream, StreamRequest

CONNECT_S = 10
#: How many messages are read at a time.
AT_A_TIME = 20_000
#: A reader that wakes up for every change slows the server down. The pause is in no latency,
#: because latencies end at the commit.
PAUSE_S = 0.005
CONFIRM_S = 1.0
#: The pause before the tap connects again to a server that went away.
AGAIN_S = 0.5
_OPERATION, _STAMP = LAYOUT["operation"][0], b"s"
_TIME = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint"


@dataclass(slots=True)
class LogRows:
    """Writes to one table as the log has them, by columns of equal length."""

    keys: list[int] = field(default_factory=list)
    probes: list[bytes] = field(default_factory=list)
    deleted: list[bool] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    checks: list[int] = field(default_factory=list)
    #: Each write's transaction: its commit's position, and its time by the sink's clock.
    commits: list[int] = field(default_factory=list)
    committed_us: list[int] = field(default_factory=list)


class LogReader:
    """Turns pgoutput's messages into rows, one whole transaction at a time. Not thread-safe.

    A new session repeats what was not confirmed; transactions that were taken before are left out.
    """

    def __init__(self, settings: PostgresLogSettings, kinds: ValueKinds | None = None) -> None:
        self.settings = settings
        self.transactions = self.truncates = 0
        #: Where the last complete transaction was committed, and what may be confirmed.
        self.taken_lsn = self.end_lsn = 0
        self._values = kinds
        names, tables = listed_tables(settings.table), observed_tables(settings)
        # One table may take the rows of several, which then have one layout.
        self._layouts = tables if len(names) > 1 else tables[:1]
        self._tables = dict(zip(names, self._layouts, strict=False))
        self._until_check = 0
        self._begin: log.Begin | None = None
        self.renew()

    def renew(self) -> None:
        """Begin another session, in which the server describes tables again."""
        self._decoder = PgOutputDecoder(LazyForm(self._values))
        self._end()

    def _end(self) -> None:
        self._rows, self._begin = LogRows(), None
        self._stamps: dict[int, bytes] = {}

    @property
    def open(self) -> bool:
        """Whether a transaction has begun and not ended yet."""
        return self._begin is not None

    def take(self, messages: Sequence[bytes]) -> LogRows:
        """The rows of all transactions that end in these messages; raises DecodeError."""
        done = LogRows()
        for event in self._decoder.decode_many(messages):
            if isinstance(event, LazyChange):
                self._change(event)
            elif isinstance(event, log.Begin):
                self._begin = event
            elif isinstance(event, log.Commit):
                self._commit(event, done)
            elif isinstance(event, log.Truncate) and self._is_new:
                self.truncates += 1
        return done

    @property
    def _is_new(self) -> bool:
        return self._begin is not None and self._begin.commit_lsn > self.taken_lsn

    def _commit(self, commit: log.Commit, done: LogRows) -> None:
        if self._is_new:
            for name in LogRows.__slots__:
                getattr(done, name).extend(getattr(self._rows, name))
            self.transactions += 1
            self.taken_lsn = commit.commit_lsn
        self.end_lsn = max(self.end_lsn, commit.end_lsn)
        self._end()

    def _change(self, change: LazyChange) -> None:
        if self._begin is None or not self._is_new:
            return
        rows, relation = self._rows, change.relation
        deleted = change.operation == "D"
        row = _row(change.text(), relation.names)
        # A partition has a name of its own.
        table = self._tables.get(f"{relation.schema}.{relation.table}") or table_of(
            self._layouts, row
        )
        key = table.number_of(row)
        rows.keys.append(key)
        rows.probes.append(self._probe(key, row.get(table.probe), deleted))
        rows.deleted.append(deleted)
        rows.sizes.append(len(change.message))
        rows.checks.append(self._check(change, table, key, rows.probes[-1]))
        rows.commits.append(self._begin.commit_lsn)
        rows.committed_us.append(self._begin.commit_us)

    def _probe(self, key: int, value: Any, deleted: bool) -> bytes:
        """A row's probe; for a delete that has only the key, the stamp in the same transaction."""
        probe = value.encode() if isinstance(value, str) else b""
        if deleted:
            return probe or self._stamps.pop(key, b"")
        if probe[_OPERATION:][:1] == _STAMP:
            self._stamps[key] = probe
        return probe

    def _check(self, change: LazyChange, table: ObservedTable, key: int, probe: bytes) -> RowCheck:
        if not self.settings.check_every:
            return RowCheck.SKIPPED
        self._until_check -= 1
        if self._until_check >= 0 or not probe:
            return RowCheck.SKIPPED
        self._until_check = self.settings.check_every - 1
        row = _row(change.values(), change.relation.names)
        values = [_sent(row.get(name, UNAVAILABLE)) for name in table.kinds]
        return table.check(probe, key, values)


def _row(change: log.ChangeMessage, names: tuple[str, ...]) -> dict[str, object]:
    """A change's row by column: the new one; for a delete the old one, or only its key."""
    if not isinstance(change, log.Delete):
        return dict(zip(names, change.after, strict=True))
    if change.before is not None:
        return dict(zip(names, change.before, strict=True))
    key = change.key or ()
    places = change.relation.key_positions
    return {names[place]: value for place, value in zip(places, key, strict=False)}


def _sent(value: Any) -> Any:
    return UNAVAILABLE if value is log.UNCHANGED else value


def _server_time_us(connection: psycopg.Connection[Any]) -> int:
    row = connection.execute(_TIME).fetchone()
    return int(row[0]) if row else 0


class PostgresLogTap(Tap):
    """The tap: a thread that reads the slot and takes in whole transactions.

    An event is visible when its commit is: at the server's own time just before the commit is
    flushed, converted to this machine's clock. The tap waits for a sink that goes away. Without its
    slot the tap is blind, and ends.
    """

    kind = "postgres-log"

    def __init__(self, settings: PostgresLogSettings, run: str, anchor: Anchor) -> None:
        self.record = ObservedRecord(run)
        self._settings = settings
        self._anchor = anchor
        self._reader = LogReader(settings)
        self._torn = TornTransactions(run)
        self._clock: ClockOffset = ONE_CLOCK
        self._sessions = 0
        self._stop = Event()
        self._thread: Thread | None = None

    @override
    def start(self) -> TapPlace:
        try:
            self._prepare()
            stream = self._open()
        except (psycopg.Error, StreamError) as error:
            place = f"{self._settings.table} by slot {self._settings.slot!r}"
            raise TapError(f"the sink's log cannot be read ({place}): {error}") from error
        self._thread = Thread(
            target=self._run, args=(stream,), name="postgres log tap", daemon=True
        )
        self._thread.start()
        return TapPlace()

    def _prepare(self) -> None:
        """Learn the sink's own types, and how far its clock is ahead of ours."""
        kinds = ValueKinds()
        with closing(
            psycopg.connect(self._settings.dsn, connect_timeout=CONNECT_S, autocommit=True)
        ) as connection:
            kinds.learn_catalogue(connection.execute(CATALOGUE).fetchall())
            found = asked_offset(lambda: _server_time_us(connection), self._anchor.now_us)
        self._clock = ONE_CLOCK if found.same else found
        self._reader = LogReader(self._settings, kinds)

    def _open(self) -> ReplicationStream:
        self._reader.renew()
        self._sessions += 1
        settings = self._settings
        request = StreamRequest(settings.slot, settings.publication, self._reader.end_lsn)
        return ReplicationStream.open(settings.dsn, request)

    def _run(self, stream: ReplicationStream) -> None:
        while not self._stop.is_set():
            try:
                self._read(stream)
            except StreamError as error:
                self.record.fail(f"the sink's log broke off: {error}", 0)
            finally:
                stream.close()
            again = None if self._stop.is_set() else self._reopened()
            if again is None:
                return
            stream = again

    def _reopened(self) -> ReplicationStream | None:
        """A new session, once the server answers; None if the tap is stopped before."""
        while not self._stop.wait(AGAIN_S):
            try:
                return self._open()
            except StreamError as error:
                # undefined_object: the slot is gone, so the tap is blind.
                if error.sqlstate == "42704":
                    raise
                self.record.fail(f"the sink's log cannot be read: {error}", 0)
        return None

    def _read(self, stream: ReplicationStream) -> None:
        """Read until the tap is stopped; raises StreamError."""
        confirmed_s = time.monotonic()
        while not self._stop.is_set():
            messages = stream.read(AT_A_TIME)
            self._take(messages)
            stream.check_silence()
            now_s = time.monotonic()
            if stream.asked or stream.overdue or now_s - confirmed_s > CONFIRM_S:
                confirmed_s = now_s
                lsn = max(
                    self._reader.end_lsn,
                    0 if self._reader.open or messages else stream.idle_lsn,
                )
                stream.confirm(lsn, lsn)
            if not stream.more:
                self._stop.wait(PAUSE_S)
                stream.wait(0.1)

    def _take(self, messages: Sequence[bytes]) -> None:
        if not messages:
            return
        rows = self._reader.take(messages)
        if rows.keys:
            events = self._events(rows)
            self._torn.take(events)
            self.record.take(events)

    def _events(self, rows: LogRows) -> Events:
        def numbers(values: Sequence[int]) -> Numbers:
            return np.array(values, dtype=np.int64)

        checks: NDArray[np.uint8] | None = None
        if self._settings.check_every:
            checks = np.array(rows.checks, dtype=np.uint8)
        return Events(
            partition=0,
            positions=numbers(rows.commits),
            keys=numbers(rows.keys),
            probes=rows.probes,
            deleted=np.array(rows.deleted, dtype=np.bool_),
            sizes=numbers(rows.sizes),
            committed_us=np.zeros(len(rows.keys), dtype=np.int64),
            seen_us=self._anchor.now_us(),
            visible_us=numbers(rows.committed_us) - self._clock.offset_us,
            checks=checks,
        )

    @override
    def stop(self) -> None:
        end_thread(self._stop, self._thread)

    @override
    def gauges(self) -> dict[str, object]:
        return {
            "transactions": self._reader.transactions,
            "torn_transactions": self._torn.count,
            "truncates": self._reader.truncates,
            "sessions": self._sessions,
            "clock_ahead_us": self._clock.offset_us,
        }


POSTGRES_LOG_TAP = TapDeclaration(
    "postgres-log",
    make=PostgresLogTap,
    settings=PostgresLogSettings,
    needs=("dsn", "table", "slot", "publication"),
)
