"""Cuts the values out of many change messages at once, without a step in Python for each.

For messages with the same head (operation, relation, tuple, columns), numpy walks all of them column by column: a
value's head is `t`, two zeros and two bytes of length. Each head is then overwritten with bytes that UTF-8 cannot hold,
and one `split` gives all values. Messages for which this does not work (values over 64 KB, binary or unchanged ones,
whatever is malformed) are left to the readers that take one message at a time.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from infra.platform.wal.tuple_reader import HEAD_BYTES

#: Below this many messages alike, reading one at a time is as fast.
FEWEST = 16
#: What a NULL is among the pieces; no text can be that.
NULL = b"\xfd"
_SEPARATOR = b"\xff" * 5
#: Stand, until the split, for one NULL and for three bytes that are no value's and no head's.
_NOTHING, _DROPPED = b"\xfe", b"\xfc" * 3
#: UTF-8 has no bytes from here on.
_NO_TEXT = 0xFC
_MARK = ord("n")
_TEXT = int.from_bytes(b"t\0\0", "little")
_THREE = 0xFFFFFF
_BITS = 62
_WORD = 0xFFFFFFFF
_HEAD_END = int.from_bytes(b"\xff" + _DROPPED, "little")
#: MessagePack's codes, https://github.com/msgpack/msgpack/blob/master/spec.md; and where in a head 'N' and count are.
_NIL, _INT32, _STR32, _ARRAY16, _ARRAY32, _COUNT = 0xC0, 0xD2, 0xDB, 0xDC, 0xDD, 5
_ROWS = msgspec.msgpack.Decoder(list[int | tuple[str | None, ...]])
#: Changes and what stands around transactions: none of these says how another message is to be read.
_ORDERLESS = b"IUDBC"

Numbers = NDArray[np.int64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Cut:
    """The values of those messages that could be cut.

    `rows` are the messages' places in what was given. `pieces` has `stride` for each message: one without meaning, then
    the values of its tuples in order, as Postgres wrote them, or NULL; nothing says yet that they are UTF-8. `null` and
    `text` say for each column of each tuple whether some values are NULL, and whether some are not, `with_null` for
    each row whether it has any, and `patterns` (empty where that is too long) has a bit for each column with NULLs.
    `special`: there are quotes, backslashes or control characters in them.
    """

    rows: Sequence[int]
    pieces: list[bytes]
    stride: int
    null: Sequence[bool]
    text: Sequence[bool]
    with_null: Sequence[bool]
    patterns: Sequence[int]
    special: bool
    ascii_only: bool


def cut(messages: Sequence[bytes], tuples: int, columns: int) -> Cut | None:
    """Cut messages of one and the same head, of so many tuples of so many columns; None where few can be."""
    walk = _Walk(messages, tuples, columns)
    rows = walk.rows()
    if len(rows) < FEWEST:
        return None
    overwritten = walk.blank()
    data = walk.data(rows)
    octets = np.frombuffer(data, np.uint8)
    ascii_only = np.count_nonzero(octets >= 0x80) == overwritten
    # Other bytes that are no UTF-8 are for who uses the pieces to find.
    if not ascii_only and np.count_nonzero(octets >= _NO_TEXT) != overwritten:
        return None
    special = b'"' in data or b"\\" in data or bool((octets < 32).any())
    if tuples > 1:
        data = data.replace(_DROPPED, b"")
    if any(walk.null):
        data = data.replace(_NOTHING, _SEPARATOR + NULL)
    pieces = data.split(_SEPARATOR)
    del pieces[0]
    nulls = walk.with_null(rows), walk.patterns(rows)
    return Cut(rows, pieces, 1 + tuples * columns, walk.null, walk.text, *nulls, special, ascii_only)


def read_rows(messages: Sequence[bytes], columns: int) -> list[tuple[str | None, ...]] | None:
    """The texts of messages of one head with one tuple of so many columns; None where some message has another form."""
    walk = _Walk(messages, 1, columns)
    if len(walk.rows()) < len(messages):
        return None
    try:
        packed: list[Any] = _ROWS.decode(walk.packed())
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    rows: list[tuple[str | None, ...]] = packed[1::2]
    return rows


def alike(heads: Sequence[bytes], wanted: Collection[bytes]) -> Mapping[bytes, list[int]]:
    """The places of each of the wanted heads; empty where heads are cut off or of other kinds than `_ORDERLESS`."""
    joined = b"".join(heads)
    if len(joined) != HEAD_BYTES * len(heads) or joined[::HEAD_BYTES].translate(None, _ORDERLESS):
        return {}
    numbers = np.frombuffer(joined, "<u8")
    return {head: np.flatnonzero(numbers == int.from_bytes(head, "little")).tolist() for head in wanted}


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
        self.null: list[bool] = []
        self.text: list[bool] = []

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
        return np.minimum(position + len(_DROPPED), self._limit)

    def _step(self, position: Numbers) -> Numbers:
        text = (self._word[position] & _THREE) == _TEXT
        after: Numbers = position + self._length[position]
        after += len(_SEPARATOR)
        self._heads.append(position)
        if np.count_nonzero(text) == len(text):
            self._nulls.append(None)
        else:
            null = self._byte[position] == _MARK
            self._good &= text | null
            self._nulls.append(null)
            after = np.where(null, position + 1, after)
        return np.minimum(after, self._limit)

    def blank(self) -> int:
        """Overwrite all that is no value, of the messages that are as expected; returns how many bytes that is."""
        good = slice(None) if self._good.all() else self._good
        starts = self._start[good]
        self._word[starts] = _WORD
        self._word[starts + 4] = _HEAD_END
        for position in self._middles:
            for offset in range(len(_DROPPED)):
                self._byte[position[good] + offset] = _DROPPED[0]
        overwritten = len(starts) * (HEAD_BYTES + len(_DROPPED) * len(self._middles))
        for position, null in zip(self._heads, self._nulls, strict=True):
            text = position[good]
            if null is not None:
                text = position[self._good & ~null]
                self._byte[position[self._good & null]] = _NOTHING[0]
            self._word[text] = _WORD
            self._byte[text + 4] = 0xFF
            nothing = len(starts) - len(text)
            self.null.append(nothing > 0)
            self.text.append(len(text) > 0)
            overwritten += nothing + len(_SEPARATOR) * len(text)
        return overwritten

    def packed(self) -> bytes:
        """All messages, of one tuple each, as one MessagePack list: an int32 (the OID) and an array by turns.

        pgoutput's lengths are MessagePack's: only the bytes that say what follows need to be overwritten.
        """
        self._byte[self._start] = _INT32
        self._byte[self._start + _COUNT] = _ARRAY16
        for position, null in zip(self._heads, self._nulls, strict=True):
            self._byte[position] = _STR32 if null is None else np.where(null, _NIL, _STR32)
        head = b"%c%b" % (_ARRAY32, (2 * len(self._start)).to_bytes(4, "big"))
        return b"".join((head, memoryview(self._buffer)[: self._limit]))

    def rows(self) -> Sequence[int]:
        """The messages that are as expected."""
        return range(len(self._good)) if self._good.all() else np.flatnonzero(self._good).tolist()

    def with_null(self, rows: Sequence[int]) -> Sequence[bool]:
        """Which of these messages have a NULL; empty where none has."""
        flags = [null for null in self._nulls if null is not None]
        if not flags:
            return ()
        found: list[bool] = np.logical_or.reduce(flags)[np.asarray(rows)].tolist()
        return found

    def patterns(self, rows: Sequence[int]) -> Sequence[int]:
        """Which columns of these messages are NULL, a bit for each that ever is."""
        flags = [null for null, ever in zip(self._nulls, self.null, strict=True) if null is not None and ever]
        if not 0 < len(flags) <= _BITS:
            return ()
        bits = sum((null.astype(np.int64) << bit for bit, null in enumerate(flags)), np.zeros(1, np.int64))
        found: list[int] = bits[np.asarray(rows)].tolist()
        return found

    def data(self, rows: Sequence[int]) -> bytes:
        """The bytes of these messages, one after another."""
        if len(rows) == len(self._good):
            return bytes(memoryview(self._buffer)[: self._limit])
        starts, ends = self._start.tolist(), self._end.tolist()
        view = memoryview(self._buffer)
        return b"".join([view[starts[row] : ends[row]] for row in rows])
