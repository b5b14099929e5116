"""The bits behind a ledger against plain sets: what has been seen, what is new, where transactions
begin, and what a block leaves behind when it is full.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cdc_users.measure.ledger.bitmap import Bitmap
from cdc_users.measure.ledger.sequence import BLOCK

WRITERS = (10_001, 10_002, 9_990_000)
#: Around the edges of blocks, where bits change their slot.
NEAR_EDGES = st.sampled_from(
    [1, 2, 63, BLOCK - 2, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK, 10**10 - 1]
)
Event = tuple[int, int]


def mark(bitmap: Bitmap, events: list[Event]) -> list[bool]:
    """Each event as a transaction of its own."""
    writers = np.array([writer for writer, _ in events], dtype=np.int64)
    sequences = np.array([sequence for _, sequence in events], dtype=np.int64)
    return list(map(bool, bitmap.mark(writers, sequences, sequences, sequences + 1)))


def mark_range(
    bitmap: Bitmap, first: int, last: int, begin: int, end: int, writer: int = 1
) -> None:
    """The events from first to last of a transaction that goes from begin up to before end."""
    sequences = np.arange(first, last + 1, dtype=np.int64)
    same = np.ones(len(sequences), dtype=np.int64)
    bitmap.mark(writer * same, sequences, begin * same, end * same)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.lists(
            st.tuples(st.sampled_from(WRITERS), NEAR_EDGES | st.integers(1, 200)),
            min_size=1,
            max_size=30,
        ),
        min_size=1,
        max_size=12,
    )
)
def test_an_event_is_new_once_whatever_the_batch_and_the_writer(batches: list[list[Event]]) -> None:
    bitmap, seen = Bitmap(), set[Event]()
    for batch in batches:
        expected = []
        for event in batch:
            expected.append(event in seen)
            seen.add(event)
        assert mark(bitmap, batch) == expected

    found = {(writer, number) for writer, set_ in bitmap.seen().items() for number in set_}
    assert found == seen
    writers, sequences = (np.array(column, dtype=np.int64) for column in zip(*seen, strict=True))
    assert bitmap.seen_before(writers, sequences).all()
    assert not bitmap.seen_before(writers, sequences + 3 * BLOCK + 1000).any()


def test_looking_marks_nothing() -> None:
    bitmap = Bitmap()
    ones = np.ones(1, dtype=np.int64)

    assert not bitmap.seen_before(ones, ones).any()
    assert mark(bitmap, [(1, 1)]) == [False]
    assert bitmap.seen()[1].ranges() == [(1, 1)]


@pytest.mark.parametrize("blocks", [1, 2, 7])
def test_full_blocks_are_numbers_alone_and_their_room_is_used_again(blocks: int) -> None:
    bitmap = Bitmap()
    for block in range(blocks):
        first = max(1, block * BLOCK)
        mark_range(bitmap, first, (block + 1) * BLOCK - 1, first, (block + 1) * BLOCK)
    held = len(bitmap._seen)

    (seen,) = bitmap.seen().values()
    assert (seen.full, seen.open) == (set(range(blocks)), {})
    assert len(seen) == blocks * BLOCK - 1
    mark_range(bitmap, blocks * BLOCK, blocks * BLOCK + 9, blocks * BLOCK, blocks * BLOCK + 10)
    assert len(bitmap._seen) == held, "the room of a full block was not given back"
    assert bitmap.seen()[1].ranges() == [(1, blocks * BLOCK + 9)]


def test_every_writers_first_block_is_given_back_although_sequences_count_from_1() -> None:
    bitmap = Bitmap()
    held = len(bitmap._seen)
    for writer in range(1, 9):
        mark_range(bitmap, 1, BLOCK - 1, 1, BLOCK, writer)

    # Each has one more block, where its transaction ends.
    assert len(bitmap._free) == len(bitmap._missing) - 1 - 8
    assert len(bitmap._seen) > held
    assert all(found.full == {0} for found in bitmap.seen().values())


def test_a_block_that_is_given_back_leaves_no_bits_to_the_next_one() -> None:
    bitmap = Bitmap()
    mark_range(bitmap, 1, BLOCK - 1, 1, BLOCK)
    mark_range(bitmap, 5, 5, 5, 6, writer=2)

    assert bitmap.seen()[2].ranges() == [(5, 5)]
    assert bitmap.cuts()[2].ranges() == [(5, 6)]


def test_transactions_begin_where_they_were_said_to_and_end_before_the_next() -> None:
    bitmap = Bitmap()
    mark_range(bitmap, 3, 4, 3, 7)  # two of four events
    mark_range(bitmap, 7, 7, 7, 8)

    assert bitmap.cuts()[1].ranges() == [(3, 3), (7, 8)]


def test_writers_that_stand_together_each_have_their_own_cuts() -> None:
    bitmap = Bitmap()
    writers, ones = np.array([1, 1, 2], dtype=np.int64), np.ones(3, dtype=np.int64)
    bitmap.mark(writers, np.array([1, 2, 1]), ones, 3 * ones)

    assert {writer: cuts.ranges() for writer, cuts in bitmap.cuts().items()} == {
        1: [(1, 1), (3, 3)],
        2: [(1, 1), (3, 3)],
    }


@pytest.mark.parametrize(
    ("begin", "stand_ins"),
    [(BLOCK, [BLOCK, 2 * BLOCK - 1]), (BLOCK - 5, [BLOCK + 1, 2 * BLOCK - 1])],
)
def test_a_full_block_keeps_whether_a_transaction_goes_on_into_it(
    begin: int, stand_ins: list[int]
) -> None:
    bitmap = Bitmap()
    mark_range(bitmap, BLOCK, 2 * BLOCK - 1, begin, 2 * BLOCK)

    cuts = bitmap.cuts()[1].numbers().tolist()

    assert [cut for cut in cuts if BLOCK <= cut < 2 * BLOCK] == stand_ins


def test_one_batch_may_need_more_blocks_than_there_is_room_for() -> None:
    bitmap = Bitmap()
    events = [(writer, 1) for writer in range(1, 101)]

    assert not any(mark(bitmap, events))
    assert all(mark(bitmap, events))
    assert sorted(bitmap.seen()) == list(range(1, 101))
