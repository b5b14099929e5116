"""Turns rows' values from any format into the types whose canonical form the checksum covers."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
)
from typing import Any

import numpy as np

from cdc_users.measure.ledger.checksum import Json, checksum
from cdc_users.measure.ledger.ledger import RowCheck
from cdc_users.measure.ledger.probe import Probe, ProbeError, parse_probe
from infra.avro.kind import PLACEHOLDER, UNAVAILABLE, ColumnKind

#: The columns of `customers` in order, without key and probe.
CUSTOMERS: Mapping[str, ColumnKind] = {
    "first_name": ColumnKind.TEXT,
    "last_name": ColumnKind.TEXT,
    "email": ColumnKind.TEXT,
    "phone": ColumnKind.TEXT,
    "balance": ColumnKind.DECIMAL,
    "created_at": ColumnKind.ZONED_TIMESTAMP,
    "notes": ColumnKind.TEXT,
}
#: The scales that are tried for a decimal whose scale is not given.
MOST_SCALE = 20
#: Longer texts cannot be base64 numbers of a checksummed column.
MOST_DIGITS = 1000
_EPOCH = datetime(1970, 1, 1)
_EPOCH_DAY = date(1970, 1, 1)


def column_kinds(columns: Sequence[tuple[str, str]] | None) -> Mapping[str, ColumnKind]:
    """A table's configured columns; those of `customers` if none are configured."""
    if columns is None:
        return CUSTOMERS
    return {name: ColumnKind(kind) for name, kind in columns}


def value_of(kind: ColumnKind, value: Any) -> Any:
    """One value of a column of this kind; raises ValueError or TypeError for an impossible value.

    Texts and numbers may have the form of JSON, Avro, PostgreSQL or Arrow; UNAVAILABLE stays as it
    is.
    """
    if value is None or value is UNAVAILABLE:
        return value
    if value == PLACEHOLDER:
        return UNAVAILABLE
    make = _MAKERS.get(kind)
    return value if make is None else make(value)


