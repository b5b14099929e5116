"""Arrays, maps and records as JSON, for sinks whose tables have no type for them.

What JSON cannot hold exactly is text, as it is for whole columns: decimals in digits, floats that
are no numbers, dates and times in ISO 8601, bytes as the sink writes them.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Mapping
from datetime import date, time
from decimal import Decimal
from typing import Any

_NO_NUMBER = {math.inf: "Infinity", -math.inf: "-Infinity"}


def nested(value: Any, octets_text: Callable[[bytes], str]) -> Any:
    """The value in what every writer of JSON knows."""
    if isinstance(value, Mapping):
        return {name: nested(each, octets_text) for name, each in value.items()}
    if isinstance(value, list):
        return [nested(each, octets_text) for each in value]
    if isinstance(value, float):
        return float_value(value)
    if isinstance(value, Decimal):
        return decimal_digits(value)
    if isinstance(value, bytes):
        return octets_text(value)
    return value.isoformat().replace("+00:00", "Z") if isinstance(value, (date, time)) else value


def float_value(value: float) -> float | str:
    """A float, or the name of what is none."""
    return value if math.isfinite(value) else _NO_NUMBER.get(value, "NaN")


def decimal_digits(value: Decimal) -> str:
    """A decimal as plain digits."""
    return format(value, "f")


def base64_text(data: bytes) -> str:
    """Bytes as JSON documents have them."""
    return base64.b64encode(data).decode("ascii")


def bytea_text(data: bytes) -> str:
    """Bytes as PostgreSQL writes and reads its bytea."""
    return f"\\x{data.hex()}"
