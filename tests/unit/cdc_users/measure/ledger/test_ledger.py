"""The ledger against a brute-force oracle, and what an audit concludes."""

from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cdc_users.measure.ledger.arrival import EncodedArrivals
from cdc_users.measure.ledger.ledger import (
    BLOCK,
    EXAMPLES,
    Arrivals,
    Ledger,
    Outcomes,
    PartitionEvents,
    RowCheck,
    SequenceRange,
    SequenceSet,
    audit,
    intersect,
    merge,
    size,
    subtract,
    union,
)
from cdc_users.measure.ledger.probe import (
    KEYS_PER_WRITER,
    Operation,
    Probe,
    format_probe,
    parse_probes,
)
from cdc_users.measure.wire import decode, encode

RUN = "abcd1234"
STEP = 3
WRITER = STEP * 10_000 + 5


def events(
    sequences: list[int], writer: int = WRITER, operation: str = "i", version: int = 1
) -> list[bytes]:
    return [
        format_probe(Probe(RUN, writer, number, number, 0, 1, version, operation, 0, 0)).encode()
        for number in sequences
    ]


def observe(ledger: Ledger, texts: list[bytes], keys: list[int] | None = None) -> None:
    numbers = np.arange(len(texts), dtype=np.int64)
    known = np.array(keys, dtype=np.int64) if keys else numbers
    ledger.observe(PartitionEvents(parse_probes(texts, RUN), known, 0, numbers))


def expand(ranges: list[SequenceRange]) -> set[int]:
    return {number for first, last in ranges for number in range(first, last + 1)}


@given(st.lists(st.lists(st.integers(1, 60), max_size=20), max_size=8))
def test_delivered_and_duplicated_agree_with_counting(batches: list[list[int]]) -> None:
    ledger = Ledger()
    for batch in batches:
        if batch:
            observe(ledger, events(batch))

    counts = Counter(number for batch in batches for number in batch)
    found = ledger.arrivals()
    assert set(found.seen.get(WRITER, SequenceSet())) == set(counts)
    if counts:
        assert found.steps[STEP].delivered == len(counts)
        assert found.steps[STEP].duplicated == sum(counts.values()) - len(counts)


def test_a_full_block_is_freed_and_still_tells_duplicates() -> None:
    ledger = Ledger()
    observe(ledger, events(list(range(1, BLOCK + 10))))
    observe(ledger, events([5]))

    found = ledger.arrivals()
    assert found.seen[WRITER].ranges() == [(1, BLOCK + 9)]
    assert found.steps[STEP].duplicated == 1


@given(st.sets(st.integers(1, 40)), st.sets(st.integers(1, 40)))
def test_ranges_are_sets(left: set[int], right: set[int]) -> None:
    a, b = [(n, n) for n in sorted(left)], [(n, n) for n in sorted(right)]

    assert expand(union(a, b)) == left | right
    assert expand(subtract(a, b)) == left - right
    assert expand(intersect(a, b)) == left & right
    assert size(union(a, b)) == len(left | right)


@given(st.sets(st.integers(1, 50), min_size=1), st.sets(st.integers(1, 50)))
def test_what_is_sent_is_delivered_or_missing(sent: set[int], seen: set[int]) -> None:
    ledger = Ledger()
    arrived = sorted(sent & seen)
    if arrived:
        observe(ledger, events(arrived))

    found = audit(
        STEP, {WRITER: Outcomes(acked=[(n, n) for n in sent])}, ledger.arrivals(), fenced=True
    )

    assert found.sent == found.delivered + found.lost
    assert found.lost == len(sent - seen)


def test_without_fences_nothing_is_called_lost() -> None:
    found = audit(STEP, {WRITER: Outcomes(acked=[(1, 10)])}, Arrivals(), fenced=False)

    assert (found.lost, found.unseen) == (0, 10)
    assert not found.clean


def test_a_loss_is_located() -> None:
    ledger = Ledger()
    observe(ledger, events([1, 2, 4]))

    found = audit(STEP, {WRITER: Outcomes(acked=[(1, 4)])}, ledger.arrivals(), fenced=True)

    assert [(example.finding, example.writer, example.sequence) for example in found.examples] == [
        ("lost", WRITER, 3)
    ]


def test_a_rolled_back_row_that_arrives_is_a_phantom() -> None:
    ledger = Ledger()
    observe(ledger, events([1, 2]))

    found = audit(
        STEP, {WRITER: Outcomes(acked=[(1, 1)], failed=[(2, 2)])}, ledger.arrivals(), fenced=True
    )

    assert found.phantom == 1


