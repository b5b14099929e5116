"""Many Avro messages as one array of bytes, whose numbers and texts numpy finds and reads for all
messages at once.

Format: Avro 1.11 specification, "Binary Encoding": numbers are variable-length and zigzag, and
texts begin with their length. A position is an index into the bytes of all messages, one behind
another.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

OffsetArray = NDArray[np.int64]

# A word of eight bytes may begin at any position, and a long number needs a second one eight bytes
# further on; so at least 16 bytes must follow the last message.
_PADDING = bytes(32)
_ONE = np.uint64(1)
#: The high bit of each byte: where it is set, the number continues in the next byte.
_STOP = np.uint64(0x8080808080808080)
#: Eight groups of seven bits are merged into four of 14, then two of 28, then one of 56.
_FOLDS = tuple(
    (np.uint64(low), np.uint64(high), np.uint64(shift))
    for low, high, shift in (
        (0x007F007F007F007F, 0x7F007F007F007F00, 1),
        (0x00003FFF00003FFF, 0x3FFF00003FFF0000, 2),
        (0x000000000FFFFFFF, 0x0FFFFFFF00000000, 4),
    )
)


class Octets:
    """Messages one behind another: their bytes, and where each begins and ends.

    `begin` and `end` are int64 of shape (messages,), `ones` is the bytes as uint8, and `eights` is
    the little-endian uint64 that begins at each byte. The methods take positions as int64 of shape
    (n,), one for each message that is asked about, and return arrays of shape (n,) or a list of n
    items. All of them raise IndexError for positions beyond the bytes; no other check is made.
    """

    __slots__ = ("begin", "bytes", "eights", "end", "ones")

    def __init__(self, messages: Sequence[bytes]) -> None:
        size = np.fromiter(map(len, messages), dtype=np.int64, count=len(messages))
        self.end: OffsetArray = np.cumsum(size)
        self.begin: OffsetArray = self.end - size
        self.bytes = b"".join((*messages, _PADDING))
        self.ones: NDArray[np.uint8] = np.frombuffer(self.bytes, dtype=np.uint8)
        # `eights` has a word at every position, aligned or not: with a stride of one byte the
        # view's words overlap. So one index operation reads a column, and nothing is copied. The
        # slow way reads byte by byte, with a decision after each.
        self.eights: NDArray[np.uint64] = np.ndarray(
            (len(self.bytes) - 7,), dtype="<u8", buffer=self.bytes, strides=(1,)
        )

    def after_numbers(self, at: OffsetArray) -> OffsetArray:
        """Where the numbers that start here end (positions, int64)."""
        # A number's last byte is the one without the high bit. One word shows eight bytes at once;
        # only numbers from 2**55 on have no last byte among them.
        stop = ~self.eights[at] & _STOP
        if stop.all():
            return at + _width(stop)
        long = stop == 0
        widths = _width(np.where(long, _ONE, stop))
        widths[long] = 8 + _width(~self.eights[at[long] + 8] & _STOP)
        return at + widths

    def numbers(self, at: OffsetArray) -> tuple[NDArray[np.int64], OffsetArray]:
        """The numbers that start here (int64), and where they end (positions)."""
        words = self.eights[at]
        stop = ~words & _STOP
        if not stop.all():
            return self._long_numbers(at), self.after_numbers(at)
        # `x & -x` keeps only the lowest bit; unsigned numbers have no minus, so -x is written as ~x
        # + 1. Shifted left by one, minus one, it masks all bytes up to the last. For a number of
        # eight bytes the shift gives 0, and 0 - 1 masks all eight.
        low = stop & (~stop + _ONE)
        words &= ((low << _ONE) - _ONE) & ~_STOP
        # Three rounds merge neighbouring groups of seven bits; one by one it would take eight
        # rounds.
        for lower, upper, shift in _FOLDS:
            words = (words & lower) | ((words & upper) >> shift)
        return _signed(words), at + _width(stop)

    def _long_numbers(self, at: OffsetArray) -> NDArray[np.int64]:
        """The numbers that start here, of which some have nine or ten bytes: read byte by byte."""
        words = np.zeros(len(at), dtype=np.uint64)
        going = np.ones(len(at), dtype=np.bool_)
        for place in range(10):
            octets = self.ones[at + place].astype(np.uint64)
            words |= np.where(
                going, (octets & np.uint64(127)) << np.uint64(7 * place), np.uint64(0)
            )
            going &= octets >= 128
        return _signed(words)

    def integers(self, begin: OffsetArray, length: NDArray[np.int64]) -> NDArray[np.int64]:
        """The big-endian two's complement numbers of `length` bytes (0 to 8) that begin here, as
        int64; 0 for a length of 0.
        """
        # Eight bytes are read whatever the length is. The shift to the right removes the bytes of
        # the next value and, because it is arithmetic, extends the sign. C does not define a shift
        # by 64, so a length of 0 is handled separately.
        words = self.eights[begin].byteswap().view(np.int64)
        return np.where(length > 0, words >> np.clip(64 - 8 * length, 0, 63), 0)

    def lengths(self, at: OffsetArray) -> tuple[NDArray[np.int64], OffsetArray]:
        """The lengths of the texts that start here (int64), and where their own bytes begin
        (positions).

        Raises IndexError for a length that is negative, or longer than all messages together.
        """
        # Texts of up to 63 bytes have a length of one byte; if all do, no word needs to be read.
        first = self.ones[at]
        if len(first) and int(first.max()) >= 128:
            found, begin = self.numbers(at)
            # A position plus a length near 2**63 would overflow into a negative index, which numpy
            # counts from the end.
            if (found > len(self.bytes)).any():
                raise IndexError("a length is longer than all messages")
        else:
            found, begin = (first.astype(np.int64) >> 1) ^ -(first.astype(np.int64) & 1), at + 1
        if (found < 0).any():
            raise IndexError("a length is negative")
        return found, begin

    def after_texts(self, at: OffsetArray) -> OffsetArray:
        """Where the texts that start here end (positions, int64)."""
        length, begin = self.lengths(at)
        return begin + length

    def table(self, begin: OffsetArray, width: int) -> NDArray[np.uint8]:
        """The texts of `width` bytes that begin here, as uint8 of shape (n, width)."""
        if not len(begin):
            return np.zeros((0, width), dtype=np.uint8)
        # A view with items of `width` opaque bytes and a stride of one: numpy then copies each row
        # at once. An index of begin + arange(width) would first need a position of eight bytes for
        # each byte.
        whole: NDArray[np.void] = np.ndarray(
            (len(self.bytes) - width + 1,), dtype=f"V{width}", buffer=self.bytes, strides=(1,)
        )
        return whole[begin].view(np.uint8).reshape(len(begin), width)

    def texts(self, begin: OffsetArray, length: NDArray[np.int64]) -> list[bytes]:
        """The texts that begin here, as a list of bytes objects."""
        # Python's own slices, because numpy is slower where each result is an object. `tolist`
        # turns all positions into Python integers at once, which slices take without a conversion
        # for each.
        source = self.bytes
        return [
            source[first:last]
            for first, last in zip(begin.tolist(), (begin + length).tolist(), strict=True)
        ]


def _width(stop: NDArray[np.uint64]) -> NDArray[np.int64]:
    """The bytes of a number, up to its last byte; `stop` has the high bit of every possible last
    byte.
    """
    # Below a byte's high bit there are 7, 15, ... 63 bits, all ones after 1 is subtracted. Counting
    # them is one instruction; a logarithm would need floating point.
    low = stop & (~stop + _ONE)
    return (np.bitwise_count(low - _ONE) >> 3).astype(np.int64) + 1


def _signed(words: NDArray[np.uint64]) -> NDArray[np.int64]:
    # Zigzag: (n >> 1) ^ -(n & 1), with ~x + 1 for -x, which unsigned numbers lack.
    numbers: NDArray[np.int64] = ((words >> _ONE) ^ (~(words & _ONE) + _ONE)).view(np.int64)
    return numbers
