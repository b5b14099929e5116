"""Two final states against a comparison row by row."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cdc_users.measure.ledger.ledger import Ledger, PartitionEvents
from cdc_users.measure.ledger.probe import Operation, Probe, format_probe, parse_probes
from cdc_users.observe.comparison import last_seen
from cdc_users.observe.final_state import ArraySide, TableState, compare

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
