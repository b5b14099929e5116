"""Quantities in readable form, the same in tables, sentences and pages: three significant digits,
one unit, thousands grouped by commas.
"""

from __future__ import annotations

from collections.abc import Sequence

UNKNOWN = "-"
#: The columns of a table beside the consolidated one, in characters.
NAME_WIDTH, WIDTH = 24, 10
#: Longer times are shown in seconds.
SECOND_MS = 1000.0


def count(number: int | None) -> str:
    """A count of things."""
    return UNKNOWN if number is None else f"{number:,}"


def duration(value_ms: float | None) -> str:
    """A time, given in milliseconds: `0.71 ms`, `282 ms`, `14.7 s`."""
    if value_ms is None:
        return UNKNOWN
    if abs(value_ms) < SECOND_MS - 0.5:
        return f"{three_digits(value_ms)} ms"
    return f"{three_digits(value_ms / 1000)} s"


def per_second(rate: float | None) -> str:
    """Events a second."""
    return UNKNOWN if rate is None else f"{three_digits(rate) if rate < 10 else f'{rate:,.0f}'}/s"


def byte_rate(rate: float | None) -> str:
    """Bytes a second, in megabytes."""
    return UNKNOWN if rate is None else f"{rate / 1e6:,.2f} MB/s"


def three_digits(value: float) -> str:
    """At least three significant digits, and at most two digits behind the point."""
    size = abs(value)
    places = 0 if size >= 99.95 or value == 0 else 1 if size >= 9.995 else 2
    return f"{value:,.{places}f}"


def line(name: str, cells: Sequence[str]) -> str:
    """A line of a table beside the consolidated one."""
    return (f"{name:<{NAME_WIDTH}}" + "".join(f" {cell:>{WIDTH}}" for cell in cells)).rstrip()
