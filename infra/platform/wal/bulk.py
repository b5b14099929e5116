"""Cuts the values out of many change messages at once, without a step in Python for each.

For messages with the same head (operation, relation, tuple, columns), numpy walks all of them column by column: a
value's head is `t`, two zeros and two bytes of length. Each head is then overwritten with bytes that UTF-8 cannot hold,
and one `split` gives all values. Messages for which this does not work (values over 64 KB, binary or unchanged ones,
whatever is malformed, rare patterns of NULLs) are left to the readers that take one message at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from infra.platform.wal.tuple_reader import HEAD_BYTES

#: Below this many messages alike, reading one at a time is as fast.
FEWEST = 16
_SEPARATOR = b"\xff" * 5
_DROPPED = b"\xfe"
_NULL = 110
_TEXT = int.from_bytes(b"t\0\0", "little")
_THREE = 0xFFFFFF
_WORD = 0xFFFFFFFF
_HEAD_END = int.from_bytes(b"\xff\xfe\xfe\xfe", "little")
_MIDDLE_BYTES = 3

Numbers = NDArray[np.int64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Cut:
    """Messages that have their NULLs at the same places, and the values that are not NULL.

    `rows` are the messages' places in what was given; `null` says for each column of each tuple in turn whether it is
    NULL. `pieces` has, for each message, one without meaning and then its values in order, as Postgres wrote them;
    nothing says yet that they are UTF-8. `special`: there are quotes, backslashes or control characters in them.
    """

    rows: Sequence[int]
    null: tuple[bool, ...]
    pieces: list[bytes]
    special: bool

    @property
    def stride(self) -> int:
        """Pieces a message."""
        return 1 + self.null.count(False)


def cut(messages: Sequence[bytes], tuples: int, columns: int) -> Iterator[Cut]:
    """Cut messages of one and the same head, of so many tuples of so many columns; leaves out what needs more care."""
    walk = _Walk(messages, tuples, columns)
    for null, rows in walk.patterns():
        if len(rows) < FEWEST:
            continue
        data = walk.data(rows)
        if tuples > 1 or any(null):
            data = data.replace(_DROPPED, b"")
        pieces = data.split(_SEPARATOR)[1:]
        done = Cut(rows, null, pieces, is_special(data))
        # A value that holds the separator is no UTF-8.
        if len(pieces) == len(rows) * done.stride:
            yield done


def is_special(text: bytes) -> bool:
    """Whether JSON writes some of these characters in another way."""
    return b'"' in text or b"\\" in text or bool((np.frombuffer(text, np.uint8) < 32).any())


class _Walk:
    """The buffer of one call: where each value starts, and which messages are as expected."""

    def __init__(self, messages: Sequence[bytes], tuples: int, columns: int) -> None:
        sizes = np.fromiter(map(len, messages), np.int64, len(messages))
        self._end = np.cumsum(sizes)
        self._start = self._end - sizes
        self._buffer = bytearray().join([*messages, bytes(HEAD_BYTES)])
        # However wrong a length is, no step leaves the buffer.
        self._limit = len(self._buffer) - HEAD_BYTES
        self._byte = np.frombuffer(self._buffer, np.uint8)
        self._word: NDArray[np.uint32] = np.ndarray(
            len(self._buffer) - 3, dtype="<u4", buffer=self._buffer, strides=(1,)
        )
        self._length: NDArray[np.uint16] = np.ndarray(
            len(self._buffer) - 4, dtype=">u2", buffer=self._buffer, offset=3, strides=(1,)
        )
        self._good = np.ones(len(messages), np.bool_)
        self._heads: list[Numbers] = []
        self._nulls: list[Flags | None] = []
        self._middles: list[Numbers] = []
        self._walk(tuples, columns)
        self._blank()

    def _walk(self, tuples: int, columns: int) -> None:
        position = self._start + HEAD_BYTES
        for number in range(tuples):
            if number:
                position = self._middle(position, columns)
            for _ in range(columns):
                position = self._step(position)
        self._good &= position == self._end

    def _middle(self, position: Numbers, columns: int) -> Numbers:
        """Between two tuples: the new row's kind and number of columns."""
        expected = int.from_bytes(b"N" + columns.to_bytes(2, "big"), "little")
        self._good &= (self._word[position] & _THREE) == expected
        self._middles.append(position)
        return np.minimum(position + _MIDDLE_BYTES, self._limit)

    def _step(self, position: Numbers) -> Numbers:
        text = (self._word[position] & _THREE) == _TEXT
        after: Numbers = position + self._length[position]
        after += len(_SEPARATOR)
        self._heads.append(position)
        if text.all():
            self._nulls.append(None)
        else:
            null = self._byte[position] == _NULL
            self._good &= text | null
            self._nulls.append(null)
            after = np.where(null, position + 1, after)
        return np.minimum(after, self._limit)

    def _blank(self) -> None:
        """Overwrite everything that is no value, of the messages that are as expected."""
        good = slice(None) if self._good.all() else self._good
        starts = self._start[good]
        self._word[starts] = _WORD
        self._word[starts + 4] = _HEAD_END
        for position in self._middles:
            for offset in range(_MIDDLE_BYTES):
                self._byte[position[good] + offset] = _DROPPED[0]
        for position, null in zip(self._heads, self._nulls, strict=True):
            if null is None:
                text = position[good]
            else:
                text = position[self._good & ~null]
                self._byte[position[self._good & null]] = _DROPPED[0]
            self._word[text] = _WORD
            self._byte[text + 4] = 0xFF

    def patterns(self) -> Iterator[tuple[tuple[bool, ...], Sequence[int]]]:
        """The patterns of NULLs that occur, with the rows that have them."""
        rows = range(len(self._good)) if self._good.all() else np.flatnonzero(self._good).tolist()
        if all(null is None for null in self._nulls):
            yield (False,) * len(self._nulls), rows
            return
        empty = np.zeros(len(self._good), np.bool_)
        table = np.stack([empty if null is None else null for null in self._nulls], axis=1)
        packed = np.packbits(table, axis=1)
        whole = packed.view(np.dtype((np.void, packed.shape[1]))).ravel()
        _, first, group = np.unique(whole, return_index=True, return_inverse=True)
        for number, example in enumerate(first.tolist()):
            yield tuple(table[example].tolist()), np.flatnonzero((group == number) & self._good).tolist()

    def data(self, rows: Sequence[int]) -> bytes:
        """The bytes of these messages, one after another."""
        if len(rows) == len(self._good):
            return bytes(memoryview(self._buffer)[: int(self._end[-1])])
        starts, ends = self._start.tolist(), self._end.tolist()
        view = memoryview(self._buffer)
        return b"".join([view[starts[row] : ends[row]] for row in rows])
