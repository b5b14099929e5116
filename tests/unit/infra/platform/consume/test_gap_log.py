"""A gap is booked whatever is done about it."""

from __future__ import annotations

import pytest

from infra.platform.consume.gap import Gap
from infra.platform.consume.gap_log import GAPS_KEPT, GapLog


def gap(first: int, count: int) -> Gap:
    return Gap(("t", 1), first, count, "they are gone", first + count)


@pytest.mark.parametrize(
    ("skip", "failures"),
    [
        (True, []),
        (False, ["t[1] stopped: t[1]: 3 records are lost, offsets 2 to 4: they are gone"]),
    ],
)
def test_a_gap_is_skipped_by_option_alone_else_it_stops_its_partition(
    skip: bool, failures: list[str]
) -> None:
    found: list[str] = []
    log = GapLog(found, skip=skip)

    assert log.goes_on(gap(2, 3)) is skip
    assert found == failures
    assert (log.lost_records, log.skipped_records) == (3, 3 if skip else 0)


def test_the_newest_gaps_are_remembered_and_the_counters_have_all() -> None:
    log = GapLog([], skip=True)
    for first in range(GAPS_KEPT + 5):
        log.goes_on(gap(first, 2))

    assert [one.first for one in log.recent] == list(range(5, GAPS_KEPT + 5))
    assert log.lost_records == log.skipped_records == 2 * (GAPS_KEPT + 5)
