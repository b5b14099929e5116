"""Pressure: when places filled and emptied, how busy the sink was, what memory did."""

from __future__ import annotations

import pytest

from cdc_users.measure.judgement.pressure import (
    PressureSample,
    busy_share,
    figures,
    memory_growth_bytes,
    memory_slope,
    stalled_s,
    travel,
)

MB = 1_000_000


def sample(at_s: float, queue: int = 0, **changes: float | None) -> PressureSample:
    made = {
        "in_flight": 0,
        "paused_partitions": 0,
        "completions": 0,
        "busy_s": 0.0,
        "workers": 1,
        "uss_bytes": 50 * MB,
        "rss_bytes": 60 * MB,
    }
    return PressureSample(elapsed_s=at_s, queue_depth=queue, **{**made, **changes})  # type: ignore[arg-type]


def test_a_place_is_full_when_it_nears_its_most_and_empty_when_it_has_stayed_low() -> None:
    depths = [0, 50, 95, 100, 80, 5, 100, 9, 0]

    (queue, *_) = travel([sample(at, depth) for at, depth in enumerate(depths)])

    assert (queue.place, queue.most, queue.full_s, queue.empty_s) == ("queue", 100, 2, 7)


def test_a_place_that_never_empties_says_so() -> None:
    (queue, *_) = travel([sample(0, 0), sample(1, 100), sample(2, 100)])

    assert queue.empty_s is None


def test_a_place_that_held_nothing_never_filled_and_an_unknown_one_is_left_out() -> None:
    found = {filling.place: filling for filling in travel([sample(0), sample(1)])}

    assert found["queue"].full_s is None
    assert "slot" not in found


def test_busy_time_is_shared_among_the_workers() -> None:
    samples = [sample(at, busy_s=at * 1.9, workers=2) for at in range(11)]

    assert busy_share(samples, 2, 8) == pytest.approx(0.95)
    assert busy_share(samples, 20, 30) is None


def test_memory_growth_is_from_the_windows_start_to_its_end() -> None:
    samples = [sample(at, uss_bytes=(50 + at) * MB) for at in range(10)]

    assert memory_growth_bytes(samples, 2, 5) == 3 * MB


def test_the_slope_is_by_completed_events() -> None:
    samples = [
        sample(at, completions=at * 6000, uss_bytes=50 * MB + at * 12_000) for at in range(10)
    ]

    slope = memory_slope(samples)

    assert slope is not None
    assert abs(slope - 2.0) < 1e-6
    assert memory_slope([sample(0), sample(1)]) is None


def test_what_a_process_takes_when_it_starts_is_no_slope() -> None:
    samples = [sample(at, completions=at * 100, uss_bytes=50 * MB + at * MB) for at in range(10)]

    assert memory_slope(samples) is None


def test_the_figures_of_nothing_are_unknown_and_not_zero() -> None:
    found = figures([], None)

    assert found["memory_growth_mb"] is None
    assert found["sink_busy_share"] is None


def test_a_pause_with_nothing_held_is_a_stall_and_one_with_a_full_queue_is_not() -> None:
    held = [sample(at, queue=5, paused_partitions=1) for at in range(4)]
    empty = [sample(4 + at, paused_partitions=1) for at in range(3)]

    assert stalled_s(held) == 0
    assert stalled_s([*held, *empty, sample(7)]) == 2


def test_a_place_that_was_only_ever_below_nothing_held_nothing() -> None:
    (queue, *_) = travel([sample(0, -3), sample(1, -1)])

    assert (queue.most, queue.full_s, queue.empty_s) == (0, None, None)


def test_a_place_is_full_at_nine_tenths_and_empty_at_a_tenth_of_its_most() -> None:
    (exactly, *_) = travel([sample(at, depth) for at, depth in enumerate([89, 90, 100, 11, 10])])

    assert (exactly.full_s, exactly.empty_s) == (1, 4)


