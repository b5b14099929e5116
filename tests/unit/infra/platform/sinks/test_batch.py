"""Parts of a batch hold its events in order, and together account for all of its messages."""

from __future__ import annotations

import pytest

from infra.platform.sinks.batch import Batch
from tests.batches import Partition
from tests.change_events import Event, customer


@pytest.mark.parametrize(
    ("count", "size", "ends"), [(7, 3, [3, 6, 7]), (6, 3, [3, 6]), (3, 3, [3]), (2, 3, [2])]
)
def test_parts_end_where_the_next_begins(count: int, size: int, ends: list[int]) -> None:
    whole: Batch = Partition().batch([Event("c", key, customer(key)) for key in range(count)])

    parts = whole.parts(size)

    assert [part.end for part in parts] == ends
    assert [row for part in parts for row in part.rows.rows("after")] == whole.rows.rows("after")
    assert [(part.whole or part, part.first) for part in parts] == [
        (whole, begin) for begin in range(0, count, size)
    ]
