"""Where an event stood at the tap before the one that lacks it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cdc_users.measure.ledger.arrival import Arrivals
from cdc_users.measure.ledger.audit import audit_taps, lacked, located
from cdc_users.measure.ledger.ledger import Outcomes
from cdc_users.measure.ledger.place import EventPlace, EventPlaces
from cdc_users.measure.ledger.sequence import SequenceSet

WRITER = 10_001


def numbers(*values: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.array(values, dtype=np.int64)


@pytest.fixture
def places() -> EventPlaces:
    made = EventPlaces()
    made.remember((numbers(WRITER, WRITER), numbers(1, 2)), 3, numbers(70, 71), numbers(5, 6))
    made.remember((numbers(WRITER + 1), numbers(2)), 0, numbers(9), numbers(7))
    return made


def test_an_event_is_found_by_its_writer_and_sequence(places: EventPlaces) -> None:
    found = places.find([(WRITER, 2), (WRITER + 1, 2), (WRITER, 99)])
    assert found == [EventPlace(WRITER, 2, 3, 71, 6), EventPlace(WRITER + 1, 2, 0, 9, 7)]


def test_of_an_event_that_came_twice_the_first_place_is_told(places: EventPlaces) -> None:
    places.remember((numbers(WRITER), numbers(1)), 3, numbers(80), numbers(5))
    assert places.find([(WRITER, 1)]) == [EventPlace(WRITER, 1, 3, 70, 5)]


def test_the_greatest_writer_and_sequence_are_kept_apart_from_others() -> None:
    made = EventPlaces()
    greatest = (9_999_999, 9_999_999_999)
    made.remember((numbers(greatest[0]), numbers(greatest[1])), 0, numbers(1), numbers(2))
    assert made.find([greatest]) == [EventPlace(*greatest, 0, 1, 2)]
    assert made.find([(greatest[0] - 1, greatest[1])]) == []


def test_what_is_remembered_has_an_end() -> None:
    made = EventPlaces(most=2)
    for sequence in range(1, 5):
        made.remember((numbers(WRITER), numbers(sequence)), 0, numbers(sequence), numbers(0))
    assert [one.sequence for one in made.find([(WRITER, n) for n in range(1, 5)])] == [1, 2]


def test_a_lost_event_is_told_with_where_the_tap_before_saw_it(places: EventPlaces) -> None:
    topic = Arrivals(seen={WRITER: SequenceSet.of([(1, 2)])})
    sink = Arrivals(seen={WRITER: SequenceSet.of([(1, 1)])})
    outcomes = {WRITER: Outcomes(acked=[(1, 3)])}  # 3 has not come to the topic either
    audits = audit_taps(1, outcomes, {"topic": topic, "sink": sink}, fenced=True)

    wanted = lacked(audits["sink"], "sink")
    found = located(audits["sink"], places.find(wanted))

    assert wanted == [(WRITER, 2)]
    at = {one.sequence: (one.tap, one.partition, one.position, one.key) for one in found.examples}
    assert at == {2: ("sink", 3, 71, 6), 3: ("topic", -1, -1, None)}


def test_asking_for_nothing_finds_nothing(places: EventPlaces) -> None:
    assert places.find([]) == []
    assert EventPlaces().find([(WRITER, 1)]) == []


def test_places_are_remembered_as_they_were_told() -> None:
    """A tap uses its arrays again."""
    made = EventPlaces()
    writers, sequences, positions, keys = (numbers(value) for value in (WRITER, 1, 70, 5))
    made.remember((writers, sequences), 2, positions, keys)

    for column in (writers, sequences, positions, keys):
        column[:] = 99

    assert made.find([(WRITER, 1)]) == [EventPlace(WRITER, 1, 2, 70, 5)]


def test_narrow_columns_lose_no_digit() -> None:
    """Events come with writers and sequences of any width."""
    made = EventPlaces()
    narrow: Any = (np.array([9_999_999], dtype=np.int32), np.array([1], dtype=np.int32))
    made.remember(narrow, 0, numbers(1), numbers(2))

    assert made.find([(9_999_999, 1)]) == [EventPlace(9_999_999, 1, 0, 1, 2)]


def test_a_batch_that_begins_before_the_end_is_remembered_whole() -> None:
    made = EventPlaces(most=2)
    for first in (1, 4):
        sequences = numbers(first, first + 1, first + 2)
        made.remember((numbers(*[WRITER] * 3), sequences), 0, sequences, sequences)

    assert [one.sequence for one in made.find([(WRITER, n) for n in range(1, 7)])] == [1, 2, 3]
