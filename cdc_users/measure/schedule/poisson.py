"""A Poisson process as a pure function of a seed: arrival k has the same time in every process.

Times are in units of the mean distance. Distances are drawn in blocks, each from a generator of its
own, so that a process with each n-th arrival needs nothing from the others. numpy's generator gives
only the bits, because its bit streams are the same in all versions (NEP 19); its exponentials need
not be, so they are computed here.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

BLOCK = 4096


def times(seed: int, numbers: NDArray[np.int64]) -> NDArray[np.float64]:
    """The times of the arrivals with these ascending numbers."""
    if numbers.size == 0:
        return np.zeros(0)
    low, high = int(numbers[0]) // BLOCK, int(numbers[-1]) // BLOCK
    known = np.concatenate([_block(seed, block) for block in range(low, high + 1)])
    wanted: NDArray[np.float64] = known[numbers - low * BLOCK]
    return wanted


def arrivals_before(seed: int, end: float) -> int:
    """The number of arrivals before `end`."""
    block = 0
    while _start(seed, block + 1) < end:
        block += 1
    return block * BLOCK + int(np.searchsorted(_block(seed, block), end))


@lru_cache(maxsize=64)
def _block(seed: int, block: int) -> NDArray[np.float64]:
    return _start(seed, block) + np.cumsum(_distances(seed, block))


def _distances(seed: int, block: int) -> NDArray[np.float64]:
    bits = np.random.Philox(key=np.array([seed, block], dtype=np.uint64)).random_raw(BLOCK)
    uniform = (bits >> np.uint64(11)).astype(np.float64) * 2.0**-53
    return -np.log1p(-uniform)


#: Cached by seed; a process needs one run's seeds at a time.
_STARTS: dict[int, list[float]] = {}


def _start(seed: int, block: int) -> float:
    """The time of the last arrival before a block; the sums up to there are cached."""
    starts = _STARTS.get(seed)
    if starts is None:
        _STARTS.clear()
        starts = _STARTS[seed] = [0.0]
    while len(starts) <= block:
        # The same way of summing as in `_block`: a rounding difference could swap two arrivals at
        # the edge of a block.
        starts.append(starts[-1] + float(np.cumsum(_distances(seed, len(starts) - 1))[-1]))
    return starts[block]
