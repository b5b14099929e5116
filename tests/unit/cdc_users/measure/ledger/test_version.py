"""Last versions by key: found and added as in a dictionary, and two instances' joined as one."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cdc_users.measure.ledger.version import KeyStates, VersionTable, join

INT64 = st.integers(-(2**63), 2**63 - 1)


def array(values: list[int]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.array(values, dtype=np.int64)


class Row(NamedTuple):
    """What one instance knows of a key."""

    key: int
    first: int
    last: int
    high: int
    at_ms: int
    writer: int = 10_001


def states(rows: list[Row], origin_us: int = 1_000_000) -> KeyStates:
    columns = {
        name: np.array([getattr(row, name) for row in rows], dtype=np.int32)
        for name in ("writer", "first", "last", "high", "at_ms")
    }
    return KeyStates(key=array([row.key for row in rows]), **columns, origin_us=origin_us)


def rows_of(found: KeyStates) -> list[Row]:
    return [
        Row(*(int(getattr(found, name)[place]) for name in Row._fields))
        for place in range(len(found))
    ]


@settings(max_examples=80, deadline=None)
@given(st.lists(st.lists(INT64 | st.integers(0, 40), max_size=60), max_size=8))
def test_keys_are_found_where_they_were_added_and_nowhere_else(batches: list[list[int]]) -> None:
    table, known = VersionTable(), dict[int, int]()
    for batch in batches:
        new = sorted({key for key in batch if key not in known})
        first = table.add(array(new), array([7] * len(new))) if new else table.count
        known |= {key: first + place for place, key in enumerate(new)}
        asked = [*batch, *(key ^ 1 for key in batch)]
        assert table.find(array(asked)).tolist() == [known.get(key, -1) for key in asked]
    assert table.count == len(known)
    assert table.states(0).key.tolist() == list(known)


def test_a_table_that_has_grown_many_times_over_finds_every_key() -> None:
    table = VersionTable()
    keys = np.arange(1, 60_001, dtype=np.int64) * 10**8
    for part in np.array_split(keys, 40):
        table.add(part, part // 10**8)
        table.columns["last"][table.find(part)] = 5

    assert (table.find(keys) == np.arange(len(keys))).all()
    assert (table.find(keys + 1) == -1).all()
    found = table.states(0)
    assert (found.writer == keys // 10**8).all()
    assert (found.last == 5).all()


def test_keys_that_want_one_place_all_get_one() -> None:
    table = VersionTable()
    # The index takes the product's upper bits, so these differ only in what it does not look at.
    home = table._home(array(list(range(200_000))))
    crowded = np.flatnonzero(home == home[0])[:60].astype(np.int64)
    assert len(crowded) == 60

    table.add(crowded, crowded)

    assert table.find(crowded).tolist() == list(range(60))


@given(st.lists(st.tuples(INT64, st.integers(1, 2**31 - 1)), unique_by=lambda row: row[0]))
def test_states_survive_the_wire_in_the_order_of_their_keys(found: list[tuple[int, int]]) -> None:
    made = states([Row(key, 1, -last, last, 3) for key, last in found], origin_us=17)

    again = KeyStates.decode(made.encode())

    assert again.origin_us == 17
    assert rows_of(again) == sorted(rows_of(made))


@pytest.mark.parametrize(
    ("first", "last", "high", "stale", "skipped"),
    [
        (1, 3, 3, False, False),
        (2, 2, 2, False, False),  # its first version needed no entry
        (3, 3, 3, False, True),
        (1, 2, 3, True, False),
        (1, -3, 3, False, False),  # its last event was the delete
        (1, -2, 3, True, False),
    ],
)
def test_a_key_is_stale_below_its_highest_and_has_a_gap_before_a_late_first(
    first: int, last: int, high: int, stale: bool, skipped: bool
) -> None:
    found = states([Row(5, first, last, high, 0)])

    assert (bool(found.stale()[0]), bool(found.skipped()[0])) == (stale, skipped)


class Told(NamedTuple):
    """One key, as an earlier and a later instance knew it, and what both together say."""

    earlier: Row
    later: Row
    together: Row
    back: bool
    skipped: bool


HANDOVERS = [
    Told(Row(5, 1, 3, 3, 10), Row(5, 4, 6, 6, 20), Row(5, 1, 6, 6, 20), False, False),
    # The second began below where the first had ended: it saw old events again.
    Told(Row(5, 1, 3, 3, 10), Row(5, 2, 6, 6, 20), Row(5, 1, 6, 6, 20), True, False),
    # Versions 4 and 5 have gone by neither.
    Told(Row(5, 1, 3, 3, 10), Row(5, 6, 6, 6, 20), Row(5, 1, 6, 6, 20), False, True),
    # The highest of both stays, also where the later one left the key at an older version.
    Told(Row(5, 1, 9, 9, 10), Row(5, 7, 7, 7, 20), Row(5, 1, 7, 9, 20), True, False),
    # A key's delete is its last event there, and its version counts as such.
    Told(Row(5, 1, -4, 4, 10), Row(5, 5, 5, 5, 20), Row(5, 1, 5, 5, 20), False, False),
    Told(Row(5, 1, -4, 4, 10), Row(5, 3, 5, 5, 20), Row(5, 1, 5, 5, 20), True, False),
]


@pytest.mark.parametrize("told", HANDOVERS)
@pytest.mark.parametrize("turned", [False, True])
def test_a_key_that_two_instances_saw_is_what_the_later_one_says(told: Told, turned: bool) -> None:
    parts = [states([told.earlier]), states([told.later])]
    joined = join(*(reversed(parts) if turned else parts))

    assert rows_of(joined.states) == [told.together]
    assert joined.back.tolist() == [10_001] * told.back
    assert joined.skipped.tolist() == [10_001] * told.skipped


def test_instances_count_time_from_origins_of_their_own() -> None:
    # By its own count the second saw the key earlier; by the clock it was later.
    earlier = states([Row(5, 1, 3, 3, 900)], origin_us=1_000_000)
    later = states([Row(5, 4, 6, 6, 100)], origin_us=3_000_000)

    joined = join(later, earlier)

    assert rows_of(joined.states) == [Row(5, 1, 6, 6, 2100)]
    assert joined.states.origin_us == 1_000_000


def test_keys_of_one_instance_alone_stay_as_they_are() -> None:
    mine, others = Row(1, 1, 2, 2, 5), Row(9, 3, 3, 4, 6, writer=20_002)

    joined = join(states([mine]), states([others]))

    assert rows_of(joined.states) == [mine, others]
    assert not len(joined.back)
    assert not len(joined.skipped)
    assert rows_of(join(states([]), states([mine])).states) == [mine]


KNOWN = st.builds(
    Row,
    key=st.integers(1, 4),
    first=st.integers(1, 6),
    last=st.integers(1, 6),
    high=st.integers(1, 6),
    at_ms=st.integers(0, 5),
    writer=st.just(10_001),
)


def joined_by_hand(earlier: Row, later: Row) -> tuple[Row, bool, bool]:
    """The key as both know it, whether it went back between them, and whether it left some out."""
    together = Row(later.key, earlier.first, later.last, max(earlier.high, later.high), later.at_ms)
    return together, later.first < abs(earlier.last), later.first > earlier.high + 1


@given(*[st.lists(KNOWN, max_size=4, unique_by=lambda row: row.key)] * 2)
def test_keys_of_two_instances_are_joined_one_by_one(mine: list[Row], others: list[Row]) -> None:
    expected, back, skipped = [], 0, 0
    for key in sorted({row.key for row in (*mine, *others)}):
        found = [row for part in (mine, others) for row in part if row.key == key]
        found.sort(key=lambda row: row.at_ms)  # of one moment, in the order of the instances
        if len(found) == 2:
            together, went_back, left_out = joined_by_hand(*found)
            expected.append(together)
            back, skipped = back + went_back, skipped + left_out
        else:
            expected += found

    joined = join(states(mine), states(others))

    assert rows_of(joined.states) == expected
    assert (len(joined.back), len(joined.skipped)) == (back, skipped)


def test_an_instance_without_keys_has_no_origin_of_time() -> None:
    """It has seen nothing, so its clock says nothing."""
    row = Row(5, 1, 3, 3, 900)

    for joined in (
        join(states([row], origin_us=5_000_000), states([], origin_us=0)),
        join(states([], origin_us=0), states([row], origin_us=5_000_000)),
    ):
        assert rows_of(joined.states) == [row]
        assert joined.states.origin_us == 5_000_000
    assert join(states([], origin_us=7), states([], origin_us=9)).states.origin_us == 0


def test_writers_are_told_of_each_key_that_went_back_or_left_versions_out() -> None:
    earlier = states([Row(1, 1, 5, 5, 0, writer=7), Row(2, 1, 5, 5, 0, writer=8)])
    later = states([Row(1, 2, 6, 6, 1, writer=7), Row(2, 9, 9, 9, 1, writer=8)])

    joined = join(earlier, later)

    assert (joined.back.tolist(), joined.skipped.tolist()) == ([7], [8])


def test_some_keys_keep_their_columns_together() -> None:
    made = states([Row(key, key, key + 1, key + 2, key + 3) for key in (3, 1, 2)], origin_us=9)

    found = made.only(np.array([True, False, True]))

    assert rows_of(found) == [Row(3, 3, 4, 5, 6), Row(2, 2, 3, 4, 5)]
    assert (found.origin_us, len(made)) == (9, 3)


def test_no_key_at_all_survives_the_wire() -> None:
    again = KeyStates.decode(KeyStates.none().encode())

    assert (len(again), again.origin_us) == (0, 0)
    assert not len(again.stale())
    assert not len(again.skipped())


def test_the_index_is_never_more_than_three_eighths_full() -> None:
    """Where it is nearly full, a look goes from place to place."""
    table = VersionTable()
    for keys in np.array_split(np.arange(1, 20_001, dtype=np.int64) * 7, 64):
        table.add(keys, keys)

        taken = int((table._index >= 0).sum())
        assert taken == table.count
        assert taken <= len(table._index) * 3 // 8
        assert len(table.columns["key"]) <= max(256, table.count * 9 // 8 + len(keys))
