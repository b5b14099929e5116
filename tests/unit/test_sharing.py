"""Processes that come and go in mid-step: every arrival has one owner, every process its own lane numbers."""

from __future__ import annotations

import pytest

from cdc_users.measure.plan import Part, PlanError, Schedule
from cdc_users.sharing import Sharing


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

    assert told["a"].parts == (Part(0, 600, 0, 1), Part(600, 1000, 0, 2))
    assert told["b"].parts == (Part(600, 1000, 1, 2),)
    assert told["b"].to_json() == [[600, 1000, 1, 2]]
    assert numbers(sharing) == list(range(1000))


def test_no_two_processes_ever_share_a_lane_number() -> None:
    sharing = Sharing(Schedule.constant(100, 10), lanes=8)
    sharing.begin(["a", "b"])
    sharing.change(["a", "b", "c"], 2_000_000_000)
    sharing.change(["b", "c", "d"], 4_000_000_000)

    lanes = [owned.first_lane for owned in sharing.owners.values()]

    assert lanes == [0, 40, 80, 120]
    assert numbers(sharing) == list(range(1000))


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
