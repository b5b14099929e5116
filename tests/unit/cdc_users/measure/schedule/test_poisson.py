"""A Poisson process that every process of a run draws alike, whichever part of it it asks for."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cdc_users.measure.schedule import poisson
from cdc_users.measure.schedule.poisson import BLOCK, arrivals_before, times

SEED = 7
#: Its first arrivals, and the first of its second block.
KNOWN = [2.056299045571569, 2.4063749277413677, 2.9512705285851846, 3.4711238560254496]
KNOWN_BEYOND = 4065.8461544114284


def first(count: int, seed: int = SEED) -> list[float]:
    return list(map(float, times(seed, np.arange(count))))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 3), st.integers(1, 8), st.integers(0, 3 * BLOCK), st.integers(1, 50))
def test_a_part_is_the_same_whoever_asks_and_whatever_was_asked_before(
    seed: int, stride: int, start: int, count: int
) -> None:
    whole = times(seed, np.arange(start + stride * count))
    poisson._block.cache_clear()
    poisson._STARTS.clear()
    mine = start + stride * np.arange(count)

    assert times(seed, mine).tolist() == whole[mine].tolist()


def test_arrivals_ascend_over_the_edges_of_blocks() -> None:
    assert (np.diff(times(SEED, np.arange(4 * BLOCK))) > 0).all()


def test_distances_are_exponential_with_mean_one() -> None:
    distances = np.diff(times(SEED, np.arange(20 * BLOCK)), prepend=0.0)

    assert distances.mean() == pytest.approx(1.0, abs=4 / math.sqrt(len(distances)))
    for bound in (0.1, 0.5, 1.0, 2.0, 4.0):
        assert (distances > bound).mean() == pytest.approx(math.exp(-bound), abs=0.006)
    # Neighbours know nothing of each other.
    assert abs(np.corrcoef(distances[1:], distances[:-1])[0, 1]) < 0.015


@given(st.floats(0, 3 * BLOCK))
def test_arrivals_before_a_moment_are_counted_as_they_come(end: float) -> None:
    count = arrivals_before(SEED, end)
    at = first(count + 1)

    assert at[count] >= end
    assert count == 0 or at[count - 1] < end


def test_an_arrival_at_the_very_moment_is_not_before_it() -> None:
    for number in (0, 1, BLOCK - 1, BLOCK, BLOCK + 1):
        at = first(number + 1)[number]

        assert arrivals_before(SEED, at) == number
        assert arrivals_before(SEED, float(np.nextafter(at, math.inf))) == number + 1


def test_nothing_is_asked_for_and_nothing_comes() -> None:
    assert times(SEED, np.empty(0, dtype=np.int64)).tolist() == []
    assert arrivals_before(SEED, 0.0) == 0


def test_the_process_of_a_known_seed_stays_what_it_was() -> None:
    """Published figures name their seed: another library must not make other arrivals of it."""
    assert first(4) == pytest.approx(KNOWN, abs=1e-12)
    assert times(SEED, np.array([BLOCK]))[0] == pytest.approx(KNOWN_BEYOND, rel=1e-12)
