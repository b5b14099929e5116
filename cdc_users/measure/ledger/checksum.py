"""What a probe's checksum covers: a row's values in one canonical form, independent of format.

Avro, JSON, Postgres and Iceberg share this one function. A value that changed on its way therefore
differs, and one that is only written differently does not. docs/probe.md lists the forms.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal
from typing import Any
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Json:
    """A value of a JSON column, which keeps a scalar in it apart from a text or number column."""

    value: Any

    @classmethod
    def parse(cls, text: str | bytes) -> Json:
        """Read JSON text; numbers keep all their digits."""
        return cls(json.loads(text, parse_float=Decimal))


def canonical(value: Any) -> bytes:
    """One value as bytes that do not depend on the format that carried it; lengths stand before
    texts, so that neighbouring values cannot run together.
    Numbers are one family (1, 1.0 and Decimal("1.00") are the same), and so are timestamps with
    and without time zone, the latter taken as UTC. A UUID is its text. docs/probe.md lists the
    forms. Raises TypeError for others.
    """
    if value is None:
        return b"n;"
    form = _FORMS.get(type(value)) or next(
        (found for kind, found in _FORMS.items() if isinstance(value, kind)), None
    )
    if form is None:
        raise TypeError(f"{type(value).__name__} has no canonical form")
    return form(value)


def _text_form(value: str) -> bytes:
    data = value.encode()
    return b"t%d:%s;" % (len(data), data)


def _bytes_form(value: bytes | bytearray | memoryview) -> bytes:
    return b"x%d:%s;" % (len(value), bytes(value))


# Decimal's default context would round what has more than 28 digits.
_EXACT = Context(prec=200_000, Emax=MAX_EMAX, Emin=MIN_EMIN)


def _decimal_form(value: Decimal) -> bytes:
    if not value.is_finite():
        return b"d%s;" % str(value).lower().encode()
    if value and abs(value.adjusted()) > _EXACT.prec:
        # 1e999999999 would become a gigabyte of digits; no database's number is that long.
        raise ValueError(f"a number of {abs(value.adjusted())} digits has no canonical form")
    return f"d{_EXACT.plus(_EXACT.normalize(value)):f};".replace("d-0;", "d0;").encode()


def _float_form(value: float) -> bytes:
    return _decimal_form(Decimal(repr(value)))


def _json_form(value: Json) -> bytes:
    data = _json_text(value.value).encode()
    return b"j%d:%s;" % (len(data), data)


def _json_text(value: Any) -> str:
    """JSON with sorted keys, no white space and normalised numbers: the parts of a document that
    Postgres' jsonb keeps.
    """
    if isinstance(value, dict):
        inside = (f"{json.dumps(name)}:{_json_text(value[name])}" for name in sorted(value))
        return "{" + ",".join(inside) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_json_text, value)) + "]"
    if isinstance(value, (int, float, Decimal)) and not isinstance(value, bool):
        return canonical(value)[1:-1].decode()
    return json.dumps(value)


def _array_form(value: Sequence[Any]) -> bytes:
    return b"a%d:" % len(value) + b"".join(map(canonical, value)) + b";"


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_DAY = date(1970, 1, 1)
_DAY_US = 86_400_000_000


def _microseconds(since: timedelta) -> int:
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def _timestamp_form(value: datetime) -> bytes:
    return b"z%d;" % _microseconds((value if value.tzinfo else value.replace(tzinfo=UTC)) - _EPOCH)


def _time_form(value: time) -> bytes:
    of_day = ((value.hour * 60 + value.minute) * 60 + value.second) * 1_000_000 + value.microsecond
    offset = value.utcoffset()
    return b"h%d;" % ((of_day - _microseconds(offset)) % _DAY_US if offset is not None else of_day)


_FORMS: Mapping[type, Callable[[Any], bytes]] = {
    str: _text_form,
    bool: lambda value: b"b1;" if value else b"b0;",
    int: lambda value: b"d%d;" % value,
    Decimal: _decimal_form,
    float: _float_form,
    datetime: _timestamp_form,  # before date, because datetime is a subclass of date
    date: lambda value: b"e%d;" % (value - _EPOCH_DAY).days,
    time: _time_form,
    timedelta: lambda value: b"i%d;" % _microseconds(value),
    bytes: _bytes_form,
    bytearray: _bytes_form,
    memoryview: _bytes_form,
    UUID: lambda value: _text_form(str(value)),
    Json: _json_form,
    dict: lambda value: _json_form(Json(value)),
    list: _array_form,
    tuple: _array_form,
}


def checksum(key: int, key_version: int, columns: Iterable[Any]) -> int:
    """CRC-32 over the key, the version and the other columns in table order, without the probe."""
    return zlib.crc32(b"%d;%d;" % (key, key_version) + b"".join(map(canonical, columns)))
