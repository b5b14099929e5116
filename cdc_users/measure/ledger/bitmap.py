"""The bits behind a ledger: which sequences have arrived, and where their transactions begin.

All writers' blocks lie in one array. A batch with any mixture of writers is therefore looked up and
marked by a few array operations. A block is freed when it is full.
"""

from __future__ import annotations

from collections import defaultdict

import numpy as np
from numpy.typing import NDArray

from cdc_users.measure.ledger.sequence import BLOCK, BLOCK_BITS, BLOCK_BYTES, SequenceSet

_FULL_SLOT = 0
_UNUSED = -1
_WRITER_SHIFT = 20  # block numbers of ten-digit sequences need 18 bits
_BIT = np.left_shift(np.uint8(1), np.arange(8, dtype=np.uint8))
Numbers = NDArray[np.int64]


class Bitmap:
    """Two bits for each sequence: seen, and cut (a transaction begins there)."""

    def __init__(self) -> None:
        self._ids: Numbers = np.empty(0, dtype=np.int64)  # writer and block, in order
        self._slots: Numbers = np.empty(0, dtype=np.int64)
        self._seen = np.zeros(4 * BLOCK_BYTES, dtype=np.uint8)
        self._seen[:BLOCK_BYTES] = 255  # slot 0 stands for all full blocks
        self._cut = np.zeros(4 * BLOCK_BYTES, dtype=np.uint8)
        self._missing = np.full(
            4, _UNUSED, dtype=np.int64
        )  # the number of missing sequences of each slot's block
        self._free = [3, 2, 1]
        #: Full blocks whose first sequence continues a transaction of the block before.
        self._carried: set[int] = set()

    def mark(
        self, writers: Numbers, sequences: Numbers, begins: Numbers, ends: Numbers
    ) -> NDArray[np.bool_]:
        """Mark sequences as seen; returns which of them were seen before, in this batch or an
        earlier one.

        `begins` has the first sequence of each one's transaction, `ends` the sequence after its
        last.
        """
        places = self._places(writers, sequences)
        again = self._test(self._seen, places)
        order = np.sort(places)
        if (order[1:] == order[:-1]).any():
            later = np.ones(len(places), dtype=np.bool_)
            later[np.unique(places, return_index=True)[1]] = False
            again |= later
        self._set(self._seen, places)
        self._cut_at(writers, begins, ends)
        self._count(places[~again])
        return again

    def seen_before(self, writers: Numbers, sequences: Numbers) -> NDArray[np.bool_]:
        """Which of these sequences have been marked."""
        places = self._places(writers, sequences)  # first: it may move the bits
        return self._test(self._seen, places)

    def _cut_at(self, writers: Numbers, begins: Numbers, ends: Numbers) -> None:
        if len(begins) > 1:  # neighbours are mostly of one transaction: equal bounds
            new = np.empty(len(begins), dtype=np.bool_)
            new[0] = True
            np.not_equal(begins[1:], begins[:-1], out=new[1:])
            new[1:] |= writers[1:] != writers[:-1]
            if not new.all():
                writers, begins, ends = writers[new], begins[new], ends[new]
        for positions in (begins, ends):
            places = self._places(writers, positions)  # first: it may move the bits
            self._set(self._cut, places)

    def _places(self, writers: Numbers, sequences: Numbers) -> Numbers:
        ids = (writers << _WRITER_SHIFT) | (sequences >> BLOCK_BITS)
        at = np.searchsorted(self._ids, ids)
        np.minimum(at, len(self._ids) - 1, out=at)
        if len(self._ids) == 0 or (self._ids[at] != ids).any():
            self._add(np.setdiff1d(ids, self._ids))
            at = np.searchsorted(self._ids, ids)
        return (self._slots[at] << BLOCK_BITS) | (sequences & (BLOCK - 1))

    def _add(self, ids: Numbers) -> None:
        while len(self._free) < len(ids):
            self._grow()
        slots = np.array([self._free.pop() for _ in ids], dtype=np.int64)
        block = ids & ((1 << _WRITER_SHIFT) - 1)
        self._missing[slots] = BLOCK - (block == 0)  # sequences count from 1
        where = np.searchsorted(self._ids, ids)
        self._ids = np.insert(self._ids, where, ids)
        self._slots = np.insert(self._slots, where, slots)

    def _grow(self) -> None:
        old = len(self._missing)
        new = max(16, old // 4)
        self._seen = np.concatenate((self._seen, np.zeros(new * BLOCK_BYTES, dtype=np.uint8)))
        self._cut = np.concatenate((self._cut, np.zeros(new * BLOCK_BYTES, dtype=np.uint8)))
        self._missing = np.concatenate((self._missing, np.full(new, _UNUSED, dtype=np.int64)))
        self._free += range(old + new - 1, old - 1, -1)

    @staticmethod
    def _test(bits: NDArray[np.uint8], places: Numbers) -> NDArray[np.bool_]:
        found: NDArray[np.bool_] = (bits[places >> 3] & _BIT[places & 7]) != 0
        return found

    @staticmethod
    def _set(bits: NDArray[np.uint8], places: Numbers) -> None:
        np.bitwise_or.at(bits, places >> 3, _BIT[places & 7])

    def _count(self, places: Numbers) -> None:
        """Count new sequences down; a block without missing ones is freed."""
        slots = places >> BLOCK_BITS
        self._missing -= np.bincount(slots, minlength=len(self._missing))
        for slot in np.flatnonzero(self._missing == 0).tolist():
            self._give_back(slot)

    def _give_back(self, slot: int) -> None:
        at = int(np.flatnonzero(self._slots == slot)[0])
        number = int(self._ids[at])
        first = int(number & ((1 << _WRITER_SHIFT) - 1) == 0)
        if not self._cut[slot * BLOCK_BYTES] >> first & 1:
            self._carried.add(number)
        self._slots[at] = _FULL_SLOT
        for bits in (self._seen, self._cut):
            bits[slot * BLOCK_BYTES : (slot + 1) * BLOCK_BYTES] = 0
        self._missing[slot] = _UNUSED
        self._free.append(slot)

    def seen(self) -> dict[int, SequenceSet]:
        """Each writer's sequences that have arrived."""
        return {
            writer: seen for writer, (seen, _) in self._sets().items() if seen.full or seen.open
        }

    def cuts(self) -> dict[int, SequenceSet]:
        """Where each writer's transactions begin, if one of their events, or the event just before
        them, has arrived.

        A full block no longer has its cuts; two stand in for them: its first sequence (or the
        second, if a transaction continues from the block before) and its last.
        """
        return {writer: cuts for writer, (_, cuts) in self._sets().items() if cuts.open}

    def _sets(self) -> dict[int, tuple[SequenceSet, SequenceSet]]:
        sets: dict[int, tuple[SequenceSet, SequenceSet]] = defaultdict(
            lambda: (SequenceSet(), SequenceSet())
        )
        for number, slot in zip(self._ids.tolist(), self._slots.tolist(), strict=True):
            seen, cuts = sets[number >> _WRITER_SHIFT]
            block = number & ((1 << _WRITER_SHIFT) - 1)
            if slot == _FULL_SLOT:
                seen.full.add(block)
                cuts.put(block, self._stand_in(number, block))
            else:
                part = slice(slot * BLOCK_BYTES, (slot + 1) * BLOCK_BYTES)
                seen.put(block, self._seen[part].copy())
                cuts.put(block, self._cut[part].copy())
        return sets

    def _stand_in(self, number: int, block: int) -> NDArray[np.uint8]:
        bits = np.zeros(BLOCK_BYTES, dtype=np.uint8)
        bits[0] = 1 << ((block == 0) + (number in self._carried))
        bits[-1] |= 128
        return bits
