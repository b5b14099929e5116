"""What an audit concludes from outcomes and arrivals, claim by claim."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc_users.measure.ledger.arrival import EXAMPLES, Arrivals, Example, StepLedger
from cdc_users.measure.ledger.audit import CLASSES, Audit, Outcomes, audit, audit_taps
from cdc_users.measure.ledger.sequence import SequenceRange, SequenceSet, union

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


def test_a_tap_of_states_accuses_nobody_and_stands_before_nobody() -> None:
    outcomes = {WRITER: Outcomes(acked=[(1, 10)], unknown=[(11, 12)])}
    taps = {
        "table": arrived((9, 10), cuts={WRITER: SequenceSet.of([(8, 8), (11, 11)])}),
        "sink": arrived((1, 10)),
    }

    found = audit_taps(STEP, outcomes, taps, fenced=True, states=("table",))

    assert found["table"].findings == {}
    assert (found["table"].examples, found["table"].lost_at) == ((), {})
    assert found["sink"].findings == {"unknown": 2}
    assert found["sink"].unsourced == 0, "a state that was overtaken is no proof of absence"


def test_a_tap_of_states_still_says_what_it_saw_wrong() -> None:
    seen = arrived(
        (1, 10),
        steps={STEP: StepLedger(delivered=10, corrupt=1, checked=4)},
        examples=[Example("corrupt", WRITER, 3)],
    )

    found = audit_taps(
        STEP, {WRITER: Outcomes(acked=[(1, 9)])}, {"table": seen}, fenced=True, states=("table",)
    )["table"]

    assert found.findings == {"corrupt": 1, "phantom": 1}
    assert [(one.finding, one.tap) for one in found.examples] == [
        ("phantom", "table"),
        ("corrupt", "table"),
    ]


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
