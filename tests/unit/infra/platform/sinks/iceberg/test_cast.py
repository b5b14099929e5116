"""Values for a column of another type: exactly as they were, or refused by the column's name."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from infra.platform.process.error import RefusedError
from infra.platform.sinks.iceberg.cast import exactly

NOON = datetime(2026, 1, 2, 12)


@pytest.mark.parametrize(
    ("values", "kind", "made"),
    [
        (pa.array([1, None], pa.int64()), pa.int32(), [1, None]),
        (pa.array([1.5, float("inf"), None]), pa.float32(), [1.5, float("inf"), None]),
        (pa.array([Decimal("1.2500")]), pa.decimal128(10, 2), [Decimal("1.25")]),
        (pa.array([Decimal("7.00")]), pa.int32(), [7]),
        (pa.array(["7"]), pa.int32(), [7]),
        (pa.array([7]), pa.string(), ["7"]),
        (pa.array(["a"]), pa.large_string(), ["a"]),
        (pa.array([b"a"]), pa.large_binary(), [b"a"]),
        (
            pa.array([datetime(2026, 1, 2)], pa.timestamp("us")),
            pa.date32(),
            [date(2026, 1, 2)],
        ),
        (pa.array([date(2026, 1, 2)]), pa.timestamp("us"), [datetime(2026, 1, 2)]),
        (pa.array([None], pa.timestamp("us", "UTC")), pa.timestamp("us"), [None]),
    ],
)
def test_what_fits_exactly_is_taken(values: Any, kind: Any, made: list[Any]) -> None:
    found = exactly("v", values, kind)

    assert found.type == kind
    assert found.to_pylist() == made


def test_what_is_no_number_stays_none() -> None:
    found = exactly("v", pa.array([float("nan"), 1.5]), pa.float32())

    assert [repr(value) for value in found.to_pylist()] == ["nan", "1.5"]


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (pa.array([1.23456789012345]), pa.float32()),
        (pa.array([2**60 + 1], pa.int64()), pa.float64()),
        (pa.array([3_000_000_000], pa.int64()), pa.int32()),
        (pa.array([Decimal("1.2345")]), pa.decimal128(10, 2)),
        (pa.array([Decimal("1234567.25")]), pa.decimal128(6, 2)),
        (pa.array([Decimal("7.25")]), pa.int32()),
        (pa.array([NOON], pa.timestamp("us")), pa.date32()),
        (pa.array([NOON.replace(tzinfo=UTC)], pa.timestamp("us", "UTC")), pa.timestamp("us")),
        (pa.array([NOON], pa.timestamp("us")), pa.timestamp("us", "UTC")),
        (pa.array([7]), pa.date32()),
        (pa.array([date(2026, 1, 2)]), pa.int32()),
        (pa.array([1]), pa.bool_()),
        (pa.array([True]), pa.int32()),
        (pa.array(["seven"]), pa.int32()),
        (pa.array(["007"]), pa.int32()),
        (pa.array(["1.50"]), pa.float64()),
        (pa.array([b"a"]), pa.string()),
        (pa.array(["2026-01-02 12:00:00.5"]), pa.date32()),
    ],
)
def test_what_would_be_cut_or_mean_something_else_is_refused_by_name(
    values: Any, kind: Any
) -> None:
    with pytest.raises(RefusedError, match="column 'v' of the Iceberg table is of type"):
        exactly("v", values, kind)
