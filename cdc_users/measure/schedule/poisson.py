"""A Poisson process as a pure function of a seed: arrival k comes at the same time in every
process.

In units of the mean distance. Distances are drawn in blocks, each from a generator of its own, so
that a process which owns each n-th arrival needs nothing from the others. Only the bits come from
numpy's generator, whose streams are the same in all versions (NEP 19); the exponentials are ours.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

BLOCK = 4096


def times(seed: int, numbers: NDArray[np.int64]) -> NDArray[np.float64]:
    """When the arrivals with these ascending numbers come."""
    if numbers.size == 0:
        return np.zeros(0)
    low, high = int(numbers[0]) // BLOCK, int(numbers[-1]) // BLOCK
    known = np.concatenate([_block(seed, block) for block in range(low, high + 1)])
    wanted: NDArray[np.float64] = known[numbers - low * BLOCK]
    return wanted


def arrivals_before(seed: int, end: float) -> int:
    """How many arrivals come before `end`."""
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


#: By seed; a process needs those of one run at a time.
_STARTS: dict[int, list[float]] = {}


def _start(seed: int, block: int) -> float:
    """When the last arrival before a block comes; the sums that lead there are kept."""
    starts = _STARTS.get(seed)
    if starts is None:
        _STARTS.clear()
        starts = _STARTS[seed] = [0.0]
    while len(starts) <= block:
        # As `_block` sums, or arrivals could change places at a block's edge.
        starts.append(starts[-1] + float(np.cumsum(_distances(seed, len(starts) - 1))[-1]))
    return starts[block]
