"""Numbers as people write them: 1000, 1_000, 10k, 1.5M, 1e6. Pure.

Decimal keeps what was written exact, so `0.1k` is the whole number 100.
"""

from __future__ import annotations

import re
from decimal import Decimal

#: Powers of ten, by the letter that stands for them.
EXPONENTS = {"": 0, "k": 3, "M": 6, "G": 9}
#: How a number may be written, without its sign, for patterns of which it is a part.
_DIGITS = r"(?:[0-9]+(?:_[0-9]+)*(?:\.[0-9]+)?|\.[0-9]+)"
UNSIGNED = rf"{_DIGITS}(?:[eE][+-]?[0-9]{{1,3}})?"
#: More digits than any quantity here has; what is larger is outside every bound all the same.
MOST_DIGITS = 30
LARGEST: int = 10**MOST_DIGITS
_FORM = re.compile(rf"([+-]?{_DIGITS})(?:[eE]([+-]?[0-9]{{1,3}}))?([kMG]?)")
_SHOWN = 40


def number(text: str) -> Decimal:
    """The number that a text says; raises ValueError where it says none."""
    match = _FORM.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{shown(text)} is not a number; write e.g. 1000, 1_000, 1.5k or 1e3")
    exponent = int(match[2] or 0) + EXPONENTS[match[3]]
    # Arithmetic would round to 28 digits; a text does not.
    return Decimal(f"{match[1].replace('_', '')}e{exponent}")


def whole(text: str) -> int:
    """The whole number that a text says; raises ValueError where it says none.

    One that is too large to be any quantity comes back as the largest that may be asked about.
    """
    try:
        value = number(text)
    except ValueError:
        raise ValueError(f"{shown(text)} is not a whole number") from None
    if value and value.adjusted() >= MOST_DIGITS:
        return LARGEST if value > 0 else -LARGEST
    if value != value.to_integral_value():
        raise ValueError(f"{shown(text)} is not a whole number")
    return int(value)


def shown(text: str) -> str:
    """A text in quotes for a message, cut where it is long."""
    return repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…")
