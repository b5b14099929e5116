"""Tells the server what it may discard: everything up to the end of what is durable downstream."""

from __future__ import annotations

import time

from infra.platform.wal.replication.intake import Intake
from infra.platform.wal.replication.journal import Position
from infra.platform.wal.replication.pump import Pump
from infra.platform.wal.replication.session import ReplicationSession
from infra.platform.wal.replication.timeline import TimelineWatch

# A confirmation is one small write to the state file and one message; the interval is part of the
# bound on repeated events.
CONFIRM_S = 0.1
STATUS_S = 5.0


class Confirmation:
    """Confirms one slot's positions over all sessions, and journals each position before it is
    sent.

    A position is journalled with its timeline, so `begin` must be a session's first call.
    """

    def __init__(self, pump: Pump, position: Position) -> None:
        self.count = 0
        self._pump = pump
        self._position = position
        self._timeline: TimelineWatch | None = None
        #: The highest position in the server's WAL that this session has seen.
        self._reach_lsn = 0
        #: The slot's position when this session began.
        self._slot_lsn = 0
        self._confirmed_s = self._status_s = 0.0

    @property
    def lsn(self) -> int:
        """The last position that was confirmed to the server."""
        return self._position.lsn or 0

    def begin(self, end_lsn: int, slot_lsn: int, timeline: TimelineWatch) -> None:
        """A session begins: the end of the server's WAL, and the slot's position."""
        self._timeline = timeline
        self._reach_lsn = end_lsn
        self._slot_lsn = slot_lsn

    def end(self) -> None:
        """The session has ended."""
        if self._timeline is not None:
            self._timeline.close()

    def reach(self, lsn: int) -> None:
        """Note that the server's WAL reaches at least this position."""
        self._reach_lsn = max(self._reach_lsn, lsn)

    def report(self, stream: ReplicationSession, intake: Intake) -> None:
        """Confirm what has become durable, if it is time or the server asks."""
        now_s = time.monotonic()
        if not stream.asked and now_s - self._confirmed_s < CONFIRM_S:
            return
        self._confirmed_s = now_s
        lsn = self._confirmable(stream, intake)
        moved = lsn > self.lsn
        status_s = min(STATUS_S, stream.silence_s / 6)
        if not moved and not stream.asked and now_s - self._status_s < status_s:
            return
        self._confirm(stream, intake, lsn)
        self._status_s = now_s

    def finish(self, stream: ReplicationSession, intake: Intake) -> None:
        """Confirm all that is durable, now."""
        self._confirm(stream, intake, self._confirmable(stream, intake))

    def _confirmable(self, stream: ReplicationSession, intake: Intake) -> int:
        """The end of the last durable transaction; if nothing is held, the position up to which the
        server has looked.
        """
        pump = self._pump
        if intake.proving:
            # Our position may belong to another history, and the slot must not be moved there.
            return self._slot_lsn
        if not intake.open and pump.drained:
            return max(pump.durable_lsn, stream.idle_lsn, self._slot_lsn)
        return max(pump.durable_lsn, self._slot_lsn)

    def _confirm(self, stream: ReplicationSession, intake: Intake, lsn: int) -> None:
        self.reach(stream.idle_lsn)
        # A slot that is moved beyond the server's WAL would skip everything written up to there.
        lsn = min(lsn, self._reach_lsn)
        if intake.hold_lsn is not None:
            lsn = min(lsn, intake.hold_lsn)
        durable = self._pump.durable
        place = self._position.place
        if lsn > self.lsn or (durable and place and durable != place.last):
            assert self._timeline is not None, "a session begins with its server's timeline"
            timeline = self._timeline.look()
            self._position.move(max(lsn, self.lsn), durable, timeline)
            self.count += 1
        stream.confirm(min(max(lsn, self._pump.taken_lsn), self._reach_lsn), lsn)
