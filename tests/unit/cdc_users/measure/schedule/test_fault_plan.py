"""The moments and the order of faults follow from the seed alone."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from cdc_users.measure.schedule.fault_plan import JITTER_SHARE, FaultTimes, plan_faults

NAMES = st.lists(st.text("abcde-", min_size=1, max_size=8), unique=True, min_size=1, max_size=12)
SECONDS = st.floats(0.1, 600.0)
TIMES = st.builds(FaultTimes, SECONDS, SECONDS, SECONDS)
ROUNDS = st.integers(1, 6)
SEEDS = st.integers(0, 10**18)


@given(NAMES, ROUNDS, TIMES, SEEDS)
def test_the_same_seed_gives_the_same_moments_and_the_same_order(
    names: list[str], rounds: int, times: FaultTimes, seed: int
) -> None:
    assert plan_faults(names, rounds, times, seed) == plan_faults(names, rounds, times, seed)


@given(NAMES, ROUNDS, TIMES, SEEDS)
def test_each_fault_is_done_once_in_each_round(
    names: list[str], rounds: int, times: FaultTimes, seed: int
) -> None:
    planned = plan_faults(names, rounds, times, seed)

    assert [fault.round for fault in planned] == sorted(fault.round for fault in planned)
    assert Counter((fault.round, fault.name) for fault in planned) == Counter(
        (number, name) for number in range(1, rounds + 1) for name in names
    )


@given(NAMES, ROUNDS, TIMES, SEEDS)
def test_a_fault_comes_after_the_steady_part_and_the_load_outlasts_its_recovery(
    names: list[str], rounds: int, times: FaultTimes, seed: int
) -> None:
    for fault in plan_faults(names, rounds, times, seed):
        rounding = 0.001
        assert fault.steady_from_s < times.steady_s + rounding
        assert times.steady_s - rounding <= fault.inject_at_s
        assert fault.inject_at_s <= times.steady_s * (1 + JITTER_SHARE) + rounding
        assert fault.duration_s > fault.inject_at_s + times.hold_s + times.recover_s


def test_another_seed_gives_other_moments_and_another_order() -> None:
    names, times = [f"fault-{number}" for number in range(20)], FaultTimes(10.0, 5.0, 60.0)

    one, other = (plan_faults(names, 1, times, seed) for seed in (1, 2))

    assert [fault.name for fault in one] != [fault.name for fault in other]
    assert [fault.inject_at_s for fault in one] != [fault.inject_at_s for fault in other]


def test_the_order_of_a_known_seed_stays_what_it_was() -> None:
    """A plan that is repeated years later is the same one."""
    planned = plan_faults(["a", "b", "c"], 2, FaultTimes(10.0, 5.0, 60.0), 7)

    assert [(fault.round, fault.name, fault.inject_at_s) for fault in planned] == KNOWN


KNOWN: list[tuple[int, str, float]] = [
    (1, "b", 13.497),
    (1, "a", 11.881),
    (1, "c", 11.67),
    (2, "c", 14.885),
    (2, "a", 12.383),
    (2, "b", 11.647),
]
