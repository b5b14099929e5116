"""What an audit concludes from outcomes and arrivals, claim by claim."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc_users.measure.ledger.arrival import EXAMPLES, Arrivals, Example, StepLedger
from cdc_users.measure.ledger.audit import (
    CLASSES,
    Audit,
    Outcomes,
    audit,
    audit_taps,
    lacked,
)
from cdc_users.measure.ledger.audit import located as located_at
from cdc_users.measure.ledger.place import EventPlace
from cdc_users.measure.ledger.sequence import SequenceRange, SequenceSet, union
from cdc_users.measure.ledger.version import KeyStates

STEP, OTHER_STEP = 1, 2
WRITER, SECOND, ELSEWHERE = 10_001, 10_002, 20_001
numbers = st.sets(st.integers(1, 40), max_size=30)


def ranges(found: set[int]) -> list[SequenceRange]:
    return union([(number, number) for number in found], ())


def arrived(*seen: SequenceRange, writer: int = WRITER, **more: Any) -> Arrivals:
    return Arrivals(seen={writer: SequenceSet.of(seen)}, **more)


def located(found: Audit, finding: str) -> list[tuple[str, int, int]]:
    return [(one.tap, one.writer, one.sequence) for one in found.examples if one.finding == finding]


@given(acked=numbers, failed=numbers, unknown=numbers, seen=numbers)
def test_every_event_is_in_exactly_one_place(
    acked: set[int], failed: set[int], unknown: set[int], seen: set[int]
) -> None:
    failed, unknown = failed - acked, unknown - acked - failed
    outcomes = {WRITER: Outcomes(ranges(acked), ranges(failed), ranges(unknown))}
    arrivals = Arrivals(seen={WRITER: SequenceSet.of(ranges(seen))})

    found = audit(STEP, outcomes, arrivals, fenced=True)

    assert found.sent == len(acked)
    assert found.lost == len(acked - seen)
    assert found.unknown == len(unknown - seen)
    # What had failed at the source, or was never written, has no business at a tap.
    assert found.phantom == len(seen - acked - unknown)
    assert found.lost_at == ({"": found.lost} if found.lost else {})
    assert located(found, "lost") == [("", WRITER, number) for number in sorted(acked - seen)]


def test_events_of_another_step_are_in_no_count() -> None:
    outcomes = {WRITER: Outcomes(acked=[(1, 3)]), ELSEWHERE: Outcomes(acked=[(1, 9)])}
    arrivals = Arrivals(
        seen={WRITER: SequenceSet.of([(1, 3)]), ELSEWHERE: SequenceSet.of([(20, 25)])},
        steps={STEP: StepLedger(delivered=3), OTHER_STEP: StepLedger(delivered=6, duplicated=4)},
        examples=[Example("duplicated", ELSEWHERE, 20)],
    )

    found = audit(STEP, outcomes, arrivals, fenced=True)

    assert (found.sent, found.delivered, found.clean, found.examples) == (3, 3, True, ())
    assert audit(OTHER_STEP, outcomes, arrivals, fenced=True).findings == {
        "lost": 9,
        "duplicated": 4,
        "phantom": 6,
    }


def test_a_writer_that_nobody_knows_of_made_phantoms() -> None:
    found = audit(STEP, {}, arrived((4, 6)), fenced=True)

    assert found.findings == {"phantom": 3}
    assert located(found, "phantom") == [("", WRITER, number) for number in (4, 5, 6)]


def test_a_writer_that_nothing_came_of_lost_everything() -> None:
    found = audit(STEP, {WRITER: Outcomes(acked=[(1, 2)])}, Arrivals(), fenced=True)

    assert found.findings == {"lost": 2}


def test_without_fences_neither_loss_nor_tearing_is_claimed() -> None:
    cut = Arrivals(
        seen={WRITER: SequenceSet.of([(1, 2)])}, cuts={WRITER: SequenceSet.of([(1, 1), (5, 5)])}
    )
    outcomes = {WRITER: Outcomes(acked=[(1, 4)])}

    fenced, open_ = (audit(STEP, outcomes, cut, fenced=known) for known in (True, False))

    assert fenced.findings == {"lost": 2, "torn": 1}
    assert located(fenced, "torn") == [("", WRITER, 3)]
    assert open_.findings == {"unseen": 2}
    assert located(open_, "unseen") == [("", WRITER, 3), ("", WRITER, 4)]


def test_a_class_has_so_many_examples_and_no_more_over_all_writers() -> None:
    outcomes = {
        WRITER: Outcomes(acked=[(1, EXAMPLES - 1)]),
        SECOND: Outcomes(acked=[(1, EXAMPLES)], failed=[(500, 502)]),
    }

    found = audit(STEP, outcomes, arrived((500, 502), writer=SECOND), fenced=True)

    assert found.lost == 2 * EXAMPLES - 1
    assert len(located(found, "lost")) == EXAMPLES
    assert located(found, "lost")[-1] == ("", SECOND, 1)
    assert len(located(found, "phantom")) == 3, "another class has room of its own"


@pytest.mark.parametrize(
    ("topic", "sink", "lost_at", "unsourced"),
    [
        ((1, 10), (1, 10), {}, 0),
        ((1, 10), (1, 7), {"sink": 3}, 0),
        ((1, 7), (1, 7), {"topic": 3}, 0),
        # The sink lacks 5 to 10: 8 to 10 the topic never had.
        ((1, 7), (1, 4), {"topic": 3, "sink": 3}, 0),
        # The sink claims what the topic never had; nothing of that is lost at the sink.
        ((1, 7), (1, 9), {"topic": 1}, 2),
    ],
)
def test_a_loss_is_the_first_taps_that_lacks_it(
    topic: SequenceRange, sink: SequenceRange, lost_at: dict[str, int], unsourced: int
) -> None:
    outcomes = {WRITER: Outcomes(acked=[(1, 10)])}
    taps = {"topic": arrived(topic), "sink": arrived(sink)}

    found = audit_taps(STEP, outcomes, taps, fenced=True)["sink"]

    assert found.lost == 10 - sink[1]
    assert found.lost_at == lost_at
    assert found.unsourced == unsourced
    assert {tap for tap, _, _ in located(found, "lost")} == set(lost_at)


def test_a_tap_claims_what_the_tap_just_before_it_never_had() -> None:
    outcomes = {WRITER: Outcomes(acked=[(1, 10)])}
    taps = {"log": arrived((1, 4)), "topic": arrived((1, 9)), "sink": arrived((1, 10))}

    found = audit_taps(STEP, outcomes, taps, fenced=True)

    assert {name: one.unsourced for name, one in found.items()} == {
        "log": 0,
        "topic": 5,
        "sink": 1,
    }
    assert (found["topic"].lost_at, found["sink"].lost_at) == ({"log": 1}, {})


def test_a_tap_beside_another_has_no_part_in_what_that_one_lacks() -> None:
    outcomes = {WRITER: Outcomes(acked=[(1, 10)])}
    taps = {"topic": arrived((1, 10)), "search": arrived((9, 10)), "copy": arrived((1, 8))}

    found = audit_taps(STEP, outcomes, taps, fenced=True, beside={"copy": {"search"}})
    chained = audit_taps(STEP, outcomes, taps, fenced=True)

    assert (found["search"].lost_at, found["copy"].lost_at) == ({"search": 8}, {"copy": 2})
    assert found["copy"].unsourced == 0
    assert chained["copy"].unsourced == 8


def test_each_tap_may_have_fences_of_its_own_and_one_without_a_word_has_none() -> None:
    outcomes = {WRITER: Outcomes(acked=[(1, 2)])}
    taps = {"topic": Arrivals(), "sink": Arrivals(), "mirror": Arrivals()}

    found = audit_taps(STEP, outcomes, taps, fenced={"topic": True, "sink": False})

    assert {name: one.findings for name, one in found.items()} == {
        "topic": {"lost": 2},
        "sink": {"unseen": 2},
        "mirror": {"unseen": 2},
    }


@pytest.mark.parametrize("name", CLASSES)
def test_any_class_alone_spoils_an_audit(name: str) -> None:
    clean = Audit(
        sent=0, delivered=0, lost=0, duplicated=0, reordered=0, unseen=0, unknown=0, phantom=0
    )
    spoilt: Audit = replace(clean, **{name: 3})  # type: ignore[arg-type]

    assert clean.clean
    assert spoilt.findings == {name: 3}
    assert not spoilt.clean


def test_an_audit_of_nothing_is_clean() -> None:
    found = audit(STEP, {}, Arrivals(), fenced=True)

    assert found.clean
    assert (found.sent, found.delivered, found.lost_at, found.examples) == (0, 0, {}, ())


def test_counts_of_a_tap_are_told_as_it_counted_them() -> None:
    counts = StepLedger(
        delivered=9,
        duplicated=2,
        reordered=3,
        replayed=4,
        gap=5,
        checked=6,
        corrupt=1,
        uncheckable=7,
    )

    found = audit(STEP, {}, Arrivals(steps={STEP: counts}), fenced=True)

    assert {name: getattr(found, name) for name in StepLedger.__slots__} == {
        name: getattr(counts, name) for name in StepLedger.__slots__
    }


def test_a_stale_key_is_told_by_its_writer_and_itself() -> None:
    writer, one, last, high = (
        np.array(column, dtype=np.int32)
        for column in ([WRITER, SECOND, ELSEWHERE], [1, 1, 1], [1, 2, 1], [2, 2, 2])
    )
    keys = KeyStates(np.array([70, 71, 72]), writer, first=one, last=last, high=high, at_ms=one)

    found = audit(STEP, {}, Arrivals(keys=keys), fenced=True)

    assert found.findings == {"stale": 1}
    assert found.examples == (Example("stale", WRITER, -1, key=70),)


def test_torn_transactions_have_so_many_examples_over_all_writers() -> None:
    def halves(count: int) -> dict[str, SequenceSet]:
        """Transactions of two events, of each of which the first has come."""
        numbers = [2 * number + 1 for number in range(count)]
        return {
            "seen": SequenceSet.of([(number, number) for number in numbers]),
            "cuts": SequenceSet.of([(number, number) for number in [*numbers, 2 * count + 1]]),
        }

    parts = {WRITER: halves(60), SECOND: halves(60)}
    arrivals = Arrivals(
        seen={writer: part["seen"] for writer, part in parts.items()},
        cuts={writer: part["cuts"] for writer, part in parts.items()},
    )

    found = audit(STEP, {}, arrivals, fenced=True)

    assert found.torn == 120
    torn = located(found, "torn")
    assert len(torn) == EXAMPLES
    assert torn[0] == ("", WRITER, 2)
    assert torn[-1] == ("", SECOND, 80)


@pytest.mark.parametrize(
    ("word", "position", "tap", "asked"),
    [
        ("lost", -1, "sink", True),
        ("unseen", -1, "", True),
        ("torn", -1, "sink", True),
        ("lost", -1, "topic", False),  # missing there already
        ("lost", 7, "sink", False),  # its place is known
        ("lost", 0, "sink", False),
        ("phantom", -1, "sink", False),
        ("stale", -1, "sink", False),
    ],
)
def test_an_earlier_tap_is_asked_for_what_is_missing_here_alone(
    word: str, position: int, tap: str, asked: bool
) -> None:
    example = Example(word, WRITER, 5, position=position, tap=tap)
    found = replace(audit(STEP, {}, Arrivals(), fenced=True), examples=(example,))

    assert lacked(found, "sink") == ([(WRITER, 5)] if asked else [])


def test_a_place_is_given_to_what_is_missing_and_to_nothing_else() -> None:
    examples = tuple(
        Example(word, WRITER, sequence)
        for word, sequence in (("lost", 5), ("lost", 6), ("torn", 5), ("phantom", 5))
    )
    found = replace(audit(STEP, {}, Arrivals(), fenced=True), examples=examples)

    placed = located_at(found, [EventPlace(WRITER, 5, 3, 70, 9), EventPlace(SECOND, 6, 1, 1, 1)])

    assert [(one.partition, one.position, one.key) for one in placed.examples] == [
        (3, 70, 9),
        (-1, -1, None),
        (3, 70, 9),
        (-1, -1, None),
    ]


def test_a_loss_is_spread_over_three_taps() -> None:
    """Of ten events the log has nine, the topic eight of those, and the sink six of these."""
    outcomes = {WRITER: Outcomes(acked=[(1, 10)])}
    taps = {"log": arrived((1, 9)), "topic": arrived((1, 8)), "sink": arrived((1, 6))}

    found = audit_taps(STEP, outcomes, taps, fenced=True)

    assert found["log"].lost_at == {"log": 1}
    assert found["topic"].lost_at == {"log": 1, "topic": 1}
    assert found["sink"].lost_at == {"log": 1, "topic": 1, "sink": 2}
    for one in found.values():
        assert sum(one.lost_at.values()) == one.lost


@given(st.lists(numbers, min_size=1, max_size=4), numbers)
def test_every_lost_event_is_lost_at_one_tap(seen: list[set[int]], acked: set[int]) -> None:
    taps = {str(place): arrived(*ranges(come)) for place, come in enumerate(seen)}
    outcomes = {WRITER: Outcomes(acked=ranges(acked))}

    found = audit_taps(STEP, outcomes, taps, fenced=True)

    for place, come in enumerate(seen):
        expected: dict[str, int] = {}
        for number in acked - come:
            first = next(at for at in range(place + 1) if number not in seen[at])
            expected[str(first)] = expected.get(str(first), 0) + 1
        assert found[str(place)].lost_at == expected
        assert found[str(place)].unsourced == (len(come - seen[place - 1]) if place else 0)
