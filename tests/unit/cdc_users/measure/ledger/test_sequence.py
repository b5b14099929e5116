"""Sets of sequence numbers are what Python's own sets of the same numbers are, at every block's
edge.
"""

from __future__ import annotations

import itertools
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from cdc_users.measure.ledger.sequence import (
    BLOCK,
    EncodedSequences,
    SequenceRange,
    SequenceSet,
    intersect,
    pack,
    size,
    subtract,
    union,
    unpack,
)

#: Numbers around the edges of blocks, where mistakes live, and a few anywhere.
NUMBERS = st.one_of(
    st.integers(1, 12),
    st.integers(BLOCK - 6, BLOCK + 6),
    st.integers(3 * BLOCK - 3, 3 * BLOCK + 3),
)


@st.composite
def ranges(draw: st.DrawFn) -> list[SequenceRange]:
    pairs = draw(st.lists(st.tuples(NUMBERS, NUMBERS), max_size=5))
    return [(min(pair), max(pair)) for pair in pairs]


def numbers(told: list[SequenceRange]) -> set[int]:
    return {number for first, last in told for number in range(first, last + 1)}


def is_ordered(told: list[SequenceRange]) -> bool:
    """Ranges are in order, none touches the next, none is empty."""
    flat = [edge for first, last in told for edge in (first, last)]
    apart = all(after[0] > before[1] + 1 for before, after in itertools.pairwise(told))
    return flat == sorted(flat) and apart


@given(ranges())
@example([(1, BLOCK - 1)])
@example([(1, 3 * BLOCK)])
@example([(BLOCK, 2 * BLOCK - 1)])
def test_a_set_of_ranges_holds_their_numbers_and_tells_them_in_every_form(
    told: list[SequenceRange],
) -> None:
    expected = numbers(told)
    found = SequenceSet.of(told)

    assert len(found) == len(expected)
    assert found.numbers().tolist() == sorted(expected)
    assert numbers(found.ranges()) == expected
    assert is_ordered(found.ranges())
    assert found.first(5) == sorted(expected)[:5]
    assert list(found)[:100] == sorted(expected)[:100]


@given(ranges(), NUMBERS)
def test_a_number_is_in_a_set_or_it_is_not(told: list[SequenceRange], number: int) -> None:
    assert (number in SequenceSet.of(told)) == (number in numbers(told))


@given(ranges(), ranges())
def test_sets_are_combined_as_pythons_are(
    left: list[SequenceRange], right: list[SequenceRange]
) -> None:
    one, other = SequenceSet.of(left), SequenceSet.of(right)
    mine, theirs = numbers(left), numbers(right)

    assert set((one | other).numbers().tolist()) == mine | theirs
    assert set((one & other).numbers().tolist()) == mine & theirs
    assert set((one - other).numbers().tolist()) == mine - theirs
    assert one.numbers().tolist() == sorted(mine), "an operand was changed"


@given(ranges())
def test_a_set_survives_its_way_to_another_process(told: list[SequenceRange]) -> None:
    there = SequenceSet.of(told)
    wire = msgspec.json.encode(there.encode())
    back = SequenceSet.decode(msgspec.json.decode(wire, type=EncodedSequences))

    assert back.ranges() == there.ranges()
    assert (len(back), back.full) == (len(there), there.full)


@given(ranges(), ranges())
def test_ranges_are_combined_as_the_sets_of_their_numbers(
    left: list[SequenceRange], right: list[SequenceRange]
) -> None:
    mine, theirs = numbers(left), numbers(right)
    for told, expected in (
        (union(left, right), mine | theirs),
        (subtract(left, right), mine - theirs),
        (intersect(left, right), mine & theirs),
    ):
        assert numbers(told) == expected
        assert is_ordered(told)
        assert size(told) == len(expected)