def test_an_older_version_after_a_newer_one_is_reordered() -> None:
    ledger = Ledger()
    observe(ledger, [*events([2], version=2, operation="u"), *events([1])], keys=[7, 7])

    assert ledger.arrivals().steps[STEP].reordered == 1


def test_fences_and_foreign_events_are_in_no_count() -> None:
    ledger = Ledger()
    fence = events([1], writer=9_999_999, operation=Operation.FENCE)
    observe(ledger, [*fence, b"something else"], keys=[42, 43])

    found = ledger.arrivals()
    assert found.fences == {9_999_999 * KEYS_PER_WRITER + 1}
    assert found.foreign == 1
    assert not found.steps


def test_what_two_instances_have_seen_is_a_duplicate() -> None:
    left, right = Ledger(), Ledger()
    observe(left, events([1, 2, 3]))
    observe(right, events([3, 4]))

    whole = merge(
        Arrivals.decode(decode(encode(part.arrivals().encode()), EncodedArrivals, "a tap"))
        for part in (left, right)
    )

    assert whole.seen[WRITER].ranges() == [(1, 4)]
    assert (whole.steps[STEP].delivered, whole.steps[STEP].duplicated) == (4, 1)


def deliver(
    ledger: Ledger, *rows: tuple[int, int, str, bool], checks: list[RowCheck] | None = None
) -> list[bool]:
    """Events of the key 7, as sequence, version, operation and whether each is a delete event; each
    pair of sequences is a transaction of its own.
    """
    texts = [
        format_probe(
            Probe(RUN, WRITER, sequence, 1, (sequence - 1) % 2, 2, version, operation, 0, 0)
        ).encode()
        for sequence, version, operation, _ in rows
    ]
    numbers = np.arange(len(rows), dtype=np.int64)
    part = PartitionEvents(
        parse_probes(texts, RUN),
        np.full(len(rows), 7),
        3,
        100 + numbers,
        None if checks is None else np.array(checks, dtype=np.uint8),
    )
    return list(map(bool, ledger.observe(part, deleted=np.array([row[3] for row in rows]))))


def test_a_stamp_and_its_delete_are_two_events_of_one_transaction() -> None:
    ledger = Ledger()

    counted = deliver(ledger, (1, 2, "s", False), (1, 2, "s", True))

    found = ledger.arrivals()
    assert counted == [True, True]
    assert found.seen[WRITER].ranges() == [(1, 2)]
    assert found.torn(STEP) == {}
    assert found.keys.last.tolist() == [-3], "the delete is the key's last version"


def test_a_stamp_without_its_delete_is_a_torn_transaction() -> None:
    ledger = Ledger()
    deliver(ledger, (1, 2, "s", False))

    assert ledger.arrivals().torn(STEP)[WRITER].tolist() == [2]


def test_the_delete_of_a_row_that_was_not_stamped_is_foreign() -> None:
    ledger = Ledger()

    assert deliver(ledger, (1, 1, "i", True)) == [False]
    assert (ledger.arrivals().foreign, ledger.arrivals().seen) == (1, {})


def bare_delete(ledger: Ledger, key: int) -> list[bool]:
    batch = parse_probes([b""], RUN)
    part = PartitionEvents(batch, np.array([key]), 0, np.array([0]))
    return list(map(bool, ledger.observe(part, deleted=np.array([True]))))


def test_a_delete_that_names_its_key_alone_is_matched_to_the_open_stamp_once() -> None:
    ledger = Ledger()
    deliver(ledger, (1, 2, "s", False))

    assert bare_delete(ledger, 8) == [False], "another key has no stamp"
    assert bare_delete(ledger, 7) == [True]
    assert bare_delete(ledger, 7) == [False], "its stamp is no longer open"
    assert ledger.arrivals().seen[WRITER].ranges() == [(1, 2)]
    assert ledger.arrivals().foreign == 2


def test_a_stamp_whose_delete_brought_its_probe_is_open_no_more() -> None:
    ledger = Ledger()
    deliver(ledger, (1, 2, "s", False), (1, 2, "s", True))

    assert bare_delete(ledger, 7) == [False]


def test_an_event_that_comes_again_does_not_count_and_is_located_where_it_did() -> None:
    ledger = Ledger()
    deliver(ledger, (1, 1, "i", False), (2, 2, "u", False))

    assert deliver(ledger, (2, 2, "u", False), (3, 3, "u", False)) == [False, True]
    (example,) = ledger.arrivals().examples
    assert (example.finding, example.sequence, example.key) == ("duplicated", 2, 7)
    assert (example.partition, example.position) == (3, 100)


