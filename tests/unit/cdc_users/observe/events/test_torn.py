"""Source transactions that a sink committed in parts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cdc_users.measure.ledger.probe import Operation, Probe, format_probe
from cdc_users.observe.events.torn import TornTransactions
from cdc_users.observe.tap import Events

RUN = "tornrun1"
#: Of one event: its transaction, its place in that, and how many events that has.
Place = tuple[int, int, int]


def probe(place: Place, kind: str = "i") -> bytes:
    transaction, index, size = place
    return format_probe(
        Probe(
            run=RUN,
            writer=10_001,
            sequence=transaction * 100 + index + 1,
            transaction=transaction,
            index=index,
            size=size,
            key_version=1,
            operation=Operation(kind),
            intended_us=1,
            checksum=0,
        )
    ).encode()


def events(commits: Sequence[tuple[int, bytes, bool]]) -> Events:
    count = len(commits)
    zeros = np.zeros(count, dtype=np.int64)
    return Events(
        partition=0,
        positions=np.array([number for number, _, _ in commits], dtype=np.int64),
        keys=zeros,
        probes=[text for _, text, _ in commits],
        deleted=np.array([deleted for _, _, deleted in commits], dtype=np.bool_),
        sizes=zeros,
        committed_us=zeros,
        seen_us=1,
    )


def torn(*commits: tuple[int, bytes, bool]) -> int:
    found = TornTransactions(RUN)
    found.take(events(commits))
    return found.count


def test_a_whole_transaction_in_one_commit_is_not_torn() -> None:
    assert torn((1, probe((7, 0, 2)), False), (1, probe((7, 1, 2)), False)) == 0


def test_a_commit_with_a_part_of_a_transaction_tears_it_once() -> None:
    parts = (1, probe((7, 0, 2)), False), (2, probe((7, 1, 2)), False)
    assert torn(*parts) == 1


def test_several_transactions_may_share_a_commit() -> None:
    both = [(1, probe((number, index, 2)), False) for number in (7, 8) for index in (0, 1)]
    assert torn(*both) == 0


def test_an_event_that_stands_twice_in_a_commit_does_not_stand_for_another() -> None:
    assert torn((1, probe((7, 0, 2)), False), (1, probe((7, 0, 2)), False)) == 1


def test_a_transaction_that_comes_again_whole_is_not_torn() -> None:
    again = [(commit, probe((7, index, 2)), False) for commit in (1, 2) for index in (0, 1)]
    assert torn(*again) == 0


def test_a_stamp_and_its_delete_make_a_transaction_of_two() -> None:
    stamp = probe((7, 0, 2), "s")
    assert torn((1, stamp, False), (1, stamp, True)) == 0
    assert torn((1, stamp, False), (2, stamp, True)) == 1


def test_fences_and_rows_of_others_are_left_out() -> None:
    assert torn((1, probe((7, 0, 2), "f"), False), (1, b"", False), (2, b"x" * 80, False)) == 0


@given(
    st.lists(st.integers(1, 5), min_size=1, max_size=6),
    st.randoms(use_true_random=False),
)
def test_the_count_is_that_of_the_transactions_with_a_part_in_some_commit(
    sizes: list[int], random: object
) -> None:
    chosen = [
        (commit, number, index, size)
        for number, size in enumerate(sizes, start=1)
        for index in range(size)
        for commit in (random.choice((1, 2)),)  # type: ignore[attr-defined]
    ]
    expected = {
        number
        for number, size in enumerate(sizes, start=1)
        if len({commit for commit, of, _, _ in chosen if of == number}) > 1
    }
    rows = [(commit, probe((number, index, size)), False) for commit, number, index, size in chosen]
    assert torn(*rows) == len(expected)
