"""Rows that were inserted without values that the source did not send are counted and shown."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs
from typing_extensions import override

from cdc_users.measure.clock import new_anchor
from infra.platform.sinks.counting import CountingSink
from infra.platform.sinks.incomplete import IncompleteRows, remarks
from infra.platform.sinks.instrumented import InstrumentedSink
from infra.platform.sinks.retrying import RetryingSink
from tests.change_events import RUN


class Lacking(CountingSink):
    """Has inserted three rows in part."""

    @property
    @override
    def incomplete_rows(self) -> int:
        return 3


def test_rows_are_counted_and_each_partition_of_them_is_logged() -> None:
    rows = IncompleteRows()
    with capture_logs() as logs:
        rows.note({("t", 0): 2, ("t", 1): 0})
        rows.note({("u", 3): 1})

    assert rows.count == 3
    assert [(log["topic"], log["partition"], log["rows"]) for log in logs] == [
        ("t", 0, 2),
        ("u", 3, 1),
    ]


@pytest.mark.parametrize(
    ("rows", "found"), [(0, []), (1, ["1 row without"]), (2, ["2 rows without"])]
)
def test_a_remark_names_their_number_and_there_is_none_for_none(
    rows: int, found: list[str]
) -> None:
    texts = remarks(rows)

    assert len(texts) == len(found)
    assert all(part in text for part, text in zip(found, texts, strict=True))


@pytest.mark.parametrize(("inner", "rows"), [(CountingSink(), 0), (Lacking(), 3)])
def test_wrapped_sinks_pass_the_count_on(inner: CountingSink, rows: int) -> None:
    sink = InstrumentedSink(RetryingSink(inner), RUN, new_anchor())

    assert sink.incomplete_rows == rows
    assert sink.snapshot()["incomplete_rows"] == rows
