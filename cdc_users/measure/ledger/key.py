"""One number for a row's key, the same at every tap and in PostgreSQL itself. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

#: Separates the columns of a composite key; no key's text contains it.
SEPARATOR = "\x1f"
#: The largest number of 64 bits has this many digits; longer runs of digits stay texts.
MOST_DIGITS = 19
LEAST, MOST = -(2**63), 2**63 - 1


def key_number(key: Any) -> int:
    """A number for a key: the key itself if it is a whole number of 64 bits, also as text;
    otherwise the first 64 bits of SHA-256 over its text.
    """
    if isinstance(key, int) and not isinstance(key, bool) and LEAST <= key <= MOST:
        return key
    text = str(key)
    digits = text.removeprefix("-")
    is_number = digits.isascii() and digits.isdecimal() and len(digits) <= MOST_DIGITS
    if is_number and LEAST <= int(text) <= MOST:
        return int(text)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big", signed=True)


def key_of_columns(values: Sequence[Any]) -> int:
    """The number of a key of one or more columns."""
    return key_number(values[0] if len(values) == 1 else SEPARATOR.join(map(str, values)))
