"""Reads a replication slot in coalesced batches and confirms what is durable downstream, and
nothing else.
"""

from __future__ import annotations

import struct
import threading
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import psycopg2
import structlog

from infra.platform.process.error import PlatformError, UnreachableError
from infra.platform.wal.error import SlotGoneError
from infra.platform.wal.replication import slot as server
from infra.platform.wal.replication.journal import Position
from infra.platform.wal.replication.pump import Pump, TransactionChunk, TransactionPart
from infra.platform.wal.serialise.change_json import CommitSource
from infra.replication.error import BusyError, ReplicationError, StreamError
from infra.replication.stream import POSTGRES_EPOCH_US, ReplicationStream, lsn_text

logger = structlog.get_logger()

# PostgreSQL documentation, "Logical Replication Message Formats". All that the reader itself looks
# at.
BEGIN, COMMIT = ord("B"), ord("C")
BEGIN_FIELDS = struct.Struct(">QqI")
COMMIT_END = struct.Struct(">Q")
COMMIT_END_OFFSET = 10
READ_MESSAGES = 2_000
WAIT_S = 0.05
# A confirmation is one small write to the state file and one message; the bound on repeated events
# has it as a term.
CONFIRM_S = 0.1
STATUS_S = 5.0
RECONNECT_FIRST_S = 0.1
RECONNECT_MOST_S = 1.0
STOP_S = 30.0
#: The server notices within this that a reader was killed.
RELEASE_S = 3.0


@dataclass(frozen=True, slots=True)
class ReaderSettings:
    """Where to read, how eagerly, and how long to try again."""

    dsn: str
    slot: str
    publication: str
    coalesce_s: float = 0.004
    reconnect_s: float = 60.0
    held: bool = False


