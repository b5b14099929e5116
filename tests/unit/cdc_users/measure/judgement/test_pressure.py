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
