"""Numbers as people write them: 1000, 1_000, 10k, 1.5M, 1e6. Pure.

Decimal keeps what was written exact, so `0.1k` is the whole number 100.
"""

from __future__ import annotations

import re
from decimal import Decimal

#: Powers of ten by their letter.
EXPONENTS = {"": 0, "k": 3, "M": 6, "G": 9}
#: The form of a number without its sign, for use in larger patterns.
_DIGITS = r"(?:[0-9]+(?:_[0-9]+)*(?:\.[0-9]+)?|\.[0-9]+)"
UNSIGNED = rf"{_DIGITS}(?:[eE][+-]?[0-9]{{1,3}})?"
#: More digits than any quantity here has; every larger number exceeds all bounds anyway.
MOST_DIGITS = 30
LARGEST: int = 10**MOST_DIGITS
_FORM = re.compile(rf"([+-]?{_DIGITS})(?:[eE]([+-]?[0-9]{{1,3}}))?([kMG]?)")
_SHOWN = 40


def number(text: str) -> Decimal:
    """The number in a text; raises ValueError if the text is no number."""
    match = _FORM.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{shown(text)} is not a number; write e.g. 1000, 1_000, 1.5k or 1e3")
    exponent = int(match[2] or 0) + EXPONENTS[match[3]]
    # Decimal arithmetic would round to 28 digits; building it from a text does not.
    return Decimal(f"{match[1].replace('_', '')}e{exponent}")


def whole(text: str) -> int:
    """The whole number in a text; raises ValueError if the text is none.

    A number that exceeds every quantity comes back as the largest that bounds are checked against.
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
    """A text in quotes for a message, shortened where it is long."""
    return repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…")