def test_every_place_that_is_known_is_told_from_the_sink_back_to_the_source() -> None:
    samples = [
        sample(0, 5, paused_partitions=2, consumer_lag=7, slot_lag_bytes=9),
        sample(1, 0, paused_partitions=0, consumer_lag=0, slot_lag_bytes=0),
    ]

    assert [filling.to_json() for filling in travel(samples)] == [
        {"place": "queue", "most": 5, "full_s": 0, "empty_s": 1},
        {"place": "paused", "most": 2, "full_s": 0, "empty_s": 1},
        {"place": "topic", "most": 7, "full_s": 0, "empty_s": 1},
        {"place": "slot", "most": 9, "full_s": 0, "empty_s": 1},
    ]
    assert travel([]) == []


def test_a_place_is_told_by_the_samples_that_know_it() -> None:
    samples = [sample(0), sample(1, consumer_lag=10), sample(2), sample(3, consumer_lag=0)]

    topic = next(filling for filling in travel(samples) if filling.place == "topic")

    assert (topic.most, topic.full_s, topic.empty_s) == (10, 1, 3)


def test_the_window_of_a_busy_sink_has_both_of_its_ends() -> None:
    """Before the window it did nothing, in it half of the time was busy."""
    samples = [sample(at, busy_s=max(0.0, at - 5) / 2) for at in range(16)]

    assert busy_share(samples, 5, 15) == 0.5
    assert busy_share(samples, 0, 15) == pytest.approx(1 / 3)
    assert busy_share(samples, 5, 5.9) is None, "one sample is no window"
    assert busy_share([sample(3), sample(3)], 0, 9) is None, "and neither is one moment"


def test_the_most_workers_of_a_window_are_those_that_could_have_worked() -> None:
    samples = [sample(0, workers=1), sample(1, workers=4, busy_s=2.0), sample(2, workers=2)]
    samples[-1] = sample(2, workers=2, busy_s=4.0)

    assert busy_share(samples, 0, 2) == 0.5


def test_memory_that_is_given_back_has_grown_by_less_than_nothing() -> None:
    samples = [sample(at, uss_bytes=(50 - at) * MB) for at in range(3)]

    assert memory_growth_bytes(samples, 0, 2) == -2 * MB
    assert memory_growth_bytes(samples, 2, 9) is None


def test_a_slope_needs_fifty_thousand_events() -> None:
    few, enough = (
        [sample(0), sample(1, completions=events, uss_bytes=51 * MB)] for events in (49_999, 50_000)
    )

    assert memory_slope(few) is None
    assert memory_slope(enough) == pytest.approx(20.0)
    assert memory_slope([sample(0, completions=90_000)]) is None


def test_a_slope_does_not_depend_on_what_was_done_before() -> None:
    samples = [
        sample(at, completions=10**9 + at * 60_000, uss_bytes=10**10 + at * 60_000)
        for at in range(3)
    ]

    assert memory_slope(samples) == pytest.approx(1.0)


@pytest.mark.parametrize(
    "held", [{"queue": 1}, {"in_flight": 1}, {"paused_partitions": 0}], ids=str
)
def test_what_is_held_or_not_paused_ends_a_stall(held: dict[str, int]) -> None:
    idle = {"queue": 0, "in_flight": 0, "paused_partitions": 1}
    samples = [sample(at, **{**idle, **(held if at == 3 else {})}) for at in range(9)]

    # From 0 to 2, and from 4 to 8.
    assert stalled_s(samples) == 4
    assert stalled_s([]) == 0


def test_the_figures_of_a_hold_are_of_its_window_and_memory_of_all_until_its_end() -> None:
    samples = [
        sample(
            at,
            queue=at,
            busy_s=float(max(0, at - 4)),
            uss_bytes=(50 + at) * MB,
            completions=30_000 * at,
        )
        for at in range(11)
    ]

    found = figures(samples, (4.0, 8.0))

    assert found["memory_growth_mb"] == 8.0
    assert found["memory_slope_mb_per_million"] == 33.33
    assert found["sink_busy_share"] == 1.0
    assert found["stalled_s"] == 0.0
    assert figures(samples, None)["sink_busy_share"] == 0.6
    assert figures(samples, None)["memory_growth_mb"] == 10.0
