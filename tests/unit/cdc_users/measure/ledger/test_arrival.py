"""Arrivals as data: which transactions came in part, and several instances' ledgers as one."""

from __future__ import annotations

from dataclasses import fields, replace
from random import Random

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


def torn_at(seen: set[int], cuts: set[int]) -> list[int]:
    arrivals = Arrivals(seen={WRITER: set_of(seen)}, cuts={WRITER: set_of(cuts)})
    return list(map(int, arrivals.torn(STEP).get(WRITER, ())))


def test_a_transaction_is_torn_wherever_in_it_an_event_is_missing() -> None:
    cuts = {10, 14}  # the events 10 to 13

    assert torn_at({10, 11, 12, 13}, cuts) == []
    assert torn_at({11, 12, 13}, cuts) == [10]
    assert torn_at({10, 12, 13}, cuts) == [11]
    assert torn_at({10, 11, 12}, cuts) == [13]
    assert torn_at({10, 13}, cuts) == [11], "it is located by the first one"
    assert torn_at(set(), cuts) == [], "of which nothing has come it is lost as a whole"


def test_what_lies_between_two_transactions_that_came_is_no_part_of_them() -> None:
    """Nothing came of 4 to 9, so there may be any number of transactions."""
    assert torn_at({1, 2, 3, 10, 11}, {1, 4, 10, 12}) == []
    assert torn_at({1, 2, 10}, {1, 4, 10, 12}) == [3, 11]


def test_one_cut_alone_is_no_transaction() -> None:
    assert torn_at({1}, {1}) == []
    assert torn_at({1}, set()) == []


def test_a_writer_of_which_cuts_alone_have_come_has_torn_nothing() -> None:
    assert Arrivals(cuts={WRITER: set_of({1, 5})}).torn(STEP) == {}


def test_torn_transactions_are_told_by_writer_and_step() -> None:
    seen, cuts = set_of({1}), set_of({1, 3})
    arrivals = Arrivals(
        seen=dict.fromkeys((10_001, 10_002, 19_999, 20_000), seen),
        cuts=dict.fromkeys((10_001, 10_002, 19_999, 20_000), cuts),
    )

    assert sorted(arrivals.torn(1)) == [10_001, 10_002, 19_999]
    assert {writer: found.tolist() for writer, found in arrivals.torn(2).items()} == {20_000: [2]}


def test_stale_keys_are_those_of_their_step_that_were_left_at_an_older_version() -> None:
    keys = key_states((5, 1, 2, 3, 0), (6, 1, 3, 3, 0), (7, 1, -2, 3, 0))

    assert Arrivals(keys=keys).stale(STEP).key.tolist() == [5, 7]
    assert len(Arrivals(keys=keys).stale(STEP + 1)) == 0
    assert len(Arrivals().stale(STEP)) == 0


def as_data(found: Arrivals) -> tuple[object, ...]:
    """Everything but the order of examples, and without what an order decides."""
    return (
        {writer: part.ranges() for writer, part in found.seen.items()},
        {writer: part.ranges() for writer, part in found.cuts.items()},
        {step: replace(counts) for step, counts in found.steps.items()},
        found.fences,
        found.fenced_partitions,
        found.foreign,
        sorted(map(repr, found.examples)),
    )


@st.composite
def instances(draw: st.DrawFn) -> list[Arrivals]:
    """What some instances of one tap have seen, of writers of two steps."""
    made = []
    for number in range(draw(st.integers(1, 4))):
        seen = draw(
            st.dictionaries(
                st.sampled_from([10_001, 10_002, 20_001]),
                st.sets(st.integers(1, 12), min_size=1),
                min_size=1,
            )
        )
        steps: dict[int, StepLedger] = {}
        for writer, come in seen.items():
            steps.setdefault(writer // 10_000, StepLedger()).delivered += len(come)
        made.append(
            Arrivals(
                seen={writer: set_of(come) for writer, come in seen.items()},
                cuts={writer: set_of({min(come)}) for writer, come in seen.items()},
                steps=steps,
                fences=draw(st.sets(st.integers(1, 3))),
                fenced_partitions=draw(st.sets(st.integers(0, 3))),
                foreign=draw(st.integers(0, 3)),
                examples=[Example("corrupt", 10_001, number)],
            )
        )
    return made


@settings(max_examples=60)
@given(instances(), st.randoms(use_true_random=False))
def test_instances_are_one_whole_in_whatever_order_they_are_merged(
    parts: list[Arrivals], chance: Random
) -> None:
    expected = as_data(merge(parts))
    shuffled = list(parts)
    chance.shuffle(shuffled)
    cut = chance.randint(0, len(parts))

    assert as_data(merge(shuffled)) == expected
    assert as_data(merge([merge(shuffled[:cut]), merge(shuffled[cut:])])) == expected


def test_a_duplicate_between_instances_is_one_of_its_writers_step() -> None:
    parts = [
        Arrivals(
            seen={10_001: set_of({1}), 20_001: set_of({1, 2})},
            steps={1: StepLedger(delivered=1), 2: StepLedger(delivered=2)},
        )
        for _ in range(2)
    ]

    steps = merge(parts).steps

    assert (steps[1].delivered, steps[1].duplicated) == (1, 1)
    assert (steps[2].delivered, steps[2].duplicated) == (2, 2)


def test_nothing_merged_is_nothing() -> None:
    assert as_data(merge([])) == as_data(Arrivals()) == as_data(merge([Arrivals(), Arrivals()]))
    assert as_data(Arrivals.decode(Arrivals().encode())) == as_data(Arrivals())


def test_keys_of_one_instance_alone_are_the_wholes() -> None:
    keys = key_states((5, 1, 2, 3, 0))

    for parts in ([Arrivals(keys=keys), Arrivals()], [Arrivals(), Arrivals(keys=keys)]):
        found = merge(parts)
        assert found.keys.key.tolist() == [5]
        assert found.steps == {}


def test_a_gap_that_another_instance_fills_is_none() -> None:
    """GIVEN an instance that first saw a key's third version, and another that saw both before."""
    before = Arrivals(keys=key_states((5, 1, 2, 2, 10)))
    after = Arrivals(keys=key_states((5, 3, 4, 4, 20)))
    assert after.gaps(STEP) == 1

    assert merge([before, after]).gaps(STEP) == merge([after, before]).gaps(STEP) == 0


def test_examples_of_earlier_instances_come_first_where_there_is_no_room_for_all() -> None:
    first = Arrivals(examples=[Example("lost", WRITER, number) for number in range(EXAMPLES - 1)])
    second = Arrivals(examples=[Example("lost", WRITER, 1000 + number) for number in range(3)])

    found = [example.sequence for example in merge([first, second]).examples]

    assert found == [*range(EXAMPLES - 1), 1000]
