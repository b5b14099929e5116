"""One number for a row's key, the same at every tap and in PostgreSQL itself. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

#: Separates the columns of a composite key; no key's text contains it.
SEPARATOR = "\x1f"
#: Longer runs of digits stay texts; every number of this many digits fits 64 bits.
MOST_DIGITS = 18


def key_number(key: Any) -> int:
    """A number for a key: the key itself if it is a whole number of 64 bits, also as text;
    otherwise the first 64 bits of SHA-256 over its text.
    """
    if isinstance(key, int) and not isinstance(key, bool) and key.bit_length() < 64:
        return key
    text = str(key)
    digits = text.removeprefix("-")
    if digits.isascii() and digits.isdecimal() and len(digits) <= MOST_DIGITS:
        return int(text)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big", signed=True)


def key_of_columns(values: Sequence[Any]) -> int:
    """The number of a key of one or more columns."""
    return key_number(values[0] if len(values) == 1 else SEPARATOR.join(map(str, values)))
