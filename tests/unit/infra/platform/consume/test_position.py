"""How far each partition is: nothing is committed that is not durable, and nothing counts as
durable behind what is only accepted.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.platform.consume.position import Positions
from infra.platform.sinks.connector import WriteStatus

PLACE, OTHER = ("t", 0), ("t", 1)
ACCEPTED, DURABLE = WriteStatus.ACCEPTED, WriteStatus.DURABLE


def begun(offset: int | None = 0, booked: int | None = None) -> Positions:
    positions = Positions()
    positions.begin(PLACE, offset, booked)
    return positions


def flush(positions: Positions) -> None:
    """A flush during which nothing else happens."""
    positions.flushed(dict(positions.accepted), dict(positions.wrote))


def test_a_partition_begins_with_nothing_to_commit() -> None:
    positions = begun(7)

    assert positions.durable == positions.committed == {PLACE: 7}
    assert positions.fresh([PLACE]) == {}


def test_a_partition_that_nobody_has_read_has_no_position_before_its_first_event() -> None:
    positions = begun(None)
    assert (positions.durable, positions.fresh([PLACE])) == ({}, {})

    positions.note(PLACE, 1, DURABLE)

    assert positions.fresh([PLACE]) == {PLACE: 1}


def test_what_is_committed_once_is_not_committed_again() -> None:
    positions = begun(0)
    positions.note(PLACE, 5, DURABLE)
    positions.commit(positions.fresh([PLACE]))

    assert positions.committed == {PLACE: 5}
    assert positions.fresh([PLACE]) == {}


def test_a_commit_that_ends_late_does_not_put_an_older_offset_over_a_newer_one() -> None:
    positions = begun(0)
    positions.note(PLACE, 9, DURABLE)
    positions.commit({PLACE: 9})
    positions.commit({PLACE: 4})

    assert positions.committed == {PLACE: 9}


def test_a_commit_says_nothing_of_a_partition_that_was_taken_away_meanwhile() -> None:
    positions = begun(0)
    positions.note(PLACE, 9, DURABLE)
    positions.forget(PLACE)
    positions.commit({PLACE: 9})

    assert positions.committed == {}


def test_only_the_partitions_that_were_asked_for_are_committed() -> None:
    positions = begun(0)
    positions.begin(OTHER, 0)
    positions.note(PLACE, 3, DURABLE)
    positions.note(OTHER, 4, DURABLE)

    assert positions.fresh([OTHER, ("never", 0)]) == {OTHER: 4}


def test_behind_an_accepted_event_a_durable_one_does_not_count_before_the_flush() -> None:
    positions = begun(0)
    positions.note(PLACE, 3, ACCEPTED)
    positions.note(PLACE, 5, DURABLE)
    assert positions.fresh([PLACE]) == {}

    flush(positions)

    assert positions.fresh([PLACE]) == {PLACE: 5}
    assert positions.accepted == {}


def test_a_partition_whose_events_are_only_accepted_holds_up_no_other() -> None:
    positions = begun(0)
    positions.begin(OTHER, 0)
    positions.note(PLACE, 3, ACCEPTED)
    positions.note(OTHER, 2, DURABLE)

    assert positions.fresh([PLACE, OTHER]) == {OTHER: 2}


def test_what_is_accepted_during_a_flush_waits_for_the_next_one() -> None:
    positions = begun(0)
    positions.note(PLACE, 3, ACCEPTED)
    before, wrote = dict(positions.accepted), dict(positions.wrote)
    positions.note(PLACE, 8, ACCEPTED)
    positions.flushed(before, wrote)

    assert positions.durable == {PLACE: 3}
    assert positions.accepted == {PLACE: 8}


def test_a_partition_that_comes_for_the_first_time_during_a_flush_is_not_durable_by_it() -> None:
    positions = begun(0)
    before, wrote = dict(positions.accepted), dict(positions.wrote)
    positions.note(PLACE, 8, ACCEPTED)
    positions.flushed(before, wrote)

    assert positions.fresh([PLACE]) == {}


@pytest.mark.parametrize("status", [ACCEPTED, DURABLE])
def test_a_write_that_ends_after_its_partition_has_gone_moves_no_position(
    status: WriteStatus,
) -> None:
    """The topic may be another one by then, in which the same offset is another event's."""
    positions = begun(0)
    positions.forget(PLACE)
    positions.note(PLACE, 10, status)
    flush(positions)

    assert positions.fresh([PLACE]) == {}
    assert (positions.accepted, positions.durable) == ({}, {})


