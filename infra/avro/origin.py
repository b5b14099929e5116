"""The envelope's `source` block: where changes come from, for many messages at once."""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from infra.avro.octets import Octets, OffsetArray


def alike(octets: Octets, begin: OffsetArray, length: NDArray[np.int64]) -> bool:
    """Whether these texts (positions and lengths, one at least) are all equal."""
    if not (length == length[0]).all():
        return False
    # One comparison of bytes, all rows against the first; a set would need a text object for each
    # message. A view cannot have a width of 0, so an empty text is compared by one byte.
    table = octets.table(begin, max(int(length[0]), 1))
    return bool((table == table[0]).all()) or not length[0]


_SEQUENCE = re.compile(rb'\["(\d+)"')


def commits(
    octets: Octets,
    begin: OffsetArray,
    length: NDArray[np.int64],
    otherwise: NDArray[np.int64],
) -> NDArray[np.int64]:
    """The first number of each `["1","2"]`, as int64; for null, the value of `otherwise`.

    If all numbers have as many digits as the first one, which is nearly always so, all are read at
    once.
    """
    first = _SEQUENCE.match(octets.bytes, int(begin[0]))
    if first is not None:
        # A log position gains a digit once in ten times its size, so the positions of a batch
        # mostly have equally many. Their digits are then a table, and a row's number is the row
        # times the powers of ten. The slow way, below, matches and reads each text alone.
        digits = first.end(1) - first.start(1)
        table = octets.table(begin, digits + 3)
        numbers = table[:, 2:-1].astype(np.int64) - ord("0")
        even = ((numbers >= 0) & (numbers <= 9)).all(axis=1) & (table[:, -1] == ord('"'))
        if even.all() and int(length.min()) > digits + 3:
            return numbers @ 10 ** np.arange(digits - 1, -1, -1, dtype=np.int64)
    texts = [_SEQUENCE.match(text) for text in octets.texts(begin, length)]
    return np.array(
        [
            int(text[1]) if text else known
            for text, known in zip(texts, otherwise.tolist(), strict=True)
        ],
        dtype=np.int64,
    )
