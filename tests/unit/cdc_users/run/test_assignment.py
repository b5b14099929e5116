"""Processes that come and go in mid-step: every arrival has one owner, every process its own lane
numbers.
"""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from cdc_users.error import HarnessError
from cdc_users.measure.ledger.probe import LANES_PER_STEP
from cdc_users.measure.schedule.plan import PlanError, Schedule, SchedulePart
from cdc_users.run.assignment import Sharing


def numbers(sharing: Sharing) -> list[int]:
    return sorted(
        number
        for owned in sharing.owners.values()
        for part in owned.parts
        for number in range(part.begin + part.index, part.end, part.of)
    )


def test_a_newcomer_takes_its_share_of_what_is_not_due_yet() -> None:
    sharing = Sharing(Schedule.constant(100, 10), lanes=8)
    sharing.begin(["a"])

    told = sharing.change(["a", "b"], 6_000_000_000)

    assert told["a"].parts == (SchedulePart(0, 600, 0, 1), SchedulePart(600, 1000, 0, 2))
    assert told["b"].parts == (SchedulePart(600, 1000, 1, 2),)
    assert told["b"].parts == (SchedulePart(600, 1000, 1, 2),)
    assert numbers(sharing) == list(range(1000))


def test_a_process_that_comes_does_not_move_the_lane_numbers_of_another() -> None:
    sharing = Sharing(Schedule.constant(100, 10), lanes=8)
    sharing.begin(["a", "b"])
    sharing.change(["a", "b", "c"], 2_000_000_000)
    sharing.change(["b", "c", "d"], 4_000_000_000)

    lanes = [owned.first_lane for owned in sharing.owners.values()]

    assert lanes == [0, 40, 80, 110]
    assert numbers(sharing) == list(range(1000))


def rooms(sharing: Sharing, counts: Sequence[int]) -> list[int]:
    """The lane numbers that each process has, when so many are there at first, then so many, and
    so on.
    """
    sharing.begin([f"w{number}" for number in range(counts[0])])
    for at_s, count in enumerate(counts[1:], start=1):
        sharing.change([f"w{number}" for number in range(count)], at_s * 1_000_000_000)
    firsts = [owned.first_lane for owned in sharing.owners.values()]
    assert firsts == sorted(firsts)
    return [end - first for first, end in zip(firsts, [*firsts[1:], LANES_PER_STEP], strict=True)]


@pytest.mark.parametrize(
    ("lanes", "counts"),
    [
        (8, [1]),
        (100, [2]),
        (100, range(1, 12)),
        (100, range(1, 81)),
        (1000, [64]),
        (2000, [2]),
        (2000, [1, 2, 3, 4]),
        (5000, [1, 2, 3]),
        (10_000, [1]),
        (10_000, [100]),
    ],
)
def test_every_process_has_numbers_for_its_lanes_and_none_of_another_step(
    lanes: int, counts: Sequence[int]
) -> None:
    found = rooms(Sharing(Schedule.constant(100, 600), lanes), counts)

    processes = [counts[0]] * counts[0] + list(counts[1:])
    assert len(found) == len(processes)
    assert all(room >= -(-lanes // count) for room, count in zip(found, processes, strict=True))


def test_a_process_has_room_for_all_lanes_and_for_those_that_are_started_anew() -> None:
    assert rooms(Sharing(Schedule.constant(100, 600), lanes=100), [20])[:-1] == [100] * 19
    assert rooms(Sharing(Schedule.constant(100, 600), lanes=100), [1, 20])[0] == 1000


def test_more_lanes_than_a_step_has_numbers_for_are_refused() -> None:
    schedule = Schedule.constant(1000, 600)
    with pytest.raises(HarnessError, match="lower --lanes"):
        Sharing(schedule, lanes=10_001).begin(["a"])

    sharing = Sharing(schedule, lanes=10_000)
    sharing.begin(["a"])
    with pytest.raises(
        HarnessError, match="10000 lanes in 2 processes need more than the 10000 lane numbers"
    ):
        sharing.change(["a", "b"], 1_000_000_000)
    assert list(sharing.owners) == ["a"]


def test_a_burst_stays_with_those_who_were_there() -> None:
    sharing = Sharing(Schedule.volume(10), lanes=2)
    sharing.begin(["a"])

    sharing.change(["a", "b"], 1_000_000)

    assert numbers(sharing) == list(range(10))
    assert sharing.owners["b"].parts[0].begin == 10


def test_more_processes_than_arrivals_are_refused() -> None:
    with pytest.raises(PlanError, match="lower --processes"):
        Sharing(Schedule.volume(1), lanes=8).begin(["a", "b"])


def test_more_processes_than_lanes_are_refused_or_left_out() -> None:
    sharing = Sharing(Schedule.constant(100, 10), lanes=1)
    with pytest.raises(PlanError, match="raise --lanes"):
        sharing.begin(["a", "b"])

    sharing.begin(["a"])
    assert "b" not in sharing.change(["a", "b"], 5_000_000_000)
    assert numbers(sharing) == list(range(1000))
