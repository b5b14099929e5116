"""Reads a replication slot in batches, and confirms only what is durable downstream."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace

import psycopg
import structlog

from infra.platform.process.error import PlatformError, UnreachableError
from infra.platform.wal.error import HistoryError, SetupError, SlotGoneError
from infra.platform.wal.replication import position as life
from infra.platform.wal.replication import requirement, slot
from infra.platform.wal.replication.confirmation import STATUS_S, Confirmation
from infra.platform.wal.replication.intake import HoldingIntake, Intake
from infra.platform.wal.replication.journal import Position
from infra.platform.wal.replication.patience import Patience, is_passing
from infra.platform.wal.replication.position import CommitMark, Resume
from infra.platform.wal.replication.pump import Pump, TransactionChunk
from infra.platform.wal.replication.session import ReplicationSession
from infra.platform.wal.replication.timeline import TimelineWatch
from infra.replication.connection import SILENCE_S, ReplicationConnection, ServerIdentity
from infra.replication.error import BusyError, ReplicationError, StreamError
from infra.replication.stream import ReplicationStream, StreamRequest, lsn_text

logger = structlog.get_logger()

READ_MESSAGES = 2_000
WAIT_S = 0.05
STOP_S = 30.0
#: Within this time the server notices that a reader was killed.
RELEASE_S = 3.0
#: A failure is shown from the second time on; a single one often cures itself.
SHOWN_FAILURES = 2


@dataclass(frozen=True, slots=True)
class ReaderSettings:
    """Where to read, how often, how long to retry, and what to do about a gap."""

    dsn: str
    slot: str
    publication: str
    coalesce_s: float = 0.004
    reconnect_s: float = 60.0
    held: bool = False
    silence_s: float = SILENCE_S
    skip_gaps: bool = False
    streaming: bool = False
    spill_bytes: int = 10_000_000_000


class WalReader:
    """Takes changes from the slot and gives them to the pump, transaction by transaction in commit
    order.

    When the pump is full, the reader stops reading, and the slot keeps the WAL. A broken connection
    is made again from the last transaction that was taken completely. The server must send that one
    once more, which proves that its history is still the same. `run` needs a thread of its own; all
    other methods may be called from any thread.
    """

    def __init__(
        self,
        settings: ReaderSettings,
        pump: Pump,
        position: Position,
        now_us: Callable[[], int],
    ) -> None:
        self.streaming = threading.Event()
        self.failure: Exception | None = None
        self.messages = self.bytes = self.transactions = 0
        self.connections = self.pauses = self.gaps = 0
        self.paused = False
        self._settings = settings
        self._pump = pump
        self._position = position
        self._now_us = now_us
        self._stopping = threading.Event()
        self._begun = threading.Event()
        if not settings.held:
            self._begun.set()
        self._intake = Intake()
        self._confirmation = Confirmation(pump, position)
        self._patience = Patience(settings.reconnect_s, time.monotonic)
        self._ended_by: Exception | None = None
        self._progress_lsn = 0

    @property
    def confirmed_lsn(self) -> int:
        """The last position that was confirmed to the server."""
        return self._confirmation.lsn

    @property
    def confirmations(self) -> int:
        """How often a new position was confirmed."""
        return self._confirmation.count

    @property
    def trouble(self) -> str:
        """The failure that repeats at present; empty if there is none."""
        patience = self._patience
        return patience.trouble if patience.failures >= SHOWN_FAILURES else ""

    @property
    def spilled_bytes(self) -> int:
        """The bytes that transactions in progress hold in temporary files."""
        intake = self._intake
        return intake.assembler.spilled_bytes if isinstance(intake, HoldingIntake) else 0

    def begin(self) -> None:
        """Start to read, if the settings say to wait for this call."""
        self._begun.set()

    def stop(self) -> None:
        """Take no more; `run` returns when everything held is durable and confirmed."""
        self._stopping.set()

    def fail(self, error: Exception) -> None:
        """End `run` with this error, which a watcher of the source has found."""
        self._ended_by = self._ended_by or error

    def run(self) -> None:
        """Read until `stop`, or until a permanent failure, which is then in `failure`."""
        try:
            while not self._stopping.is_set():
                self._run_session()
            self._pump.stop(STOP_S)  # returns at once if the last session ended normally
            self._check_pump()
        except (PlatformError, ReplicationError, psycopg.Error, OSError) as failure:
            self.failure = failure
            logger.exception("platform.reader.failed")

    def _run_session(self) -> None:
        """One session from its connection to its end; pauses after a failure that may pass."""
        stream = None
        since_s = 0.0
        try:
            stream = self._connect()
            since_s = time.monotonic()
            self._read(stream)
        except HistoryError as error:
            self._skip_gap(error)
        except (StreamError, UnreachableError, psycopg.Error) as error:
            if self._stopping.is_set():
                if stream is None:
                    raise UnreachableError(str(error).strip()) from error
                return
            if stream is not None and self._was_healthy(error, since_s):
                self._patience.progress()
            self._pause_after(error)

    def _was_healthy(self, error: Exception, since_s: float) -> bool:
        """Whether a session that broke had lasted long, so that the server is reachable.

        The server's own refusals do not count as healthy, however long the session lasted.
        """
        long_s = max(self._settings.reconnect_s, STATUS_S)
        return not getattr(error, "sqlstate", None) and time.monotonic() - since_s > long_s

    def _pause_after(self, error: Exception) -> None:
        """Wait before the next attempt; raises if retrying is over."""
        said = str(error).strip()
        code = getattr(error, "sqlstate", None) or ""
        pause_s = self._patience.pause_s(said, code, self._limit_s(error))
        if pause_s is not None:
            logger.warning("platform.reader.reconnecting", error=said, sqlstate=code)
            self._stopping.wait(pause_s)
        elif isinstance(error, BusyError):
            raise SlotGoneError(said) from error
        elif not is_passing(code):
            raise SetupError(f"{said} (SQLSTATE {code})") from error
        else:
            raise UnreachableError(said) from error

    def _limit_s(self, error: Exception) -> float | None:
        """How long to retry, in seconds: a first session has no progress to wait for again, but its
        slot may be about to be released.
        """
        if self.connections:
            return None
        return RELEASE_S if isinstance(error, BusyError) else 0.0

    def _connect(self) -> ReplicationStream:
        settings = self._settings
        connection = ReplicationConnection(settings.dsn, settings.silence_s)
        try:
            place = self._position.place
            server = connection.identify(place.timeline if place is not None else 0)
            found = self._found_slot()
            resume = self._resume(server, found)
            self._intake = self._new_intake(resume.first, found.two_phase)
            timeline = TimelineWatch(settings.dsn, settings.silence_s, server)
            self._confirmation.begin(server.end_lsn, found.confirmed_lsn, timeline)
            request = StreamRequest(
                settings.slot,
                settings.publication,
                resume.start_lsn,
                streaming=settings.streaming,
            )
            stream = ReplicationStream(connection, request)
        except BaseException:
            connection.pg.finish()
            raise
        self.connections += 1
        self.streaming.set()
        logger.info(
            "platform.reader.streaming",
            slot=settings.slot,
            start=lsn_text(resume.start_lsn),
            timeline=server.timeline,
        )
        return stream

    def _found_slot(self) -> slot.Slot:
        """The slot, checked, and read by nobody else."""
        settings = self._settings
        with closing(slot.connect(settings.dsn)) as catalogue:
            known = self._position.place is not None
            found = requirement.check_slot(catalogue, settings.slot, known)
        if found.active_pid is not None:
            raise BusyError(
                f"slot {settings.slot!r} is active for pid {found.active_pid}; stop that process or"
                " choose another slot"
            )
        return found

    def _resume(self, server: ServerIdentity, found: slot.Slot) -> Resume:
        """Check that slot and position belong together; raises HistoryError for a gap."""
        requirement.check_place(self._position.place, server, found)
        self._position.settle(server, found.confirmed_lsn)
        assert self._position.place is not None
        # What is still being published was taken already, although it is not confirmed yet.
        last = self._pump.taken or self._position.place.last
        resume = life.resume_from(last, found.confirmed_lsn)
        # Transactions that were prepared before that one are sent again only from the slot's own
        # position.
        return replace(resume, start_lsn=0) if found.two_phase else resume

    def _new_intake(self, first: CommitMark | None, two_phase: bool) -> Intake:
        self._intake.close()
        settings = self._settings
        if settings.streaming or two_phase:
            return HoldingIntake(first, self._pump.bound.bytes, settings.spill_bytes)
        return Intake(first)

    def _skip_gap(self, error: HistoryError) -> None:
        """Continue behind a gap if the settings allow that; otherwise raise the error."""
        if not self._settings.skip_gaps:
            raise requirement.with_remedy(error)
        self.gaps += 1
        logger.error("platform.reader.gap_skipped", error=str(error), gaps=self.gaps)
        while not self._pump.drained and not self._stopping.is_set():
            self._check_pump()
            self._pump.await_drained(WAIT_S)
        self._pump.forget()
        self._position.forget()

    def _read(self, stream: ReplicationSession) -> None:
        """Read one session to its end: by a stop, or by a broken connection."""
        try:
            while not self._stopping.is_set():
                self._check_pump()
                self._step(stream)
            self._finish(stream)
        finally:
            self.paused = False
            self._confirmation.end()
            stream.close()

    def _step(self, stream: ReplicationSession) -> None:
        if self._ended_by is not None:
            raise self._ended_by
        if not self._begun.is_set():
            self._confirmation.report(stream, self._intake)
            self._begun.wait(WAIT_S)
            stream.rest()
            return
        room = self._pump.room()
        if not room:
            self._hold_back(stream)
            return
        messages = stream.read(min(room, READ_MESSAGES))
        if messages:
            self._take(stream, messages)
        else:
            stream.check_silence()
            self._check_proof(stream)
        self._confirmation.report(stream, self._intake)
        if not messages:
            stream.wait(WAIT_S)
        elif not stream.more:
            # Reading at once would wake the server for every change, which halves its throughput.
            time.sleep(self._settings.coalesce_s)

    def _hold_back(self, stream: ReplicationSession) -> None:
        """Read nothing until there is room; the server still gets signs of life."""
        self.paused = True
        self.pauses += 1
        while not self._pump.room() and not self._stopping.is_set():
            self._check_pump()
            self._confirmation.report(stream, self._intake)
            self._pump.await_room(WAIT_S)
        self.paused = False
        stream.rest()

    def _take(self, stream: ReplicationSession, messages: list[bytes]) -> None:
        """Pass on the messages in chunks; a transaction that was held may have to wait for room."""
        for number, chunk in enumerate(self._intake.take(messages, self._now_us())):
            if number and not self._pump.room():
                self._hold_back(stream)
            self._put(chunk)
        self.messages += len(messages)
        self.bytes += sum(map(len, messages))

    def _put(self, chunk: TransactionChunk) -> None:
        self._pump.put(chunk)
        if chunk.mark is None:
            return
        self.transactions += self._intake.transactions
        self._intake.transactions = 0
        self._confirmation.reach(chunk.mark.end_lsn)
        if chunk.mark.end_lsn > self._progress_lsn:
            self._progress_lsn = chunk.mark.end_lsn
            self._patience.progress()

    def _check_proof(self, stream: ReplicationSession) -> None:
        """Raise HistoryError if the server has passed the position of a transaction that was
        published before, without sending it.
        """
        last = self._pump.taken or (self._position.place and self._position.place.last)
        if self._intake.proving and last and stream.idle_lsn >= last.end_lsn:
            raise HistoryError(
                f"transaction {last.source.xid}, published before from"
                f" {lsn_text(last.source.lsn)}, is not in the server's WAL"
            )
        if not self._intake.proving and stream.idle_lsn > self._progress_lsn:
            self._progress_lsn = stream.idle_lsn
            self._patience.progress()

    def _finish(self, stream: ReplicationSession) -> None:
        """Wait until everything taken is durable, and confirm it."""
        if self._pump.stop(STOP_S):
            self._confirmation.finish(stream, self._intake)

    def _check_pump(self) -> None:
        failure = self._pump.failure
        if isinstance(failure, PlatformError | ReplicationError):
            raise failure
        if failure is not None:
            raise PlatformError(
                f"publishing failed: {type(failure).__name__}: {failure}"
            ) from failure

    def snapshot(self) -> dict[str, object]:
        """Position, counters and whether the slot has to hold the backlog, as plain data."""
        place = self._position.place
        return {
            "slot": self._settings.slot,
            "confirmed_lsn": lsn_text(self.confirmed_lsn),
            "timeline": place.timeline if place is not None else 0,
            "durable_lsn": lsn_text(self._pump.durable_lsn),
            "taken_lsn": lsn_text(self._pump.taken_lsn),
            "messages": self.messages,
            "bytes": self.bytes,
            "transactions": self.transactions,
            "connections": self.connections,
            "confirmations": self.confirmations,
            "gaps": self.gaps,
            "spilled_bytes": self.spilled_bytes,
            "paused": self.paused,
            "pauses": self.pauses,
        }