def test_a_flush_that_ends_after_its_partition_has_gone_moves_no_position() -> None:
    positions = begun(0)
    positions.note(PLACE, 10, ACCEPTED)
    before, wrote = dict(positions.accepted), dict(positions.wrote)
    positions.forget(PLACE)
    positions.flushed(before, wrote)

    assert positions.durable == {}


def test_a_partition_that_comes_back_knows_nothing_of_its_earlier_time() -> None:
    positions = begun(0, booked=0)
    positions.wrote[PLACE] = 12
    positions.note(PLACE, 12, ACCEPTED)
    positions.begin(PLACE, 4)

    assert positions.durable == positions.committed == {PLACE: 4}
    assert (positions.accepted, positions.wrote, positions.booked) == ({}, {}, {})


def test_the_books_end_at_the_last_event_that_the_sink_took_and_not_at_what_was_put_aside() -> None:
    positions = begun(0)
    positions.wrote[PLACE] = 6
    positions.note(PLACE, 6, DURABLE)
    positions.note(PLACE, 9, DURABLE)  # poison, or tombstones

    assert positions.durable == {PLACE: 9}
    assert positions.booked == {PLACE: 6}


def test_a_sink_that_took_nothing_yet_is_not_in_the_books() -> None:
    positions = begun(0)
    positions.note(PLACE, 9, DURABLE)

    assert positions.booked == {}


def test_the_books_follow_a_flush_only_as_far_as_was_written_when_it_began() -> None:
    positions = begun(0, booked=0)
    positions.wrote[PLACE] = 6
    positions.note(PLACE, 6, ACCEPTED)
    before, wrote = dict(positions.accepted), dict(positions.wrote)
    positions.wrote[PLACE] = 11
    positions.note(PLACE, 11, ACCEPTED)
    assert positions.booked == {PLACE: 0}

    positions.flushed(before, wrote)

    assert positions.booked == {PLACE: 6}


def test_the_books_that_the_sink_begins_with_are_told() -> None:
    positions = begun(8, booked=5)

    assert positions.wrote == positions.booked == {PLACE: 5}


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("write"), st.integers(1, 9), st.sampled_from([ACCEPTED, DURABLE])),
            st.sampled_from(["flush begins", "flush ends", "commit", "come again"]),
        ),
        max_size=40,
    )
)
def test_no_event_is_committed_that_a_crash_of_the_sink_would_take(what: list[object]) -> None:
    """Against a sink that knows of each event whether it would survive."""
    positions, at, safe = begun(0), 0, {-1}
    pending: set[int] = set()
    flushing: tuple[set[int], dict[tuple[str, int], int]] | None = None
    for step in what:
        if isinstance(step, tuple):
            _, count, status = step
            events = set(range(at, at + count))
            at += count
            if status is DURABLE:
                safe |= events
            else:
                pending |= events
            positions.note(PLACE, at, status)
        elif step == "flush begins" and flushing is None:
            flushing = set(pending), dict(positions.accepted)
        elif step == "flush ends" and flushing is not None:
            safe |= flushing[0]
            pending -= flushing[0]
            positions.flushed(flushing[1], {})
            flushing = None
        elif step == "commit":
            positions.commit(positions.fresh([PLACE]))
        elif step == "come again" and flushing is None:
            at = positions.committed[PLACE]
            positions.begin(PLACE, at)
            pending.clear()
        assert safe >= set(range(positions.durable[PLACE]))
        assert positions.committed[PLACE] <= positions.durable[PLACE] <= at
