"""Flights keep every change's outcome and times, whatever order the answers come in."""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from cdc_users.measure.ledger.probe import Operation
from cdc_users.users.producer.in_flight import ChangeFlight, PipelinedWriter
from cdc_users.users.workload.workload import Workload, Writer

INTENDED_NS = 5_000_000


def flight_of(sizes: list[int]) -> ChangeFlight:
    """A flight of transactions of these sizes, the n-th meant for n ms after the first."""
    writer = Writer("abcd1234", 10_001, Workload())
    flight = ChangeFlight()
    for number, size in enumerate(sizes):
        flight.add(writer.transaction(size, 1), INTENDED_NS + number * 1_000_000)
    return flight


def depart_all(flight: ChangeFlight) -> None:
    for index in range(len(flight)):
        flight.depart(INTENDED_NS + (index + 20) * 1_000_000, 10)


SIZES = st.lists(st.integers(1, 4), min_size=1, max_size=12)


@given(SIZES, st.data())
def test_every_sequence_has_one_outcome_and_the_runs_say_which(sizes: list[int], data: Any) -> None:
    flight = flight_of(sizes)
    depart_all(flight)
    outcomes = [
        data.draw(st.sampled_from(["acked", "failed", "unknown"])) for _ in range(len(flight))
    ]
    for index in data.draw(st.permutations(range(len(flight)))):
        assert not flight.landed
        if outcomes[index] == "acked":
            flight.acknowledge(index)
        else:
            flight.fail(index, outcomes[index], "a cause")

    assert flight.landed
    told = [outcome for outcome, first, last in flight.runs() for _ in range(first, last + 1)]
    assert told == outcomes
    starts = [first for _, first, _ in flight.runs()]
    assert starts == sorted(starts)
    assert sum(flight.causes().values()) == len(outcomes) - Counter(outcomes)["acked"]


@given(SIZES, st.data())
def test_a_transaction_lasts_from_its_first_record_to_its_last_answer(
    sizes: list[int], data: Any
) -> None:
    flight = flight_of(sizes)
    depart_all(flight)
    bad = set(data.draw(st.lists(st.integers(0, len(flight) - 1))))
    for index in range(len(flight)):
        if index in bad:
            flight.fail(index, "unknown", "a cause")
        else:
            flight.acknowledge(index)
        flight.done_ns[index] = flight.called_ns[index] + (index % 3 + 1) * 1_000_000

    acked, (intended, called, done) = (
        flight.acked().tolist(),
        (column.tolist() for column in flight.times_ns()),
    )

    first = 0
    for number, size in enumerate(sizes):
        indexes = range(first, first + size)
        assert acked[number] == (not bad & set(indexes))
        assert intended[number] == INTENDED_NS + number * 1_000_000
        assert called[number] == flight.called_ns[first]
        assert done[number] == max(flight.done_ns[index] for index in indexes)
        first += size
    assert flight.ack_us().tolist() == [
        (index % 3 + 1) * 1000 for index in range(len(flight)) if index not in bad
    ]


def test_a_refused_change_needs_no_answer() -> None:
    flight = flight_of([1, 1])
    flight.refuse(INTENDED_NS, "a record of 2000000 bytes is too large")
    assert not flight.landed
    flight.depart(INTENDED_NS, 10)
    flight.acknowledge(1)

    assert flight.landed
    assert list(flight.runs()) == [("failed", 1, 1), ("acked", 2, 2)]


def test_giving_up_makes_what_is_open_unknown_and_what_was_not_sent_failed() -> None:
    flight = flight_of([1, 1, 1])
    flight.depart(INTENDED_NS, 10)
    flight.depart(INTENDED_NS, 10)
    flight.acknowledge(0)

    flight.give_up("the load was stopped")
    flight.acknowledge(1)  # an answer that came too late

    assert flight.landed
    assert list(flight.runs()) == [("acked", 1, 1), ("unknown", 2, 2), ("failed", 3, 3)]


def test_versions_count_on_without_waiting_for_acknowledgements() -> None:
    writer = PipelinedWriter("abcd1234", 10_001, Workload(mix=(10, 80, 10), live_keys=3))
    versions: dict[int, int] = {}
    rows: dict[int, Any] = {}
    for _ in range(300):
        for change in writer.transaction(1, 1).changes:
            assert change.key_version == versions.get(change.key, 0) + 1
            versions[change.key] = change.key_version
            assert change.before == (
                None if change.operation is Operation.INSERT else rows[change.key]
            )
            rows[change.key] = change.row
    assert not writer.ranges.runs
