"""What the envelope's `source` says of where a change comes from, for many messages at once."""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from infra.avro.octets import Octets, OffsetArray


def alike(octets: Octets, begin: OffsetArray, length: NDArray[np.int64]) -> bool:
    """Whether these texts are all the same."""
    if not (length == length[0]).all():
        return False
    # All rows against the first in one comparison of bytes; making a text of each for a set would
    # take an object a message. A width of 0 has no view, so one byte stands for it.
    table = octets.table(begin, max(int(length[0]), 1))
    return bool((table == table[0]).all()) or not length[0]


_SEQUENCE = re.compile(rb'\["(\d+)"')


def commits(
    octets: Octets,
    begin: OffsetArray,
    length: NDArray[np.int64],
    otherwise: NDArray[np.int64],
) -> NDArray[np.int64]:
    """The first number of each `["1","2"]`; `otherwise` where there is null.

    Numbers of as many digits as the first one's are read all at once; they are what nearly always
    comes.
    """
    first = _SEQUENCE.match(octets.bytes, int(begin[0]))
    if first is not None:
        # A position gains a digit once in ten times its size, so all of a batch mostly have as
        # many: their digits are a table, and each number is a row times the powers of ten. The
        # slow way, below, matches and reads each text alone.
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