def test_a_full_block_costs_its_number_and_a_block_with_a_gap_a_bit_for_each() -> None:
    whole = SequenceSet.of([(1, 100 * BLOCK - 1)])
    gap = whole - SequenceSet.of([(5 * BLOCK + 3, 5 * BLOCK + 3)])

    assert (len(whole.full), len(whole.open)) == (100, 0)
    assert (len(gap.full), list(gap.open)) == (99, [5])
    assert gap.open[5].nbytes == BLOCK // 8
    assert len(msgspec.json.encode(whole.encode())) < 50


def test_nothing_is_a_set_too() -> None:
    nothing = SequenceSet()

    assert (len(nothing), nothing.ranges(), list(nothing)) == (0, [], [])
    assert len(SequenceSet.decode(nothing.encode())) == 0
    assert 0 not in SequenceSet.of([(1, 5)])


@pytest.mark.parametrize("kind", [np.uint8, np.int64])
@given(values=st.lists(st.integers(0, 255)))
def test_what_is_packed_comes_out_again(kind: type, values: list[int]) -> None:
    there: NDArray[Any] = np.array(values, dtype=kind)

    assert unpack(pack(there), kind).tolist() == values


def test_there_is_no_sequence_of_nothing() -> None:
    """Sequences count from 1, and a first block is full without its first bit."""
    bits = np.zeros(BLOCK // 8, dtype=np.uint8)
    bits[0] = 0b1011
    found = SequenceSet()
    found.put(0, bits)

    assert found.ranges() == [(1, 1), (3, 3)]
    assert bits[0] == 0b1011, "the bits are the caller's"
    assert SequenceSet.of([(0, BLOCK - 1)]).full == {0}
    assert SequenceSet.of([(0, 0)]).open == {}


def test_a_block_that_holds_nothing_is_not_kept() -> None:
    found = SequenceSet()
    found.put(7, np.zeros(BLOCK // 8, dtype=np.uint8))
    same = SequenceSet.of([(1, 3 * BLOCK)])

    assert (found.full, found.open, len(found)) == (set(), {}, 0)
    assert ((same - same).full, (same - same).open) == (set(), {})


@pytest.mark.parametrize(
    ("left", "right", "both"),
    [
        ([(1, 2)], [(3, 4)], [(1, 4)]),
        ([(1, 2)], [(4, 5)], [(1, 2), (4, 5)]),
        ([(1, 9)], [(3, 4)], [(1, 9)]),
        ([(5, 6), (1, 2)], [], [(1, 2), (5, 6)]),
        ([(1, 3)], [(2, 8), (9, 9)], [(1, 9)]),
    ],
)
def test_ranges_that_touch_are_one(
    left: list[SequenceRange], right: list[SequenceRange], both: list[SequenceRange]
) -> None:
    assert union(left, right) == union(right, left) == both


@pytest.mark.parametrize(
    ("holes", "rest"),
    [
        ([], [(10, 20)]),
        ([(1, 9), (21, 30)], [(10, 20)]),
        ([(10, 10), (20, 20)], [(11, 19)]),
        ([(9, 10), (12, 12), (20, 21)], [(11, 11), (13, 19)]),
        ([(1, 30)], []),
        ([(15, 16), (14, 15)], [(10, 13), (17, 20)]),
    ],
)
def test_holes_leave_what_lies_around_them(
    holes: list[SequenceRange], rest: list[SequenceRange]
) -> None:
    assert subtract([(10, 20)], holes) == rest
    assert size(rest) + size(intersect([(10, 20)], holes)) == 11


@pytest.mark.parametrize("number", [BLOCK - 1, BLOCK, 2 * BLOCK - 1, 2 * BLOCK])
def test_a_number_at_the_edge_of_a_block_is_in_its_own_block_alone(number: int) -> None:
    found = SequenceSet.of([(number, number)])

    assert [near for near in range(number - 2, number + 3) if near in found] == [number]
    assert list(found.open) == [number // BLOCK]
