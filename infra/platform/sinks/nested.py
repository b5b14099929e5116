"""Arrays, maps and records as JSON, for sinks whose tables have no type for them; and as
PostgreSQL's text, for PostgreSQL.

Values that JSON cannot hold exactly become text, as for whole columns: decimals in digits, NaN and
infinity, dates and times in ISO 8601, bytes as the sink writes them.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Callable, Mapping
from datetime import date, time
from decimal import Decimal
from typing import Any

_NO_NUMBER = {math.inf: "Infinity", -math.inf: "-Infinity"}


def nested(value: Any, octets_text: Callable[[bytes], str]) -> Any:
    """The value in types that every JSON writer knows."""
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
    """A float; for NaN and infinity their names."""
    return value if math.isfinite(value) else _NO_NUMBER.get(value, "NaN")


def decimal_digits(value: Decimal) -> str:
    """A decimal as plain digits."""
    return format(value, "f")


def array_literal(value: Any, leaf: Callable[[Any], str] | None = None) -> str:
    """An array as PostgreSQL reads it (its documentation, "Array Input and Output Syntax")."""
    return "{" + ",".join(_array_item(each, leaf) for each in value) + "}"


def _array_item(value: Any, leaf: Callable[[Any], str] | None) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, list):
        return array_literal(value, leaf)
    return _quoted(leaf(value) if leaf is not None else postgres_text(value))


def hstore_literal(value: Mapping[str, str | None]) -> str:
    """A map as PostgreSQL's hstore reads it."""
    return ",".join(
        f"{_quoted(name)}=>{'NULL' if text is None else _quoted(text)}"
        for name, text in value.items()
    )


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def postgres_text(value: Any) -> str:
    """A single value as PostgreSQL reads it."""
    if isinstance(value, bool):
        return "t" if value else "f"
    if isinstance(value, Decimal):
        return decimal_digits(value)
    if isinstance(value, bytes):
        return bytea_text(value)
    if isinstance(value, (Mapping, list)):
        return json.dumps(nested(value, bytea_text))
    return repr(value) if isinstance(value, float) else str(value)


def base64_text(data: bytes) -> str:
    """Bytes as JSON documents have them."""
    return base64.b64encode(data).decode("ascii")


def bytea_text(data: bytes) -> str:
    """Bytes as PostgreSQL writes and reads its bytea."""
    return f"\\x{data.hex()}"
