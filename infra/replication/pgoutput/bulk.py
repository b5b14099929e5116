"""Cuts the values out of many change messages at once, without a Python step for each.

For messages with the same head (operation, relation, tuple, columns), numpy walks over all of them
column by column. A value's head is `t` and a length in four bytes, which equals MessagePack's
except for the first byte. With other first bytes the joined messages are one MessagePack list,
which msgspec reads. Messages of other forms (binary or unchanged values, malformed ones) are left
to the readers of single messages.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from infra.replication.pgoutput.tuple_reader import HEAD_BYTES, head_of

#: Below this number of equal heads, reading one at a time is as fast.
FEWEST = 16
#: MessagePack's codes (https://github.com/msgpack/msgpack/blob/master/spec.md), and where 'N' and
#: the count are in a head.
_NIL, _BIN32, _INT32, _STR32, _ARRAY16, _ARRAY32, _COUNT = 0xC0, 0xC6, 0xD2, 0xDB, 0xDC, 0xDD, 5
#: The bytes before a list and before a text: a code, and a length in four bytes.
_BEFORE_BYTES = 5
#: Replace a message's head and the bytes between two tuples: meaningless strings of one piece each.
_HEAD = int.from_bytes(b"\xa7" + b" " * 7, "little")
_MIDDLE = b"\xa2  "
_TEXT, _NULL = ord("t"), ord("n")
_BITS = 62
_WORD = 0xFFFFFFFF
_PIECES = msgspec.msgpack.Decoder(list[Any])
_ROWS = msgspec.msgpack.Decoder(list[int | tuple[str | None, ...]])
#: Up to this number of heads, looking for each in turn is faster than looking at each message.
_FEW_HEADS = 16

Int64Array = NDArray[np.int64]
ByteFlags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Group:
    """`count` messages of one head, with `tuples` tuples of `columns` columns each."""

    count: int
    tuples: int
    columns: int

    @property
    def values(self) -> int:
        """The number of values in each message."""
        return self.tuples * self.columns


@dataclass(frozen=True, slots=True)
class Cut:
    """The values of messages with one head.

    `pieces` has `stride` entries for each message: a meaningless one, then the values of its tuples
    in order as bytes, or None for NULL; whether the bytes are UTF-8 is not checked. `null` and
    `text` say, for each column of each tuple, whether any value is NULL and whether any is not.
    `patterns` has, for each message, one bit for each column with NULLs; it is empty if there are
    no NULLs, or too many such columns. `special` says that the values may contain quotes,
    backslashes or control characters.
    """

    pieces: list[Any]
    stride: int
    null: Sequence[bool]
    text: Sequence[bool]
    patterns: Sequence[int]
    special: bool
    ascii_only: bool

    @property
    def count(self) -> int:
        """The number of messages."""
        return len(self.pieces) // self.stride


class Heads:
    """The first bytes of messages, by which equal heads are found."""

    def __init__(self, messages: Sequence[bytes]) -> None:
        self._listed = list(map(head_of, messages))
        self._joined = b"".join(self._listed)
        # Eight bytes are one machine word, so heads of all messages are compared as numbers in one
        # operation. A message shorter than its head would shift all later ones; then there is no
        # such view, and heads are compared one by one.
        whole = len(self._joined) == HEAD_BYTES * len(messages)
        self._numbers = np.frombuffer(self._joined, "<u8") if whole else None

    def only(self, kinds: bytes) -> bool:
        """Whether all messages are of these kinds, and none ends inside its head."""
        # `translate` deletes the expected kinds in one pass; a set of all first bytes would need a
        # Python object for each message.
        return self._numbers is not None and not self._joined[::HEAD_BYTES].translate(None, kinds)

    def places_of(self, head: bytes) -> Sequence[int]:
        """The indexes of the messages with this head, ascending."""
        if self._numbers is None:
            return [place for place, other in enumerate(self._listed) if other == head]
        return _places(self._numbers == int.from_bytes(head, "little"))

    def places(self) -> Mapping[bytes, Sequence[int]]:
        """The indexes of the messages of each head."""
        found: dict[bytes, Sequence[int]] = {}
        rest = self._numbers
        # Each round removes one head and all equal ones. A sort (np.unique) would cost n log n, and
        # lose the order in which heads first came.
        while rest is not None and len(rest) and len(found) < _FEW_HEADS:
            head = rest[:1].tobytes()
            found[head] = _places(self._numbers == rest[0])
            rest = rest[rest != rest[0]]
        return found if rest is not None and not len(rest) else self._places_one_by_one()

    def _places_one_by_one(self) -> Mapping[bytes, Sequence[int]]:
        found: dict[bytes, list[int]] = {}
        for place, head in enumerate(self._listed):
            found.setdefault(head, []).append(place)
        return found


def _places(flags: ByteFlags) -> Sequence[int]:
    if flags.all():
        return range(len(flags))
    places: list[int] = np.flatnonzero(flags).tolist()
    return places


def cut(messages: Sequence[bytes], groups: Sequence[Group]) -> tuple[Sequence[int], list[Cut]]:
    """Cut messages that come group by group: returns the indexes of those that could be cut, and a
    Cut for each group.

    The groups must come in descending order of their numbers of values. Raises nothing: a message
    of another form is left out.
    """
    walk = _Walk(messages, groups)
    # A range means "all of them, in order" without a list of indexes, so callers use the messages
    # unchanged.
    if walk.good.all():
        return range(len(messages)), walk.cuts()
    rows: list[int] = np.flatnonzero(walk.good).tolist()
    fewer = [replace(group, count=int(walk.good[part].sum())) for part, group in walk.parts]
    return rows, _Walk(list(map(messages.__getitem__, rows)), fewer).cuts()


def read_rows(messages: Sequence[bytes], columns: int) -> list[tuple[str | None, ...]] | None:
    """The texts of messages with one head and one tuple of `columns` columns; None if any message
    has another form, or a text that is not UTF-8.
    """
    walk = _Walk(messages, [Group(len(messages), 1, columns)])
    if not walk.good.all():
        return None
    try:
        packed: list[Any] = _ROWS.decode(walk.rows())
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    rows: list[tuple[str | None, ...]] = packed[1::2]
    return rows


def is_special(text: bytes) -> bool:
    """Whether JSON must escape some of these characters."""
    return b'"' in text or b"\\" in text or bool((np.frombuffer(text, np.uint8) < 32).any())


class _Walk:
    """The walk over one call's buffer: where each value starts, and which messages have the
    expected form.
    """

    def __init__(self, messages: Sequence[bytes], groups: Sequence[Group]) -> None:
        # int64, because positions are sums over all messages: int32 would silently overflow at 2
        # GB. numpy indexes by int64 anyway, so a narrower type would be converted at each step.
        sizes = np.fromiter(map(len, messages), np.int64, len(messages))
        self._end = np.cumsum(sizes) + _BEFORE_BYTES
        self._start = self._end - sizes
        self._buffer = bytearray().join([bytes(_BEFORE_BYTES), *messages, bytes(HEAD_BYTES)])
        # The steps never leave the buffer, however wrong a length is.
        self._limit = len(self._buffer) - HEAD_BYTES
        # Two views of one buffer: bytes, and the big-endian length behind each byte. One index
        # operation then reads the lengths of all messages; int.from_bytes would be one call for
        # each.
        self._byte = np.frombuffer(self._buffer, np.uint8)
        self._length = self._view(">u4", 1)
        self.good = np.ones(len(messages), np.bool_)
        #: The positions of texts, of NULLs, and of the bytes between tuples.
        self._texts, self._nothing, self._middles = ([self._start[:0]] for _ in range(3))
        borders = accumulate((group.count for group in groups), initial=0)
        self.parts = [
            (slice(*ends), group) for ends, group in zip(pairwise(borders), groups, strict=True)
        ]
        self._nulls = self._walk()

    def _view(self, kind: str, offset: int) -> NDArray[Any]:
        """The buffer as overlapping numbers of this type: one at each byte, `offset` bytes behind
        it.
        """
        # The stride of one byte makes the numbers overlap: numpy cannot otherwise read a word at
        # any position. Numbers that would reach beyond the buffer are left out.
        count = len(self._buffer) - offset - np.dtype(kind).itemsize + 1
        return np.ndarray(count, kind, self._buffer, offset, strides=(1,))

    def _walk(self) -> list[ByteFlags | None]:
        """For each value's place in a row, which messages have NULL there; None if no message has.

        Only messages with that many values count.
        """
        nulls: list[ByteFlags | None] = []
        position = self._start + HEAD_BYTES
        while True:
            number = len(nulls)
            # Groups come in descending order of values, so the messages that still have one are the
            # first `active` ones: a slice suffices, where a mask would copy.
            active = sum(group.count for _, group in self.parts if group.values > number)
            ended = slice(active, len(position))
            self.good[ended] &= position[ended] == self._end[ended]
            if not active:
                return nulls
            position = position[:active]
            for part, group in self.parts:
                if number == group.columns < group.values:
                    position[part] = self._middle(position[part], group.columns, self.good[part])
            position, null = self._step(position, self.good[:active])
            nulls.append(null)

    def _middle(self, position: Int64Array, columns: int, good: ByteFlags) -> Int64Array:
        """Step over the bytes between two tuples: the new row's kind and number of columns."""
        for offset, expected in enumerate(b"N" + columns.to_bytes(2, "big")):
            good &= self._byte[position + offset] == expected
        self._middles.append(position.copy())
        return np.minimum(position + len(_MIDDLE), self._limit)

    def _step(self, position: Int64Array, good: ByteFlags) -> tuple[Int64Array, ByteFlags | None]:
        kind = self._byte[position]
        text = kind == _TEXT
        null = None
        # A length is read for NULLs too, where it is meaningless: computing it for all and choosing
        # afterwards is faster than two selections, and `_limit` keeps a wrong length inside the
        # buffer.
        after: Int64Array = position + self._length[position]
        after += _BEFORE_BYTES
        if text.all():
            self._texts.append(position)
        else:
            null = kind == _NULL
            good &= text | null
            after = np.where(null, position + 1, after)
            self._texts.append(position[text])
            self._nothing.append(position[null])
        return np.minimum(after, self._limit), null

    def cuts(self) -> list[Cut]:
        """Each group's values; all messages must have the expected form."""
        texts, nothing, middles = map(np.concatenate, (self._texts, self._nothing, self._middles))
        # The messages are rewritten in place into one MessagePack list, which msgspec reads in C.
        # The slow way is `message[a:b]` for each value: a slice and two additions in Python. The
        # values are equal, because pgoutput's length field is MessagePack's, and only the byte
        # before it differs.
        self._view("<u8", 0)[self._start] = _HEAD
        for offset, byte in enumerate(_MIDDLE):
            self._byte[middles + offset] = byte
        self._byte[texts] = _BIN32
        self._byte[nothing] = _NIL
        counts = [group.count * group.tuples * (1 + group.columns) for _, group in self.parts]
        # bin32 and not str32, because bytes are not checked for UTF-8 here. They go into JSON
        # unchanged, and one check of the joined result decides whether all of it is UTF-8.
        pieces = _PIECES.decode(self._list(sum(counts)))
        # All bytes outside values become a space or a byte over 127.
        self._view("<u4", 1)[texts] = _WORD
        self._buffer[:_BEFORE_BYTES] = b" " * _BEFORE_BYTES
        # One look at the whole buffer shows whether any value needs escaping: the bytes outside
        # values were overwritten by ones that never do.
        octets = self._byte[: self._limit]
        special = b'"' in self._buffer or b"\\" in self._buffer or bool(octets.min() < 32)
        overwritten = len(self._start) + len(middles) + len(nothing) + _BEFORE_BYTES * len(texts)
        ascii_only = bool(np.count_nonzero(octets >= 0x80) == overwritten)
        borders = pairwise(accumulate(counts, initial=0))
        own = [pieces] if len(counts) == 1 else [pieces[first:last] for first, last in borders]
        return [
            _cut(listed, group, self._own_nulls(part, group), special, ascii_only)
            for listed, (part, group) in zip(own, self.parts, strict=True)
        ]

    def _own_nulls(self, part: slice, group: Group) -> list[ByteFlags | None]:
        own = [None if null is None else null[part] for null in self._nulls[: group.values]]
        return [None if null is None or not null.any() else null for null in own]

    def rows(self) -> memoryview:
        """Messages of one tuple each as one MessagePack list of alternating int32 (the OID) and
        array.
        """
        # The relation's OID stands where an int32 has its number, and the column count where an
        # array16 has its length. Changing two bytes therefore turns a head into "int, array".
        self._byte[self._start] = _INT32
        self._byte[self._start + _COUNT] = _ARRAY16
        self._byte[np.concatenate(self._texts)] = _STR32
        self._byte[np.concatenate(self._nothing)] = _NIL
        return self._list(2 * len(self._start))

    def _list(self, count: int) -> memoryview:
        """The messages as a MessagePack list of so many elements."""
        self._buffer[:_BEFORE_BYTES] = b"%c%b" % (_ARRAY32, count.to_bytes(4, "big"))
        return memoryview(self._buffer)[: self._limit]


def _cut(
    pieces: list[Any],
    group: Group,
    nulls: Sequence[ByteFlags | None],
    special: bool,
    ascii_only: bool,
) -> Cut:
    if group.tuples > 1:
        # The bytes between two tuples. Deleting a slice is done in C; filtering would visit every
        # element in Python.
        del pieces[1 + group.columns :: 2 * (1 + group.columns)]
    null = [flags is not None for flags in nulls]
    text = [flags is None or not flags.all() for flags in nulls]
    return Cut(pieces, 1 + len(nulls), null, text, _patterns(nulls), special, ascii_only)


def _patterns(nulls: Sequence[ByteFlags | None]) -> Sequence[int]:
    """For each message, which columns are NULL: one bit for each column that is NULL in any."""
    flags = [null for null in nulls if null is not None]
    if not 0 < len(flags) <= _BITS:
        return ()
    # Rows with equal NULLs share one template, found by one look-up of the row's number in a
    # dictionary; a tuple of flags would be built and hashed for each row.
    bits = sum(
        (null.astype(np.int64) << bit for bit, null in enumerate(flags)), np.zeros(1, np.int64)
    )
    patterns: list[int] = bits.tolist()
    return patterns