def test_an_old_event_that_comes_again_is_replayed_and_a_new_one_is_reordered() -> None:
    ledger = Ledger()
    deliver(ledger, (1, 1, "i", False), (2, 2, "u", False), (4, 4, "u", False))
    deliver(ledger, (1, 1, "i", False), (3, 3, "u", False), (4, 4, "u", False))

    counts = ledger.arrivals().steps[STEP]
    # The third version comes after the first that came again, and so does not go back.
    assert (counts.replayed, counts.reordered, counts.duplicated) == (1, 0, 2)
    assert counts.gap == 1, "the third had been left out when the fourth came"


def test_rows_that_were_looked_at_are_counted_by_what_was_seen() -> None:
    ledger = Ledger()
    rows = [(sequence, sequence, "u", False) for sequence in range(1, 5)]
    checks = [RowCheck.GOOD, RowCheck.CORRUPT, RowCheck.SKIPPED, RowCheck.UNCHECKABLE]
    deliver(ledger, *rows, checks=checks)

    found = ledger.arrivals()
    counts = found.steps[STEP]
    assert (counts.checked, counts.corrupt, counts.uncheckable) == (2, 1, 1)
    assert [(one.finding, one.sequence) for one in found.examples] == [("corrupt", 2)]


def test_an_event_outside_its_own_transaction_is_foreign() -> None:
    """Its index must lie within its size, and as many events must have come before it."""
    ledger = Ledger()
    places = [(5, 0, 1), (5, 4, 5), (5, 1, 1), (5, 5, 6), (5, 2, 2)]
    texts = [
        format_probe(Probe(RUN, WRITER, sequence, 1, index, size, 1, "i", 0, 0)).encode()
        for sequence, index, size in places
    ]
    part = PartitionEvents(
        parse_probes(texts, RUN), np.arange(5, dtype=np.int64), 0, np.arange(5, dtype=np.int64)
    )

    assert ledger.observe(part).tolist() == [True, False, False, False, False]
    assert (ledger.arrivals().foreign, ledger.arrivals().steps[STEP].duplicated) == (3, 1)


def test_what_was_not_observed_yet_is_unseen_and_looking_changes_nothing() -> None:
    ledger = Ledger()
    observe(ledger, events([1, 3]))
    batch = parse_probes([*events([1, 2, 3]), b"junk"], RUN)

    for _ in range(2):
        assert ledger.unseen(batch).tolist() == [False, True, False, True]


def test_what_was_told_of_a_ledger_does_not_grow_with_it() -> None:
    ledger = Ledger()
    observe(ledger, events([1]))
    before = ledger.arrivals()
    observe(ledger, [*events([1, 2], version=2, operation="u"), b"junk"], keys=[7, 8, 9])

    assert before.seen[WRITER].ranges() == [(1, 1)]
    assert (before.steps[STEP].delivered, before.steps[STEP].duplicated) == (1, 0)
    assert (before.foreign, before.examples, len(before.keys)) == (0, [], 0)


def test_a_batch_of_several_steps_is_counted_by_step() -> None:
    ledger = Ledger()
    other = 20_000 * 2 + 1
    observe(ledger, [*events([1, 2, 2]), *events([1, 1, 1], writer=other)])

    counts = ledger.delivered()
    assert {step: (one.delivered, one.duplicated) for step, one in counts.items()} == {
        STEP: (2, 1),
        other // 10_000: (1, 2),
    }


def test_each_fence_is_known_by_its_writer_and_sequence_and_the_last_place_it_came_from() -> None:
    ledger = Ledger()
    texts = events([1, 2], writer=9_999_999, operation=Operation.FENCE)
    numbers = np.arange(2, dtype=np.int64)
    ledger.observe(PartitionEvents(parse_probes(texts, RUN), numbers, 4, numbers))
    ledger.observe(PartitionEvents(parse_probes(texts[:1], RUN), numbers[:1], 5, numbers[:1]))

    first = 9_999_999 * KEYS_PER_WRITER + 1
    assert ledger.fences() == {first, first + 1}
    assert ledger.fence_places() == {first: 5, first + 1: 4}
    assert ledger.fenced_partitions() == {4, 5}


def test_so_many_findings_of_a_class_are_located_and_all_are_counted() -> None:
    ledger = Ledger()
    again = list(range(1, EXAMPLES + 21))
    for part in (again, again[:60], again[:60]):
        observe(ledger, events(part))

    found = ledger.arrivals()
    assert found.steps[STEP].duplicated == 120
    assert [one.sequence for one in found.examples] == [*range(1, 61), *range(1, 41)]
