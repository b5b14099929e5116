"""Two final states against a comparison row by row."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc_users.measure.ledger.arrival import EXAMPLES
from cdc_users.measure.ledger.ledger import Ledger, PartitionEvents
from cdc_users.measure.ledger.probe import Operation, Probe, format_probe, parse_probes
from cdc_users.observe.comparison import last_seen
from cdc_users.observe.final_state import (
    BUCKETS,
    ArraySide,
    DeletedKeys,
    TableState,
    Totals,
    compare,
    mark_of,
    state_of_probes,
)
from cdc_users.observe.message import FINAL_FINDINGS

#: Key to version, mark, and whether the row is damaged.
Rows = dict[int, tuple[int, int, bool]]
rows = st.dictionaries(
    st.integers(-5, 5000),
    st.tuples(st.integers(1, 3), st.integers(1, 2), st.booleans()),
    max_size=30,
)


def side(name: str, held: Rows, marked: bool = True) -> ArraySide:
    columns = [
        np.array([row[place] for row in held.values()], dtype=np.int64) for place in range(3)
    ]
    keys = np.array(list(held), dtype=np.int64)
    return ArraySide(
        name, TableState.of(keys, columns[0], columns[1], columns[2].astype(np.bool_)), marked
    )


@given(rows, rows, st.sets(st.integers(-5, 5000), max_size=5))
def test_every_difference_is_found_and_only_those(
    source: Rows, sink: Rows, ignored: set[int]
) -> None:
    source = {key: (version, mark, False) for key, (version, mark, _) in source.items()}
    sink |= {key: row for key, row in source.items() if key % 2}

    found = compare(
        side("source", source), side("sink", sink), np.array(sorted(ignored), dtype=np.int64)
    )

    both = (source.keys() & sink.keys()) - ignored
    stale = {key for key in both if sink[key][0] < source[key][0]}
    corrupt = {key for key in both - stale if sink[key][:2] != source[key][:2] or sink[key][2]}
    assert found.missing == len(source.keys() - sink.keys() - ignored)
    assert found.extra == len(sink.keys() - source.keys() - ignored)
    assert (found.stale, found.corrupt) == (len(stale), len(corrupt))
    assert {example.key for example in found.examples if example.finding == "stale"} == stale


@given(rows, rows)
def test_against_versions_alone_marks_say_nothing(source: Rows, sink: Rows) -> None:
    sink = {key: (version, mark, False) for key, (version, mark, _) in sink.items()}

    found = compare(side("expected", source, marked=False), side("sink", sink))

    both = source.keys() & sink.keys()
    assert found.corrupt == sum(sink[key][0] > source[key][0] for key in both)


def test_of_a_key_that_is_there_twice_the_newest_row_stands_for_it_and_the_other_is_repeated() -> (
    None
):
    twice = TableState.of(np.array([7, 7]), np.array([2, 1]), np.array([5, 4]))

    found = compare(side("source", {7: (2, 5, False)}), ArraySide("sink", twice))

    assert (found.repeated, found.extra, found.stale, found.corrupt) == (1, 0, 0, 0)


def test_what_a_tap_saw_last_is_compared_by_version() -> None:
    ledger = Ledger()
    seen = [
        (1, 1, "i"),
        (2, 1, "i"),
        (2, 2, "u"),
        (3, 1, "i"),
        (3, 3, "u"),
        (3, 2, "u"),
        (4, 1, "i"),
        (4, 2, "s"),
    ]
    texts = [
        format_probe(
            Probe("abcd1234", 10_001, number, number, 0, 1, version, Operation(operation), 0, 0)
        ).encode()
        for number, (_, version, operation) in enumerate(seen, start=1)
    ]
    keys = np.array([key for key, _, _ in seen])
    probes = parse_probes(texts, "abcd1234")
    ledger.observe(PartitionEvents(probes, keys, 0, np.arange(len(seen))))
    expected = side(
        "expected", {1: (1, 0, False), 2: (2, 0, False), 3: (3, 0, False)}, marked=False
    )

    found = compare(expected, last_seen(ledger.arrivals(), expected))

    assert {example.finding: example.key for example in found.examples} == {"stale": 3, "extra": 4}


def deleted(**at: int) -> DeletedKeys:
    """Keys (`k7`) that were deleted, each with the version of its delete."""
    keys = np.array([int(name[1:]) for name in at], dtype=np.int64)
    return DeletedKeys.of(keys, np.array(list(at.values()), dtype=np.int64))


def test_the_version_of_a_delete_is_that_of_its_very_key() -> None:
    gone = deleted(k9=3, k2=7, k5=11)

    assert gone.versions_of(np.array([1, 2, 3, 5, 9, 10])).tolist() == [0, 7, 0, 11, 3, 0]
    assert deleted().versions_of(np.array([1, 2])).tolist() == [0, 0]
    assert gone.versions_of(np.array([], dtype=np.int64)).tolist() == []


@pytest.mark.parametrize(
    ("version", "finding"),
    [(9, "undeleted"), (10, "undeleted"), (8, "resurrected"), (1, "resurrected")],
)
def test_a_row_that_outlived_its_delete_is_told_by_its_version(version: int, finding: str) -> None:
    """GIVEN a key whose delete was version 10, so that its stamp was version 9."""
    sink = side("sink", {7: (version, 1, False)})
    found = compare(side("source", {}), sink, gone=deleted(k7=10, k8=3))

    assert {name: getattr(found, name) for name in FINAL_FINDINGS if getattr(found, name)} == {
        finding: 1
    }
    (example,) = found.examples
    assert (example.finding, example.key) == (finding, 7)
    assert (example.source_version, example.sink_version) == (None, version)


def test_a_row_of_a_key_that_was_deleted_and_is_written_again_is_no_leftover() -> None:
    rows_of_both = {7: (12, 1, False)}
    found = compare(side("source", rows_of_both), side("sink", rows_of_both), gone=deleted(k7=10))

    assert found.clean
    assert found.compared == 1


def test_several_rows_of_a_deleted_key_are_one_leftover_and_repeats() -> None:
    rows_there = TableState.of(np.array([7, 7, 7]), np.array([8, 9, 2]), np.array([1, 2, 3]))
    found = compare(side("source", {}), ArraySide("sink", rows_there), gone=deleted(k7=10))

    assert (found.repeated, found.undeleted, found.resurrected, found.extra) == (2, 1, 0, 0)


@pytest.mark.parametrize(
    "rows_there",
    [
        {},
        {1: (1, 1, False), 2 + BUCKETS: (1, 1, False)},
        {1: (2, 1, False), 2: (1, 1, False)},
        {1: (1, 2, False), 2: (1, 1, False)},
        {1: (1, 1, False), 2: (1, 1, False), 3: (1, 1, False)},
        {1: (1, 1, False)},
    ],
)
def test_sums_show_every_bucket_that_differs(rows_there: Rows) -> None:
    """GIVEN the rows 1 and 2; a row of another key in the same bucket has the same count."""
    source = {1: (1, 1, False), 2: (1, 1, False)}
    keys = source.keys() | rows_there.keys()
    one, other = side("a", source).totals(BUCKETS), side("b", rows_there).totals(BUCKETS)
    buckets = {key % BUCKETS for key in keys if source.get(key) != rows_there.get(key)}

    assert set(one.differ(other, marks=True).tolist()) == buckets
    assert set(other.differ(one, marks=True).tolist()) == buckets
    versions = {
        key % BUCKETS for key in keys if source.get(key, ())[:1] != rows_there.get(key, ())[:1]
    }
    assert set(one.differ(other, marks=False).tolist()) == versions


def test_contents_are_compared_only_where_both_have_one_form() -> None:
    numbers = np.arange(3, dtype=np.int64)
    unsigned = numbers.astype(np.uint64)
    content = Totals(numbers, unsigned, unsigned, unsigned, unsigned, "a")

    same = content.contents_differ(replace(content, content=np.array([0, 9, 2], dtype=np.uint64)))
    assert same is not None
    assert same.tolist() == [1]
    assert content.contents_differ(replace(content, form="b")) is None
    assert content.contents_differ(replace(content, content=None)) is None
    assert replace(content, content=None).contents_differ(content) is None


def test_examples_are_bounded_for_each_finding_and_counts_are_not() -> None:
    source = dict.fromkeys(range(3 * EXAMPLES), (1, 1, False))
    sink = dict.fromkeys(range(EXAMPLES, 5 * EXAMPLES), (1, 2, False))
    found = compare(side("source", source), side("sink", sink))

    assert (found.missing, found.corrupt, found.extra) == (EXAMPLES, 2 * EXAMPLES, 2 * EXAMPLES)
    by_finding = Counter(example.finding for example in found.examples)
    assert by_finding == {"missing": EXAMPLES, "corrupt": EXAMPLES, "extra": EXAMPLES}


def test_a_mark_tells_sequences_and_checksums_apart() -> None:
    marks = mark_of(np.array([1, 2, 1]), np.array([5, 5, 6]))

    assert len(set(marks.tolist())) == 3
    assert mark_of(np.array([10**10 - 1]), np.array([2**32 - 1]))[0] > 0, "it fits 64 bits"


def test_rows_without_a_probe_of_the_run_are_counted_and_fences_are_left_out() -> None:
    def probe(run: str, sequence: int, operation: Operation) -> bytes:
        made = Probe(run, 10_001, sequence, sequence, 0, 1, 3, operation, 0, 7)
        return format_probe(made).encode()

    probes = [
        probe("abcd1234", 1, Operation.INSERT),
        probe("other123", 2, Operation.INSERT),
        b"",
        probe("abcd1234", 4, Operation.FENCE),
        b"nonsense",
    ]
    rows_there, foreign = state_of_probes(
        np.array([11, 12, 13, 14, 15]), probes, "abcd1234", np.ones(5, dtype=np.bool_)
    )

    assert (rows_there.key.tolist(), foreign) == ([11], 3)
    assert (rows_there.version.tolist(), rows_there.damaged.tolist()) == ([3], [True])
    assert rows_there.mark.tolist() == mark_of(np.array([1]), np.array([7])).tolist()
