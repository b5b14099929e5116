"""What the server is told that it may forget: no more than is durable, no less than before."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.platform.wal.replication import confirmation
from infra.platform.wal.replication.confirmation import Confirmation
from infra.platform.wal.replication.journal import Position
from infra.platform.wal.replication.position import CommitMark, Place
from infra.platform.wal.serialise.commit_source import CommitSource


def mark(end_lsn: int) -> CommitMark:
    return CommitMark(CommitSource(end_lsn - 1, 0, 7), end_lsn)


@dataclass
class Pump:
    """What was taken and what is durable."""

    durable: CommitMark | None = None
    taken: CommitMark | None = None

    @property
    def durable_lsn(self) -> int:
        return self.durable.end_lsn if self.durable else 0

    @property
    def taken_lsn(self) -> int:
        return self.taken.end_lsn if self.taken else 0

    @property
    def drained(self) -> bool:
        return self.taken == self.durable


@dataclass
class Session:
    """A session; `told` has what it was confirmed, as written and durable positions."""

    idle_lsn: int = 0
    asked: bool = False
    silence_s: float = 30.0
    told: list[tuple[int, int]] = field(default_factory=list)

    def confirm(self, written_lsn: int, durable_lsn: int) -> None:
        self.told.append((written_lsn, durable_lsn))


@dataclass
class Intake:
    """Whether a transaction is open, must still prove that the history is the same, or waits."""

    open: bool = False
    proving: bool = False
    hold_lsn: int | None = None


@dataclass
class Timeline:
    number: int = 1
    closed: bool = False

    def look(self) -> int:
        return self.number

    def close(self) -> None:
        self.closed = True


def confirming(
    pump: Pump, slot_lsn: int = 100, end_lsn: int = 1_000, path: Path | None = None
) -> tuple[Confirmation, Position]:
    position = Position(path, "slot", "publication")
    position.place = Place("system", 1, slot_lsn)
    found = Confirmation(cast(Any, pump), position)
    found.begin(end_lsn, slot_lsn, cast(Any, Timeline()))
    return found, position


def finish(found: Confirmation, session: Session, intake: Intake | None = None) -> None:
    found.finish(cast(Any, session), cast(Any, intake or Intake()))


def test_the_end_of_the_last_durable_transaction_is_confirmed_and_journalled_before() -> None:
    pump = Pump(durable=mark(200), taken=mark(300))
    found, position = confirming(pump)
    session = Session()

    finish(found, session)

    assert session.told == [(300, 200)]
    assert (found.lsn, found.count) == (200, 1)
    assert position.place is not None
    assert (position.place.lsn, position.place.last) == (200, mark(200))


def test_where_nothing_is_held_it_is_as_far_as_the_server_has_looked() -> None:
    pump = Pump(durable=mark(200), taken=mark(200))
    found, _ = confirming(pump)
    session = Session(idle_lsn=450)

    finish(found, session)

    assert session.told == [(450, 450)]


@pytest.mark.parametrize(
    ("intake", "confirmed"),
    [
        (Intake(open=True), 200),
        (Intake(proving=True), 100),
        (Intake(hold_lsn=150), 150),
        (Intake(open=True, hold_lsn=150), 150),
    ],
)
def test_what_is_open_unproved_or_prepared_holds_it_back(intake: Intake, confirmed: int) -> None:
    found, _ = confirming(Pump(durable=mark(200), taken=mark(200)))
    session = Session(idle_lsn=450)

    finish(found, session, intake)

    assert session.told[-1][1] == confirmed


def test_nothing_beyond_the_servers_wal_is_confirmed_until_it_is_known_to_reach_there() -> None:
    """A slot that is pushed beyond it skips whatever is written up to there."""
    found, _ = confirming(Pump(durable=mark(200), taken=mark(200)), end_lsn=180)
    session = Session()
    finish(found, session)
    found.reach(250)
    finish(found, session)

    assert [durable for _, durable in session.told] == [180, 200]


def test_what_was_confirmed_of_an_idle_server_is_not_taken_back() -> None:
    """GIVEN a transaction that begins and becomes durable before where the server had looked."""
    pump = Pump(durable=mark(200), taken=mark(200))
    found, _ = confirming(pump)
    finish(found, Session(idle_lsn=900))
    pump.durable = pump.taken = mark(300)
    finish(found, Session(), Intake(open=True))

    assert found.lsn == 900


positions = st.integers(101, 900)


@given(
    st.lists(st.tuples(positions, st.sampled_from([0, 50]), positions, st.booleans()), max_size=8)
)
def test_the_journal_never_falls_and_is_never_ahead_of_what_is_durable(
    looks: list[tuple[int, int, int, bool]],
) -> None:
    """Whatever comes in between: open transactions, an idle server, several in flight."""
    pump = Pump()
    found, _ = confirming(pump)
    journalled = [found.lsn]
    for durable, more, idle, is_open in looks:
        pump.durable = mark(max(durable, pump.durable_lsn))
        pump.taken = mark(max(pump.durable_lsn + more, pump.taken_lsn))
        session = Session(idle_lsn=idle)
        finish(found, session, Intake(open=is_open))
        journalled.append(found.lsn)
        held = is_open or not pump.drained
        assert session.told[-1][1] <= (pump.durable_lsn if held else max(pump.durable_lsn, idle))
        assert session.told[-1][1] <= session.told[-1][0]

    assert journalled == sorted(journalled)


def test_it_is_reported_at_its_time_or_when_the_server_asks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = SimpleNamespace(monotonic=lambda: 50.0)
    monkeypatch.setattr(confirmation, "time", now)
    pump = Pump(durable=mark(200), taken=mark(200))
    found, _ = confirming(pump)
    session, intake = Session(), Intake()

    def report() -> int:
        found.report(cast(Any, session), cast(Any, intake))
        return len(session.told)

    assert report() == 1
    pump.durable = pump.taken = mark(300)
    assert report() == 1, "so soon after the last one it waits"
    now.monotonic = lambda: 50.0 + confirmation.CONFIRM_S
    assert report() == 2
    now.monotonic = lambda: 50.0 + 2 * confirmation.CONFIRM_S
    assert report() == 2, "nothing has moved"
    session.asked = True
    assert report() == 3
    session.asked = False
    now.monotonic = lambda: 60.0 + confirmation.STATUS_S
    assert report() == 4, "a sign of life"


def test_a_session_that_ends_gives_its_timeline_back() -> None:
    found, _ = confirming(Pump())
    timeline = Timeline()
    found.begin(1, 1, cast(Any, timeline))
    found.end()

    assert timeline.closed
