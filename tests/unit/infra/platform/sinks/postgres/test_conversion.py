"""Which columns go into which types as they are, which with a proof, and which not at all."""

from __future__ import annotations

import pytest

from infra.avro.kind import ColumnKind
from infra.platform.sinks.postgres.conversion import conversion
from tests.unit.infra.platform.sinks.postgres.columns import column, numeric, plain

MICROS, ZONED = ColumnKind.TIMESTAMP_US, ColumnKind.ZONED_TIMESTAMP


@pytest.mark.parametrize(
    ("kind", "target"),
    [
        (ColumnKind.INT64, "integer"), (ColumnKind.INT64, "smallint"),
        (ColumnKind.INT32, "double precision"), (ColumnKind.FLOAT32, "double precision"),
        (ColumnKind.DATE, "timestamp without time zone"), (ColumnKind.UUID, "text"),
        (MICROS, "text"), (ColumnKind.TEXT, "citext"), (ColumnKind.JSON, "text"),
    ],
)  # fmt: skip
def test_what_the_server_checks_needs_no_proof(kind: ColumnKind, target: str) -> None:
    made = conversion(column(kind), plain(target))

    assert made is not None
    assert made.proof is None


@pytest.mark.parametrize(
    ("kind", "target"),
    [
        (ColumnKind.INT64, "double precision"), (ColumnKind.FLOAT64, "real"),
        (MICROS, "date"), (ColumnKind.JSON, "jsonb"), (ColumnKind.TEXT, "inet"),
        (ColumnKind.DECIMAL, "money"), (ColumnKind.DECIMAL, "double precision"),
        (ColumnKind.TEXT, "name"), (ColumnKind.TEXT, '"char"'),
    ],
)  # fmt: skip
def test_what_a_cast_would_change_is_proved(kind: ColumnKind, target: str) -> None:
    made = conversion(column(kind), plain(target))

    assert made is not None
    assert made.proof is not None


@pytest.mark.parametrize(
    ("kind", "target"),
    [
        (MICROS, "timestamp with time zone"), (ZONED, "timestamp without time zone"),
        (ZONED, "date"), (ColumnKind.DATE, "timestamp with time zone"),
        (ColumnKind.TIME_US, "time with time zone"), (ColumnKind.ZONED_TIME, "interval"),
        (ColumnKind.INT32, "bytea"), (ColumnKind.BYTES, "text"), (ColumnKind.BOOLEAN, "integer"),
        (ColumnKind.TEXT, "bytea"), (ColumnKind.UUID, "integer"), (ColumnKind.OTHER, "integer"),
    ],
)  # fmt: skip
def test_what_nothing_could_prove_is_impossible(kind: ColumnKind, target: str) -> None:
    assert conversion(column(kind), plain(target)) is None


@pytest.mark.parametrize(
    ("source", "target", "proved"),
    [
        ((12, 2), (12, 2), False),
        ((10, 2), (12, 4), False),
        ((12, 4), (10, 2), True),
        ((12, 2), (12, 4), True),
    ],
)
def test_digits_that_fit_need_no_proof(
    source: tuple[int, int], target: tuple[int, int], proved: bool
) -> None:
    made = conversion(column(ColumnKind.DECIMAL, *source), numeric(*target))

    assert made is not None
    assert (made.proof is not None) is proved
