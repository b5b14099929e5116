"""Arrivals as data: which transactions came in part, and several instances' ledgers as one."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from cdc_users.measure.ledger.arrival import EXAMPLES, Arrivals, Example, StepLedger, merge
from cdc_users.measure.ledger.sequence import BLOCK, SequenceRange, SequenceSet, union
from cdc_users.measure.ledger.version import KeyStates

WRITER, STEP = 10_001, 1


def set_of(numbers: set[int]) -> SequenceSet:
    return SequenceSet.of(union([(number, number) for number in numbers], ()))


def key_states(*rows: tuple[int, int, int, int, int]) -> KeyStates:
    """Of each key: number, first, last and highest version, and when."""
    table = np.array(rows, dtype=np.int64)
    first, last, high, at_ms = table[:, 1:].T.astype(np.int32)
    writer = np.full(len(table), WRITER, dtype=np.int32)
    return KeyStates(table[:, 0], writer, first, last, high, at_ms)


@st.composite
def transactions(draw: st.DrawFn) -> tuple[list[SequenceRange], set[int]]:
    """Transactions one after another, across the edge of a block, and what came of them."""
    sizes = draw(st.lists(st.integers(1, 6), min_size=1, max_size=20))
    at = draw(st.sampled_from([1, BLOCK - 20]))
    found, come = [], set[int]()
    for size in sizes:
        found.append((at, at + size - 1))
        come |= draw(st.sets(st.integers(at, at + size - 1)))
        at += size
    return found, come


@settings(max_examples=150)
@given(transactions())
def test_a_transaction_that_came_in_part_is_torn_at_its_first_missing_event(
    drawn: tuple[list[SequenceRange], set[int]],
) -> None:
    made, come = drawn
    begun = [(first, last) for first, last in made if come & set(range(first, last + 1))]
    # An event tells where its transaction begins, and where the next one does.
    cuts = {first for first, _ in begun} | {last + 1 for _, last in begun}
    arrivals = Arrivals(seen={WRITER: set_of(come)}, cuts={WRITER: set_of(cuts)})

    expected = [
        min(missing) for first, last in begun if (missing := set(range(first, last + 1)) - come)
    ]

    torn = arrivals.torn(STEP)
    assert torn.get(WRITER, np.empty(0)).tolist() == expected
    assert (WRITER in torn) == bool(expected)
    assert arrivals.torn(STEP + 1) == {}


@settings(max_examples=60)
@given(st.lists(st.sets(st.integers(1, 30)), min_size=1, max_size=5))
def test_what_several_instances_saw_is_delivered_once_and_a_duplicate_after_that(
    parts: list[set[int]],
) -> None:
    told = [
        Arrivals(seen={WRITER: set_of(part)}, steps={STEP: StepLedger(delivered=len(part))})
        for part in parts
        if part
    ]

    whole = merge(told)

    together = set().union(*parts)
    assert set(whole.seen.get(WRITER, SequenceSet())) == together
    counts = whole.steps.get(STEP, StepLedger())
    assert counts.delivered == len(together)
    assert counts.duplicated == sum(map(len, parts)) - len(together)


def test_merging_changes_none_of_the_parts() -> None:
    part = Arrivals(
        seen={WRITER: set_of({1, 2})},
        steps={STEP: StepLedger(delivered=2)},
        fences={7},
        fenced_partitions={0},
        foreign=1,
    )

    whole = merge([part, part, part])

    assert (whole.steps[STEP].delivered, whole.steps[STEP].duplicated) == (2, 4)
    assert (part.steps[STEP].delivered, part.steps[STEP].duplicated) == (2, 0)
    assert (whole.foreign, part.foreign) == (3, 1)
    assert (whole.fences, whole.fenced_partitions) == ({7}, {0})


def test_every_count_of_a_step_is_added() -> None:
    names = [item.name for item in fields(StepLedger)]
    one = StepLedger(**{name: place for place, name in enumerate(names, start=1)})

    one.add(StepLedger(**dict.fromkeys(names, 100)))

    assert [getattr(one, name) for name in names] == [
        100 + place for place in range(1, len(names) + 1)
    ]


def test_merged_examples_are_bounded_by_class() -> None:
    many = [Example("duplicated", WRITER, number) for number in range(EXAMPLES)]
    part = Arrivals(examples=[*many, Example("corrupt", WRITER, 1)])

    found = merge([part, part]).examples

    assert sum(one.finding == "duplicated" for one in found) == EXAMPLES
    assert sum(one.finding == "corrupt" for one in found) == 2


def test_a_key_that_went_back_between_two_instances_was_replayed_and_may_have_a_gap() -> None:
    before = Arrivals(keys=key_states((5, 1, 9, 9, 10), (6, 1, 2, 2, 10)))
    after = Arrivals(keys=key_states((5, 7, 9, 9, 20), (6, 5, 5, 5, 20)))

    counts = merge([before, after]).steps[STEP]

    assert (counts.replayed, counts.gap) == (1, 1)


def test_gaps_are_those_that_were_counted_and_those_before_a_keys_first_version() -> None:
    arrivals = Arrivals(
        keys=key_states((5, 3, 3, 3, 0), (6, 2, 2, 2, 0)), steps={STEP: StepLedger(gap=4)}
    )

    assert arrivals.gaps(STEP) == 5
    assert arrivals.gaps(STEP + 1) == 0


def test_arrivals_survive_the_wire() -> None:
    made = Arrivals(
        seen={WRITER: SequenceSet.of([(1, BLOCK + 3)])},
        cuts={WRITER: set_of({1, BLOCK})},
        steps={STEP: StepLedger(delivered=5, uncheckable=2)},
        keys=key_states((9, 1, 2, 3, 4), (5, 1, -2, 2, 4)),
        fences={3, 1},
        fenced_partitions={2},
        foreign=6,
        examples=[Example("corrupt", WRITER, 1, 2, 3, 4, "sink")],
    )

    again = Arrivals.decode(made.encode())

    assert again.seen[WRITER].ranges() == [(1, BLOCK + 3)]
    assert again.cuts[WRITER].ranges() == [(1, 1), (BLOCK, BLOCK)]
    assert again.keys.key.tolist() == [5, 9]
    assert again.keys.last.tolist() == [-2, 2]
    for name in ("steps", "fences", "fenced_partitions", "foreign", "examples"):
        assert getattr(again, name) == getattr(made, name)
