"""Columns as PostgreSQL's arrays: the short way from the wire's bytes gives what the long way
gives.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.avro.kind import PLACEHOLDER, Column
from infra.avro.row import Rows
from infra.platform.sinks.postgres.array import array, column_array, elements
from tests.batches import Partition
from tests.change_events import DECIMAL, ZONED, Event

COLUMNS: dict[str, tuple[Any, bool]] = {
    "id": ("long", False),
    "words": ("string", True),
    "data": ("bytes", True),
    "moment": (ZONED, True),
    "amount": (DECIMAL, True),
}
words = st.none() | st.text(max_size=40) | st.just("x" * 300) | st.just("y" * len(PLACEHOLDER))
moments = st.none() | st.sampled_from(
    ["2026-01-02T03:04:05Z", "+12026-01-02T03:04:05Z", "-0043-03-15T12:00:00Z"]
)
amounts = st.none() | st.decimals(-(10**9), 10**9, places=2)


def rows_of(values: Sequence[tuple[Any, ...]]) -> Rows:
    return Partition(columns=COLUMNS).batch([Event("c", row[0], row) for row in values]).rows


def column(rows: Rows, name: str) -> Column:
    return next(column for column in rows.columns if column.name == name)


@given(
    st.lists(
        st.tuples(
            st.integers(-(2**63), 2**63 - 1), words, st.none() | st.binary(), moments, amounts
        ),
        min_size=1,
    )
)
def test_an_array_has_the_elements_of_its_column(values: list[tuple[Any, ...]]) -> None:
    rows = rows_of(values)

    for each in rows.columns:
        assert column_array(rows, "after", each) == array(elements(rows, "after", each), each.kind)


@pytest.mark.parametrize("before", ["", "z" * len(PLACEHOLDER)])
def test_a_column_that_was_not_sent_in_full_has_no_array(before: str) -> None:
    rows = rows_of(
        [
            (1, before, None, None, None),
            (2, PLACEHOLDER, None, None, None),
            (3, None, None, None, None),
        ]
    )

    assert column_array(rows, "after", column(rows, "words")) is None
    assert column_array(rows, "after", column(rows, "data")) is not None