class WalReader:
    """Takes changes from the slot and hands them to the pump, transaction by transaction in commit
    order.

    Protocol version 1: the server sends whole, committed transactions, so no change is ever taken
    back and none is held until its transaction's end. When the pump is full the reader stops
    reading, and the slot keeps the WAL. A connection that breaks is made again, from the end of
    the last transaction that was taken over whole. `run` belongs to a thread of its own; the rest
    may be asked from any.
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
        self.connections = self.pauses = self.confirmations = 0
        self.paused = False
        self._settings = settings
        self._pump = pump
        self._position = position
        self._now_us = now_us
        self._stopping = threading.Event()
        self._begun = threading.Event()
        if not settings.held:
            self._begun.set()
        self._source = CommitSource(0, 0, 0)
        self._open = False
        self._confirmed_s = self._status_s = 0.0

    @property
    def confirmed_lsn(self) -> int:
        """The last position that the server was told."""
        return self._position.lsn or 0

    def begin(self) -> None:
        """Start to read, where the settings said to wait for this."""
        self._begun.set()

    def stop(self) -> None:
        """Take nothing more; `run` returns when what is held is durable and confirmed."""
        self._stopping.set()

    def run(self) -> None:
        """Read until `stop`, or until something failed for good, which is in `failure` then."""
        try:
            while not self._stopping.is_set():
                self._session(self._connected())
            self._pump.stop(STOP_S)  # at once where the last session has ended in order
            self._check_pump()
        except (PlatformError, ReplicationError, psycopg2.Error, OSError) as failure:
            self.failure = failure
            logger.exception("platform.reader.failed")

    def _connected(self) -> ReplicationStream:
        """A session, tried again and again for a while: a server that restarts comes back."""
        started_s = time.monotonic()
        wait_s = RECONNECT_FIRST_S
        while True:
            try:
                return self._connect()
            except (StreamError, UnreachableError, psycopg2.Error) as error:
                if self._stopping.is_set() or time.monotonic() - started_s > self._patience_s(
                    error
                ):
                    raise (
                        SlotGoneError(str(error))
                        if isinstance(error, BusyError)
                        else UnreachableError(str(error).strip())
                    ) from error
                logger.warning("platform.reader.reconnecting", error=str(error).strip())
            self._stopping.wait(wait_s)
            wait_s = min(wait_s * 2, RECONNECT_MOST_S)

    def _patience_s(self, error: Exception) -> float:
        """How long to try again: the first session has no past to wait for, but its slot may just
        be let go of.
        """
        if self.connections:
            return self._settings.reconnect_s
        return RELEASE_S if isinstance(error, BusyError) else 0.0

    def _connect(self) -> ReplicationStream:
        settings = self._settings
        with closing(server.connect(settings.dsn)) as connection:
            slot = server.check_slot(connection, settings.slot, self._position.lsn)
        if self._position.lsn is None:
            self._position.move(slot.confirmed_lsn)
        if slot.active_pid is not None:
            raise BusyError(
                f"slot {settings.slot!r} is active for pid {slot.active_pid}; stop that process or"
                " choose another slot"
            )
        start_lsn = max(self._pump.taken_lsn, self.confirmed_lsn)
        stream = ReplicationStream(settings.dsn, settings.slot, settings.publication, start_lsn)
        self.connections += 1
        self.streaming.set()
        logger.info("platform.reader.streaming", slot=settings.slot, start=lsn_text(start_lsn))
        return stream

    def _session(self, stream: ReplicationStream) -> None:
        """Read one session to its end: a stop, or a connection that broke."""
        self._open = False
        try:
            while not self._stopping.is_set():
                self._check_pump()
                self._step(stream)
            self._finish(stream)
        except StreamError as error:
            if not self._stopping.is_set():
                logger.warning("platform.reader.disconnected", error=str(error))
        finally:
            self.paused = False
            stream.close()

    def _step(self, stream: ReplicationStream) -> None:
        if not self._begun.is_set():
            self._report(stream)
            self._begun.wait(WAIT_S)
            return
        room = self._pump.room()
        if not room:
            self._hold_back(stream)
            return
        messages = stream.read(min(room, READ_MESSAGES))
        if messages:
            self._take(messages)
        self._report(stream)
        if not messages:
            stream.wait(WAIT_S)
        elif not stream.more:
            # Reading at once wakes the server for every change, which halves what it can send.
            time.sleep(self._settings.coalesce_s)

    def _hold_back(self, stream: ReplicationStream) -> None:
        """Read nothing until there is room; the server is still told that we live."""
        self.paused = True
        self.pauses += 1
        while not self._pump.room() and not self._stopping.is_set():
            self._check_pump()
            self._report(stream)
            self._pump.await_room(WAIT_S)
        self.paused = False

    def _take(self, messages: list[bytes]) -> None:
        """Sort messages by transaction; what they say is the encoder's business."""
        read_us = self._now_us()
        parts: list[TransactionPart] = []
        end_lsn = 0
        start = -1  # before the first message of the open transaction
        for index, message in enumerate(messages):
            kind = message[0]
            if kind == BEGIN:
                lsn, commit_us, xid = BEGIN_FIELDS.unpack_from(message, 1)
                self._source = CommitSource(lsn, commit_us + POSTGRES_EPOCH_US, xid)
                self._open = True
                start = index
            elif kind == COMMIT:
                if index > start + 1:
                    parts.append(TransactionPart(self._source, messages[start + 1 : index]))
                (end_lsn,) = COMMIT_END.unpack_from(message, COMMIT_END_OFFSET)
                self._open = False
                self.transactions += 1
                start = index
        if len(messages) > start + 1:
            parts.append(TransactionPart(self._source, messages[start + 1 :]))
        size = sum(map(len, messages))
        self.messages += len(messages)
        self.bytes += size
        self._pump.put(TransactionChunk(parts, len(messages), size, read_us, end_lsn))

    def _report(self, stream: ReplicationStream) -> None:
        """Confirm what has become durable, when it is time or the server asks."""
        now_s = time.monotonic()
        if not stream.asked and now_s - self._confirmed_s < CONFIRM_S:
            return
        self._confirmed_s = now_s
        lsn = self._confirmable(stream)
        moved = lsn > self.confirmed_lsn
        if not moved and not stream.asked and now_s - self._status_s < STATUS_S:
            return
        self._confirm(stream, lsn)
        self._status_s = now_s

    def _confirmable(self, stream: ReplicationStream) -> int:
        """The end of the last durable transaction; where nothing is held, as far as the server has
        looked.
        """
        pump = self._pump
        if not self._open and pump.idle and pump.taken_lsn == pump.durable_lsn:
            return max(pump.durable_lsn, stream.idle_lsn, self.confirmed_lsn)
        return max(pump.durable_lsn, self.confirmed_lsn)

    def _confirm(self, stream: ReplicationStream, lsn: int) -> None:
        if lsn > self.confirmed_lsn:
            self._position.move(lsn)
            self.confirmations += 1
        stream.confirm(max(lsn, self._pump.taken_lsn), lsn)

    def _finish(self, stream: ReplicationStream) -> None:
        """Wait until all that was taken is durable, and confirm it."""
        if self._pump.stop(STOP_S):
            self._confirm(stream, self._confirmable(stream))

    def _check_pump(self) -> None:
        failure = self._pump.failure
        if isinstance(failure, PlatformError | ReplicationError):
            raise failure
        if failure is not None:
            raise PlatformError(
                f"publishing failed: {type(failure).__name__}: {failure}"
            ) from failure

    def snapshot(self) -> dict[str, Any]:
        """Position, counters and whether the slot takes the lag, as plain data."""
        return {
            "slot": self._settings.slot,
            "confirmed_lsn": lsn_text(self.confirmed_lsn),
            "durable_lsn": lsn_text(self._pump.durable_lsn),
            "taken_lsn": lsn_text(self._pump.taken_lsn),
            "messages": self.messages,
            "bytes": self.bytes,
            "transactions": self.transactions,
            "connections": self.connections,
            "confirmations": self.confirmations,
            "paused": self.paused,
            "pauses": self.pauses,
        }
