"""When a change was committed at its source, as far as its event tells."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cdc_users.observe.events.change import ChangeParser, ReadChanges


@pytest.mark.parametrize(
    ("source", "committed_us"),
    [
        ({"connector": "postgresql", "ts_ms": 7, "ts_us": 7_001}, 7_001),
        ({"connector": "postgresql", "ts_ms": 7}, 7_000),
        ({"connector": "mariadb", "ts_ms": 7_000, "ts_us": 7_000_000}, 0),
        ({}, 0),
    ],
)
def test_a_time_in_whole_seconds_is_not_taken_for_that_of_the_commit(
    source: dict[str, Any], committed_us: int
) -> None:
    change = {"op": "c", "before": None, "after": {"id": 1, "probe": "x"}, "source": source}
    read = ReadChanges([change], [1], partition=0, positions=np.zeros(1, dtype=np.int64), seen_us=9)

    assert ChangeParser().parse(read).committed_us.tolist() == [committed_us]
