"""A stall is told once, in time, with the place where events wait; a flow that moves is none."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc_users.measure.judgement.stall import (
    PINNED_BYTES,
    STALLED_S,
    FlowSample,
    IdleSlotDetector,
    StallDetector,
)


def told(samples: Iterable[FlowSample], patience_s: float = 0.0) -> list[tuple[float, str]]:
    detector = StallDetector(patience_s)
    found = [(sample.at_s, detector.see(sample)) for sample in samples]
    return [(at_s, text) for at_s, text in found if text is not None]


def stalled(captured: int | None, **known: int) -> list[FlowSample]:
    """1,000 of more and more events have come out, and no more come."""
    return [FlowSample(float(at), 1000 + 100 * at, captured, 1000, **known) for at in range(30)]


def test_a_stall_is_told_once_and_within_ten_seconds() -> None:
    ((at_s, text),) = told(stalled(1000))

    assert STALLED_S <= at_s <= 10.0
    assert "nothing has come out for 7 s although 700 events wait" in text


@pytest.mark.parametrize(
    ("samples", "place"),
    [
        (stalled(1000, slot_lag_bytes=2_500_000), "not in the topic; its slot does not advance"),
        (stalled(None, slot_lag_bytes=2_500_000), "its slot does not advance (2.5 MB behind)"),
        (stalled(1000), "the capture stands still, 700 events are not in the topic"),
        (
            [FlowSample(float(at), 1000 + 100 * at, 1000 + 100 * at, 900) for at in range(30)],
            "the consumer group is idle, 800 events behind",
        ),
        (
            [
                FlowSample(float(at), 1000 + 9 * at, 1000 + 9 * at, 900, group_lag=77)
                for at in range(30)
            ],
            "the consumer group is idle, 77 events behind",
        ),
        (
            [FlowSample(float(at), 5000, 5000, 900, held=500) for at in range(30)],
            "the platform holds 500 events in its queues and writes none",
        ),
    ],
)
def test_the_place_is_the_first_part_that_hands_nothing_on(
    samples: list[FlowSample], place: str
) -> None:
    ((_, text),) = told(samples)

    assert place in text


def test_what_is_patient_is_told_later() -> None:
    ((at_s, _),) = told(stalled(1000), patience_s=5.0)

    assert at_s == STALLED_S + 5.0


def test_a_second_stall_is_told_again() -> None:
    again = [FlowSample(30.0 + at, 9000 + 100 * at, 9000, 8000) for at in range(15)]

    assert len(told([*stalled(1000), *again])) == 2


@given(st.lists(st.integers(0, 50), min_size=1, max_size=60))
def test_a_pipeline_with_nothing_to_deliver_never_stalls(steps: list[int]) -> None:
    total, samples = 0, []
    for at, more in enumerate(steps):
        total += more
        samples.append(FlowSample(float(at), total, total, total))

    assert told(samples) == []


@given(st.lists(st.integers(1, 50), min_size=1, max_size=60), st.integers(0, 10_000))
def test_a_pipeline_that_delivers_something_each_second_never_stalls(
    steps: list[int], backlog: int
) -> None:
    total, samples = 0, []
    for at, more in enumerate(steps):
        total += more
        samples.append(FlowSample(float(at), total + backlog, total, total))

    assert told(samples) == []


@given(st.integers(1, 1000), st.integers(0, 5))
def test_whatever_waits_the_sentence_comes_within_ten_seconds(waiting: int, began: int) -> None:
    moving = [FlowSample(float(at), at, at, at) for at in range(began)]
    standing = [FlowSample(float(began + at), began + waiting, None, began) for at in range(20)]

    ((at_s, _),) = told([*moving, *standing])

    assert at_s - began <= 10.0


def test_the_sentence_of_a_stall_is_whole() -> None:
    ((_, text),) = told(stalled(1000, slot_lag_bytes=2_550_000))

    assert text == (
        "nothing has come out for 7 s although 700 events wait: the capture stands still, 700"
        " events are not in the topic; its slot does not advance (2.5 MB behind)"
    )


def test_a_slot_that_is_not_behind_is_not_accused() -> None:
    ((_, text),) = told(stalled(None, slot_lag_bytes=0))

    assert text.endswith("wait: the capture stands still")


def test_nothing_that_waits_at_first_is_no_stall_until_it_has_waited_long_enough() -> None:
    idle = [FlowSample(float(at), 10, 10, 10) for at in range(100)]
    waiting = [FlowSample(100.0 + at, 11, 11, 10) for at in range(8)]

    ((at_s, _),) = told([*idle, *waiting])

    # The last sample at which nothing waited was a second before.
    assert at_s == 99.0 + STALLED_S


def test_a_stall_is_told_at_the_very_limit_and_not_before() -> None:
    sent = [FlowSample(at_s, 5, None, 1) for at_s in (0.0, STALLED_S - 0.01, STALLED_S)]

    assert [at_s for at_s, _ in told(sent)] == [STALLED_S]


def test_a_sink_that_begins_once_more_has_moved() -> None:
    """A process that was started again counts from nothing, which is no standstill."""
    before = [FlowSample(float(at), 1000, 1000, 500) for at in range(7)]
    after = [FlowSample(7.0 + at, 1000, 1000, at) for at in range(20)]

    assert told([*before, *after]) == []


def test_a_capture_that_moved_a_moment_ago_is_not_what_stands_still() -> None:
    """What it still has to hand on is less than what the topic holds for a sink that is idle."""
    samples = [FlowSample(float(at), 5000, 1000 + 10 * at, 900) for at in range(10)]

    ((_, text),) = told(samples)

    assert "the consumer group is idle, 170 events behind in the topic" in text


def test_a_capture_counts_as_standing_after_half_of_the_time() -> None:
    def at_rest_since(last_s: float) -> str:
        samples = [FlowSample(float(at), 5000, 1000 + min(at, int(last_s)), 900) for at in range(8)]
        ((_, text),) = told(samples)
        return text

    assert "the capture stands still" in at_rest_since(3)  # 4 s of 7
    assert "the consumer group is idle" in at_rest_since(4)  # 3 s of 7


def test_a_capture_that_has_handed_on_everything_is_not_what_stands_still() -> None:
    samples = [FlowSample(float(at), 1000, 1000, 400, held=0, group_lag=0) for at in range(9)]

    ((_, text),) = told(samples)

    assert "the consumer group is idle, 0 events behind in the topic" in text


def pinned(samples: Iterable[FlowSample]) -> list[tuple[float, str]]:
    detector = IdleSlotDetector()
    found = [(sample.at_s, detector.see(sample)) for sample in samples]
    return [(at_s, text) for at_s, text in found if text is not None]


def idle(*lags: int | None) -> list[FlowSample]:
    """A second between samples, nothing sent and nothing waiting."""
    return [FlowSample(float(at), 1000, 1000, 1000, lag) for at, lag in enumerate(lags)]


def test_a_slot_that_falls_behind_while_no_event_waits_is_told_once() -> None:
    ((at_s, text),) = pinned(idle(*(4_000_000 * at for at in range(30))))

    assert STALLED_S <= at_s <= 10.0
    assert "the slot fell 28 MB behind in 7 s" in text
    assert "heartbeat.action.query" in text


@pytest.mark.parametrize(
    "samples",
    [
        idle(*(PINNED_BYTES // 30 * at for at in range(30))),
        idle(*(4_000_000 * (at % 3) for at in range(30))),
        idle(*([None] * 30)),
        [FlowSample(float(at), at, at, at, 4_000_000 * at) for at in range(30)],
        [FlowSample(float(at), 1001, 1000, 1000, 4_000_000 * at) for at in range(30)],
    ],
    ids=["slow", "advances", "unknown", "events come", "an event waits"],
)
def test_a_slot_that_advances_or_has_events_is_not_told_as_idle(samples: list[FlowSample]) -> None:
    assert pinned(samples) == []


def test_each_idle_time_is_told() -> None:
    first = idle(*(4_000_000 * at for at in range(12)))
    again = [
        FlowSample(20.0 + at, 1001, 1001, 1001, 60_000_000 + 4_000_000 * at) for at in range(12)
    ]

    assert len(pinned([*first, *again])) == 2
