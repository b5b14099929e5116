"""Sets of sequence numbers: inclusive ranges on the sending side, blocks of bits on the arriving
side.

A writer's events arrive by partition, so until the last one is there the set has millions of gaps:
millions of ranges, or one bit for each number. Bits take the same space whatever is missing,
compress well for messages, and are combined 64 Ki at a time.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

BLOCK_BITS = 16
BLOCK = 1 << BLOCK_BITS
BLOCK_BYTES = BLOCK // 8
SequenceRange = tuple[int, int]
Bits = NDArray[np.uint8]
_FULL: Bits = np.full(BLOCK_BYTES, 255, dtype=np.uint8)
_FULL_FIRST = _FULL.copy()
_FULL_FIRST[0] = 254  # sequences count from 1
_NONE: Bits = np.zeros(BLOCK_BYTES, dtype=np.uint8)
for _constant in (_FULL, _FULL_FIRST, _NONE):
    _constant.flags.writeable = False


class EncodedSequences(msgspec.Struct, frozen=True):
    """A set for a message: full blocks as ranges of block numbers, the others' bits compressed."""

    full: list[SequenceRange]
    open: dict[int, str]


@dataclass(slots=True)
class SequenceSet:
    """Sequence numbers of one writer, from 1: the numbers of full blocks, and the bits of those
    with gaps.
    """

    full: set[int] = field(default_factory=set)
    open: dict[int, Bits] = field(default_factory=dict)

    @classmethod
    def of(cls, ranges: Iterable[SequenceRange]) -> SequenceSet:
        """The numbers of inclusive ranges."""
        found = cls()
        parts: dict[int, Bits] = {}
        for first, last in ranges:
            low, high = first >> BLOCK_BITS, last >> BLOCK_BITS
            found.full.update(range(low + 1, high))
            for number in {low, high}:
                start = max(first, number << BLOCK_BITS) & (BLOCK - 1)
                stop = min(last, (number << BLOCK_BITS) + BLOCK - 1) & (BLOCK - 1)
                parts.setdefault(number, np.zeros(BLOCK, dtype=np.uint8))[start : stop + 1] = 1
        for number, flags in parts.items():
            if number not in found.full:
                found.put(number, np.packbits(flags, bitorder="little"))
        return found

    def put(self, number: int, bits: Bits) -> None:
        """Store one block; only the number of a full one is kept, and an empty one is left out."""
        if number == 0 and bits[0] & 1:
            bits = bits.copy()
            bits[0] &= 254
        if np.array_equal(bits, _full(number)):
            self.full.add(number)
        elif bits.any():
            self.open[number] = bits

    def bits(self, number: int) -> Bits:
        """One block's bits, the lowest first; the caller must not change them."""
        return _full(number) if number in self.full else self.open.get(number, _NONE)

    def blocks(self) -> list[int]:
        """The numbers of the blocks that are not empty, in order."""
        return sorted(self.full | set(self.open))

    def __len__(self) -> int:
        whole = len(self.full) * BLOCK - (0 in self.full)
        return whole + sum(int(np.bitwise_count(bits).sum()) for bits in self.open.values())

    def __contains__(self, sequence: int) -> bool:
        inside = sequence & (BLOCK - 1)
        return bool(self.bits(sequence >> BLOCK_BITS)[inside >> 3] >> (inside & 7) & 1)

    def __or__(self, other: SequenceSet) -> SequenceSet:
        return self._combined(
            other, self.full | set(self.open) | other.full | set(other.open), np.bitwise_or
        )

    def __and__(self, other: SequenceSet) -> SequenceSet:
        return self._combined(
            other, (self.full | set(self.open)) & (other.full | set(other.open)), np.bitwise_and
        )

    def __sub__(self, other: SequenceSet) -> SequenceSet:
        return self._combined(other, (self.full | set(self.open)) - other.full, _without)

    def _combined(
        self, other: SequenceSet, blocks: Iterable[int], combine: Callable[[Bits, Bits], Bits]
    ) -> SequenceSet:
        result = SequenceSet()
        for number in blocks:
            result.put(number, combine(self.bits(number), other.bits(number)))
        return result

    def edges(self) -> NDArray[np.int64]:
        """The set's inclusive ranges in order, as rows of first and last."""
        parts = [self._runs(number) for number in self.blocks()]
        if not parts:
            return np.empty((0, 2), dtype=np.int64)
        runs = np.concatenate(parts)
        new = np.concatenate(([True], runs[1:, 0] != runs[:-1, 1] + 1))
        return np.column_stack((runs[new, 0], runs[np.append(new[1:], True), 1]))

    def _runs(self, number: int) -> NDArray[np.int64]:
        base = number << BLOCK_BITS
        if number in self.full:
            return np.array([[base + (number == 0), base + BLOCK - 1]], dtype=np.int64)
        flags = np.unpackbits(self.open[number], bitorder="little")
        edges = np.flatnonzero(np.diff(flags, prepend=0, append=0)).reshape(-1, 2)
        return edges + np.array([base, base - 1], dtype=np.int64)

    def ranges(self) -> list[SequenceRange]:
        """The set as inclusive ranges in order; many, if the set has many gaps."""
        return [(int(first), int(last)) for first, last in self.edges().tolist()]

    def numbers(self) -> NDArray[np.int64]:
        """All numbers in order."""
        return np.concatenate([np.empty(0, dtype=np.int64), *map(self._numbers, self.blocks())])

    def _numbers(self, number: int) -> NDArray[np.int64]:
        bits = np.unpackbits(self.bits(number), bitorder="little")
        return (number << BLOCK_BITS) + np.flatnonzero(bits)

    def __iter__(self) -> Iterator[int]:
        for number in self.blocks():
            yield from self._numbers(number).tolist()

    def first(self, count: int) -> list[int]:
        """The lowest numbers, `count` at most."""
        return list(islice(self, count))

    def encode(self) -> EncodedSequences:
        """The set for a message."""
        return EncodedSequences(
            full=union([(number, number) for number in sorted(self.full)], ()),
            open={number: pack(self.open[number]) for number in sorted(self.open)},
        )

    @classmethod
    def decode(cls, data: EncodedSequences) -> SequenceSet:
        """Read what `encode` made."""
        full = {number for first, last in data.full for number in range(first, last + 1)}
        return cls(full, {number: unpack(text, np.uint8) for number, text in data.open.items()})


