"""Casts values to a column of another type: exactly, or refused by name.

Arrow's own casts lose more than they report (a double to a float, a timestamp to its date), so
every value is cast back and compared. A cast that changes the meaning, such as a number of days to
a date or a timestamp without its zone, is refused whatever the values are.
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from infra.platform.process.error import RefusedError

#: Types that differ only in the capacity of one array.
_ALIKE = (
    frozenset({pa.string(), pa.large_string()}),
    frozenset({pa.binary(), pa.large_binary()}),
)
_MOST_DIGITS = 76


def exactly(name: str, values: Any, kind: Any) -> Any:
    """The values as this type; raises RefusedError, which names the column, for a value that does
    not fit.
    """
    if values.type == kind:
        return values
    if any({values.type, kind} <= alike for alike in _ALIKE):
        return values.cast(kind)
    if not have_same_meaning(values.type, kind):
        if values.null_count == len(values):
            return pa.nulls(len(values), kind)
        raise RefusedError(f"{_column(name, kind)} has no place for values of type {values.type}")
    try:
        made, compared = values.cast(kind), values
        if pa.types.is_integer(kind) and pa.types.is_decimal(values.type):
            # Arrow requires the largest number of digits of an integer type.
            compared = values.cast(pa.decimal256(_MOST_DIGITS, values.type.scale))
        kept = _equal(made.cast(compared.type), compared)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise RefusedError(
            f"{_column(name, kind)} cannot hold a value of type {values.type}: {error}"
        ) from error
    if not kept:
        raise RefusedError(
            f"{_column(name, kind)} cannot hold a value of type {values.type} exactly; make the"
            " column wider, or name another table"
        )
    return made


def _column(name: str, kind: Any) -> str:
    return f"column {name!r} of the Iceberg table is of type {kind} and"


def _family(kind: Any) -> str:
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return "text"
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return "number"
    if pa.types.is_date(kind) or (pa.types.is_timestamp(kind) and kind.tz is None):
        return "moment"
    return str(kind)


def have_same_meaning(coming: Any, kind: Any) -> bool:
    """Whether a single value of one type may be read as one of the other type."""
    if pa.types.is_nested(kind):
        return False  # arrays and records come as JSON
    families = {_family(coming), _family(kind)}
    return len(families) == 1 or ("text" in families and not pa.types.is_binary(coming))


def _equal(left: Any, right: Any) -> bool:
    if pa.types.is_floating(right.type):
        # NaN equals itself in this comparison.
        known = pa.scalar(0.0, right.type)
        if not pc.is_nan(left).equals(pc.is_nan(right)):
            return False
        left, right = (
            pc.if_else(pc.fill_null(pc.is_nan(each), False), known, each) for each in (left, right)
        )
    return bool(left.equals(right))
