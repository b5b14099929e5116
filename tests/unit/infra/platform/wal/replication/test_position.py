"""A position means something only in its own history; a gap between two is named."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from infra.platform.wal.replication.position import CommitMark, Place, gap, resume_from
from infra.platform.wal.serialise.commit_source import CommitSource
from infra.replication.connection import ServerIdentity, read_history

#: Published up to 108 by a commit at 100; the WAL had nothing for us up to 200.
MARK = CommitMark(CommitSource(100, 1_000, 7), 108)
PLACE = Place("cluster", 1, 200, MARK)
SERVER = ServerIdentity("cluster", 1, 500)


def why(place: Place, server: ServerIdentity, slot_lsn: int, **forks: int) -> str | None:
    known = {int(name[1:]): lsn for name, lsn in forks.items()}
    return gap(place, replace(server, forks=known), slot_lsn, "s")


@pytest.mark.parametrize("slot_lsn", [50, 108, 200])
def test_a_slot_that_stands_where_it_was_confirmed_or_before_has_no_gap(slot_lsn: int) -> None:
    assert why(PLACE, SERVER, slot_lsn) is None


@pytest.mark.parametrize(
    ("server", "slot_lsn", "forks", "said"),
    [
        (ServerIdentity("other", 1, 500), 50, {}, "in cluster cluster, and the server is cluster"),
        (ServerIdentity("cluster", 1, 107), 50, {}, "WAL ends at 0/6B .* before 0/6C"),
        (SERVER, 201, {}, "stands at 0/C9, beyond 0/C8 which this reader confirmed"),
        (ServerIdentity("cluster", 2, 500), 50, {"t1": 107}, "published up to 0/6C on timeline 1"),
        (ServerIdentity("cluster", 3, 500), 50, {"t2": 400}, "no part of the server's timeline 3"),
        # The slot was made on the new timeline, behind what was written there first.
        (ServerIdentity("cluster", 2, 500), 150, {"t1": 110}, "stands at 0/96, beyond 0/6E"),
    ],
)
def test_every_gap_names_its_positions(
    server: ServerIdentity, slot_lsn: int, forks: dict[str, int], said: str
) -> None:
    found = why(PLACE, server, slot_lsn, **forks)

    assert found is not None
    assert re.search(said, found)


def test_a_promoted_standby_that_has_all_that_was_published_is_followed() -> None:
    assert why(PLACE, ServerIdentity("cluster", 2, 500), 90, t1=108) is None


def test_a_server_may_lack_wal_that_had_nothing_for_us() -> None:
    assert why(PLACE, replace(SERVER, end_lsn=150), 90) is None


def test_a_session_asks_again_for_the_last_transaction_where_the_slot_still_has_it() -> None:
    resume = resume_from(MARK, 100)

    assert (resume.start_lsn, resume.first) == (100, MARK)


@pytest.mark.parametrize(("mark", "slot_lsn"), [(MARK, 108), (None, 50)])
def test_a_session_starts_at_the_slot_where_nothing_can_be_asked_again(
    mark: CommitMark | None, slot_lsn: int
) -> None:
    resume = resume_from(mark, slot_lsn)

    assert (resume.start_lsn, resume.first) == (0, None)


def test_a_history_file_says_where_each_timeline_was_left() -> None:
    text = "1\t0/3000000\tno recovery target specified\n\n2\t1/0\tbefore 2026-01-01\n"

    assert read_history(text) == {1: 0x3000000, 2: 1 << 32}