def _full(number: int) -> Bits:
    return _FULL_FIRST if number == 0 else _FULL


def _without(left: Bits, right: Bits) -> Bits:
    result: Bits = left & ~right
    return result


def pack(values: NDArray[Any]) -> str:
    """An array's bytes as text, compressed."""
    return base64.b85encode(zlib.compress(np.ascontiguousarray(values).tobytes(), 1)).decode(
        "ascii"
    )


def unpack(text: str, kind: Any) -> NDArray[Any]:
    """Read what `pack` made."""
    return np.frombuffer(zlib.decompress(base64.b85decode(text)), dtype=kind)


def size(ranges: Sequence[SequenceRange]) -> int:
    """How many numbers these inclusive ranges contain."""
    return sum(last - first + 1 for first, last in ranges)


def union(left: Sequence[SequenceRange], right: Sequence[SequenceRange]) -> list[SequenceRange]:
    """The numbers of either set, as ordered ranges."""
    merged: list[SequenceRange] = []
    for first, last in sorted([*left, *right]):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(merged[-1][1], last))
        else:
            merged.append((first, last))
    return merged


def subtract(left: Sequence[SequenceRange], right: Sequence[SequenceRange]) -> list[SequenceRange]:
    """The numbers of `left` that are not in `right`."""
    rest: list[SequenceRange] = []
    holes = union(right, ())
    at = 0
    for first, last in union(left, ()):
        start = first
        while at < len(holes) and holes[at][1] < start:
            at += 1
        probe = at
        while probe < len(holes) and holes[probe][0] <= last:
            if holes[probe][0] > start:
                rest.append((start, holes[probe][0] - 1))
            start = holes[probe][1] + 1
            probe += 1
        if start <= last:
            rest.append((start, last))
    return rest


def intersect(left: Sequence[SequenceRange], right: Sequence[SequenceRange]) -> list[SequenceRange]:
    """The numbers that are in both sets."""
    return subtract(left, subtract(left, right))
