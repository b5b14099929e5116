"""Many Avro messages as one array of bytes: their numbers and texts found and read in whole
columns by numpy.

Avro 1.11 specification, "Binary Encoding": numbers are variable-length and zigzag, texts have
their length before them. Positions are indexes into all messages' bytes behind one another.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

OffsetArray = NDArray[np.int64]

# Words of eight bytes are read at any position, and of a long number a second one eight bytes
# further on, so the last message needs at least 16 bytes behind it.
_PADDING = bytes(32)
_ONE = np.uint64(1)
#: Each byte's high bit: where it is set, the number goes on in the next byte.
_STOP = np.uint64(0x8080808080808080)
#: Eight groups of seven bits are folded into four of fourteen, two of 28 and one of 56.
_FOLDS = tuple(
    (np.uint64(low), np.uint64(high), np.uint64(shift))
    for low, high, shift in (
        (0x007F007F007F007F, 0x7F007F007F007F00, 1),
        (0x00003FFF00003FFF, 0x3FFF00003FFF0000, 2),
        (0x000000000FFFFFFF, 0x0FFFFFFF00000000, 4),
    )
)


class Octets:
    """Messages behind one another: where each begins and ends, and their bytes.

    All methods raise IndexError for positions beyond them.
    """

    __slots__ = ("begin", "bytes", "eights", "end", "ones")

    def __init__(self, messages: Sequence[bytes]) -> None:
        size = np.fromiter(map(len, messages), dtype=np.int64, count=len(messages))
        self.end: OffsetArray = np.cumsum(size)
        self.begin: OffsetArray = self.end - size
        self.bytes = b"".join((*messages, _PADDING))
        self.ones: NDArray[np.uint8] = np.frombuffer(self.bytes, dtype=np.uint8)
        # Eight bytes from any position on, whatever its alignment: a stride of one byte makes a
        # view of overlapping words, so that a column is read by one index operation and copied
        # nowhere. The slow way reads byte by byte and decides after each.
        self.eights: NDArray[np.uint64] = np.ndarray(
            (len(self.bytes) - 7,), dtype="<u8", buffer=self.bytes, strides=(1,)
        )

    def after_numbers(self, at: OffsetArray) -> OffsetArray:
        """Where the numbers that start here end."""
        # A byte whose high bit is 0 is a number's last. All eight are looked at in one word; only
        # numbers from 2**55 on have none among them.
        stop = ~self.eights[at] & _STOP
        if stop.all():
            return at + _width(stop)
        long = stop == 0
        widths = _width(np.where(long, _ONE, stop))
        widths[long] = 8 + _width(~self.eights[at[long] + 8] & _STOP)
        return at + widths

    def numbers(self, at: OffsetArray) -> tuple[NDArray[np.int64], OffsetArray]:
        """The numbers that start here, and where they end."""
        words = self.eights[at]
        stop = ~words & _STOP
        if not stop.all():
            return self._long_numbers(at), self.after_numbers(at)
        # `x & -x` leaves the lowest bit; unsigned numbers have no minus, so it is ~x + 1. Shifted
        # by one and less one it is a mask of all bytes up to the last; of a number of eight bytes
        # the shift leaves 0, and 0 - 1 is a mask of all.
        low = stop & (~stop + _ONE)
        words &= ((low << _ONE) - _ONE) & ~_STOP
        # Seven bits a byte are moved together: neighbours in three rounds, not eight one by one.
        for lower, upper, shift in _FOLDS:
            words = (words & lower) | ((words & upper) >> shift)
        return _signed(words), at + _width(stop)

    def _long_numbers(self, at: OffsetArray) -> NDArray[np.int64]:
        """Where some need nine or ten bytes: byte by byte."""
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
        """Two's complement numbers of at most eight bytes, the highest first, which begin here;

        0 where no byte is.
        """
        # Eight bytes are read whatever the length. The shift to the right drops those of the next
        # value and, since it is arithmetic, extends the sign. A shift by 64 is not defined in C,
        # so a length of 0 is answered apart.
        words = self.eights[begin].byteswap().view(np.int64)
        return np.where(length > 0, words >> np.clip(64 - 8 * length, 0, 63), 0)

    def lengths(self, at: OffsetArray) -> tuple[NDArray[np.int64], OffsetArray]:
        """The lengths of the texts that start here, and where their own bytes begin."""
        # Texts of up to 63 bytes have a length of one byte; where all are such, no word is folded.
        first = self.ones[at]
        if len(first) and int(first.max()) >= 128:
            found, begin = self.numbers(at)
            # Added to a position, a length near 2**63 would come out below zero, where numpy counts
            # from the end.
            if (found > len(self.bytes)).any():
                raise IndexError("a length is longer than all messages")
        else:
            found, begin = (first.astype(np.int64) >> 1) ^ -(first.astype(np.int64) & 1), at + 1
        if (found < 0).any():
            raise IndexError("a length is negative")
        return found, begin

    def after_texts(self, at: OffsetArray) -> OffsetArray:
        """Where the texts that start here end."""
        length, begin = self.lengths(at)
        return begin + length

    def table(self, begin: OffsetArray, width: int) -> NDArray[np.uint8]:
        """The texts of one width that begin here, a row each."""
        if not len(begin):
            return np.zeros((0, width), dtype=np.uint8)
        # Items of `width` opaque bytes at a stride of one: numpy then copies each row at once. An
        # index of begin + arange(width) would first make eight bytes of position for each byte.
        whole: NDArray[np.void] = np.ndarray(
            (len(self.bytes) - width + 1,), dtype=f"V{width}", buffer=self.bytes, strides=(1,)
        )
        return whole[begin].view(np.uint8).reshape(len(begin), width)

    def texts(self, begin: OffsetArray, length: NDArray[np.int64]) -> list[bytes]:
        """The texts that begin here."""
        # Python's own slices: for objects of their own, numpy would be slower. `tolist` makes all
        # positions plain numbers at once, which slices take without asking each one for its index.
        source = self.bytes
        return [
            source[first:last]
            for first, last in zip(begin.tolist(), (begin + length).tolist(), strict=True)
        ]


def _width(stop: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Bytes up to and with the first that ends a number, given all ending bytes' high bits."""
    # Below a byte's high bit lie 7, 15, ... 63 bits, all ones once 1 is taken away: counting them
    # is one instruction, where a logarithm would go through floating point.
    low = stop & (~stop + _ONE)
    return (np.bitwise_count(low - _ONE) >> 3).astype(np.int64) + 1


def _signed(words: NDArray[np.uint64]) -> NDArray[np.int64]:
    # Zigzag: (n >> 1) ^ -(n & 1), with ~x + 1 for the minus that unsigned numbers lack.
    numbers: NDArray[np.int64] = ((words >> _ONE) ^ (~(words & _ONE) + _ONE)).view(np.int64)
    return numbers