def _moment(value: Any, units_per_s: int, zone: Any) -> datetime:
    if isinstance(value, str):
        moment = datetime.fromisoformat(value)
    elif isinstance(value, datetime):
        moment = value
    else:
        moment = _EPOCH + timedelta(microseconds=int(value) * 1_000_000 // units_per_s)
    return moment if moment.tzinfo or zone is None else moment.replace(tzinfo=zone)


def _instant(units_per_s: int) -> Callable[[Any], datetime]:
    return lambda value: _moment(value, units_per_s, UTC)


def _local(units_per_s: int) -> Callable[[Any], datetime]:
    return lambda value: _moment(value, units_per_s, None)


def _day(value: Any) -> date:
    if isinstance(value, str):
        return date.fromisoformat(value)
    return value if isinstance(value, date) else _EPOCH_DAY + timedelta(days=int(value))


def _clock(units_per_s: int) -> Callable[[Any], time]:
    def make(value: Any) -> time:
        if isinstance(value, str):
            return time.fromisoformat(value)
        if isinstance(value, time):
            return value
        return (_EPOCH + timedelta(microseconds=int(value) * 1_000_000 // units_per_s)).time()

    return make


def _bytes(value: Any) -> bytes:
    if not isinstance(value, str):
        return bytes(value)
    return (
        bytes.fromhex(value[2:])
        if value.startswith("\\x")
        else base64.b64decode(value, validate=True)
    )


def _texts(value: Any) -> Any:
    """Drivers have their own types for network addresses, which become texts; a number
    never does.
    """
    return str(value) if isinstance(value, _ADDRESSES) else value


_ADDRESSES = (
    IPv4Address,
    IPv6Address,
    IPv4Interface,
    IPv6Interface,
    IPv4Network,
    IPv6Network,
)


def _json(value: Any) -> Json:
    return Json.parse(value) if isinstance(value, (str, bytes)) else Json(value)


def _truth(value: Any) -> bool:
    if isinstance(value, str) and value.lower() in _TRUTHS:
        return _TRUTHS[value.lower()]
    if isinstance(value, bool | int):
        return bool(value)
    raise ValueError(f"{value!r} is no boolean")


_TRUTHS = {"t": True, "true": True, "f": False, "false": False}
_MAKERS: Mapping[ColumnKind, Callable[[Any], Any]] = {
    ColumnKind.BOOLEAN: _truth,
    ColumnKind.TEXT: _texts,
    ColumnKind.INT16: int,
    ColumnKind.INT32: int,
    ColumnKind.INT64: int,
    ColumnKind.FLOAT32: lambda value: float(str(np.float32(value))),
    ColumnKind.FLOAT64: float,
    ColumnKind.DECIMAL: lambda value: value if isinstance(value, Decimal) else Decimal(str(value)),
    ColumnKind.VARIABLE_DECIMAL: lambda value: (
        value if isinstance(value, Decimal) else Decimal(str(value))
    ),
    ColumnKind.UUID: lambda value: str(value).lower(),
    ColumnKind.JSON: _json,
    ColumnKind.BYTES: _bytes,
    ColumnKind.DATE: _day,
    ColumnKind.TIME_MS: _clock(1000),
    ColumnKind.TIME_US: _clock(1_000_000),
    ColumnKind.TIME_NS: _clock(1_000_000_000),
    ColumnKind.ZONED_TIME: lambda value: (
        time.fromisoformat(value) if isinstance(value, str) else value
    ),
    ColumnKind.TIMESTAMP_MS: _local(1000),
    ColumnKind.TIMESTAMP_US: _local(1_000_000),
    ColumnKind.TIMESTAMP_NS: _local(1_000_000_000),
    ColumnKind.INSTANT_MS: _instant(1000),
    ColumnKind.INSTANT_US: _instant(1_000_000),
    ColumnKind.ZONED_TIMESTAMP: _instant(1_000_000),
    ColumnKind.DURATION_US: lambda value: (
        value if isinstance(value, timedelta) else timedelta(microseconds=int(value))
    ),
}


def check(
    probe: bytes | str, key: int, kinds: Sequence[ColumnKind], values: Sequence[Any]
) -> RowCheck:
    """Whether a row is as its writer wrote it: its columns in table order, without the probe, must
    match the probe's checksum.

    A value that its column cannot hold was made on the way, so the row is corrupt.
    """
    try:
        found = parse_probe(probe)
    except ProbeError:
        return RowCheck.CORRUPT
    result = _check(found, key, kinds, values)
    coded = _coded(kinds, values) if result is RowCheck.CORRUPT else frozenset()
    # Nothing gives the scale of such a number, so the scale with a matching checksum is taken.
    for scale in range(MOST_SCALE + 1) if coded else ():
        read = [
            pointed(value, scale) if place in coded else value for place, value in enumerate(values)
        ]
        if _check(found, key, kinds, read) is RowCheck.GOOD:
            return RowCheck.GOOD
    # Columns of different scales: the values cannot be determined, so the row is not called
    # corrupt.
    if any(_plain_number(values[place]) is None for place in coded):
        return RowCheck.UNCHECKABLE
    return result


def _plain_number(text: Any) -> Decimal | None:
    try:
        return Decimal(text)
    except (ArithmeticError, ValueError, TypeError):
        return None


def _check(found: Probe, key: int, kinds: Sequence[ColumnKind], values: Sequence[Any]) -> RowCheck:
    try:
        made = [value_of(kind, value) for kind, value in zip(kinds, values, strict=True)]
        if any(value is UNAVAILABLE for value in made):
            return RowCheck.UNCHECKABLE
        same = checksum(key, found.key_version, made) == found.checksum
    except (ValueError, TypeError, ArithmeticError, RecursionError):
        return RowCheck.CORRUPT
    return RowCheck.GOOD if same else RowCheck.CORRUPT


def _coded(kinds: Sequence[ColumnKind], values: Sequence[Any]) -> frozenset[int]:
    """The indexes of decimals that may be base64 numbers without a point."""
    return frozenset(
        place
        for place, (kind, value) in enumerate(zip(kinds, values, strict=True))
        if kind is ColumnKind.DECIMAL and isinstance(value, str) and _octets(value) is not None
    )


def pointed(value: Any, scale: int | None) -> Any:
    """A decimal from a number without a point: in base64, or beside its scale (Connect's Decimal,
    Debezium's VariableScaleDecimal). Other values stay as they are.
    """
    if isinstance(value, dict) and value.keys() == {"scale", "value"}:
        value, scale = value["value"], value["scale"]
    if not isinstance(scale, int) or abs(scale) > MOST_DIGITS or not isinstance(value, str):
        return value
    octets = _octets(value)
    if octets is None:
        return value
    return Decimal(int.from_bytes(octets, "big", signed=True)).scaleb(-scale)


def _octets(text: str) -> bytes | None:
    if len(text) > MOST_DIGITS:
        return None
    try:
        return base64.b64decode(text, validate=True) or None
    except ValueError:
        return None
