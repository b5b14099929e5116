"""The ledger against a brute-force oracle, and what an audit concludes."""

from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cdc_users.measure.ledger.arrival import EncodedArrivals
from cdc_users.measure.ledger.ledger import (
    BLOCK,
    Arrivals,
    Ledger,
    Outcomes,
    PartitionEvents,
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
