"""What became of the processors' time, between two readings."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc_users.measure.judgement.processor import ProcessorReading, TaskTimes, between

seconds = st.floats(0, 1e4, allow_nan=False)
times = st.builds(TaskTimes, seconds, seconds)
groups = st.dictionaries(
    st.sampled_from(["harness", "platform", "stack"]),
    st.dictionaries(st.integers(1, 5), times, max_size=4),
    max_size=3,
)


def reading(
    ran_s: float, waited_s: float, busy_s: float = 0.0, total_s: float = 0.0
) -> ProcessorReading:
    return ProcessorReading({"platform": {7: TaskTimes(ran_s, waited_s)}}, busy_s, total_s)


def test_waiting_is_a_share_of_the_time_in_which_a_processor_was_wanted() -> None:
    use = between(reading(10, 5), reading(13, 6))

    assert use.waited == {"platform": 0.25}


def test_what_no_group_used_is_the_others_part_of_the_whole_machine() -> None:
    """Two processors for ten seconds: of 20 s, 14 were busy and 4 of these were ours."""
    use = between(reading(0, 0), reading(4, 0, busy_s=14, total_s=20))

    assert use.others == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("busy_s", "ran_s", "others"),
    [(3.0, 4.0, 0.0), (14.0, 0.0, 1.0)],
)
def test_others_have_no_less_than_nothing_and_no_more_than_all(
    busy_s: float, ran_s: float, others: float
) -> None:
    """Clocks are read one after another, so ours may have run a moment longer than the machine."""
    assert between(reading(0, 0), reading(ran_s, 0, busy_s, 10)).others == others


def test_a_machine_that_says_nothing_is_not_known() -> None:
    assert between(ProcessorReading(), reading(1, 1)).others is None


def test_a_thread_that_came_between_counts_from_nothing() -> None:
    before = ProcessorReading({"platform": {1: TaskTimes(5, 5)}})
    after = ProcessorReading({"platform": {1: TaskTimes(6, 5), 2: TaskTimes(0, 1)}})

    assert between(before, after).waited == {"platform": 0.5}


@given(groups, groups)
def test_no_time_at_all_between_two_readings_is_no_waiting(
    before: dict[str, dict[int, TaskTimes]], also: dict[str, dict[int, TaskTimes]]
) -> None:
    same = ProcessorReading({**before, **also}, 5.0, 9.0)
    use = between(same, same)

    assert set(use.waited) == set(same.groups)
    assert set(use.waited.values()) <= {0.0}
    assert use.others is None


@given(groups, st.dictionaries(st.integers(1, 5), times, min_size=1, max_size=4))
def test_a_share_is_between_none_and_all(
    before: dict[str, dict[int, TaskTimes]], spent: dict[int, TaskTimes]
) -> None:
    later = {
        name: {
            thread: TaskTimes(
                threads.get(thread, TaskTimes()).ran_s + more.ran_s,
                threads.get(thread, TaskTimes()).waited_s + more.waited_s,
            )
            for thread, more in spent.items()
        }
        for name, threads in before.items()
    }
    use = between(ProcessorReading(before), ProcessorReading(later))

    assert all(0 <= share <= 1.001 for share in use.waited.values())


def test_a_group_that_came_between_counts_from_nothing_and_one_that_left_is_not_told() -> None:
    before = ProcessorReading({"gone": {1: TaskTimes(9, 9)}}, busy_s=0.0, total_s=0.0)
    after = ProcessorReading({"new": {2: TaskTimes(1, 3)}}, busy_s=5.0, total_s=10.0)

    use = between(before, after)

    assert use.waited == {"new": 0.75}
    assert use.others == 0.4, "of five busy seconds one was ours"


def test_threads_of_a_group_are_taken_together() -> None:
    """One thread ran for 3 s, another waited for 1 s; a third was idle."""
    before = {1: TaskTimes(10, 0), 2: TaskTimes(0, 5), 3: TaskTimes(7, 7)}
    after = {1: TaskTimes(13, 0), 2: TaskTimes(0, 6), 3: TaskTimes(7, 7)}

    use = between(ProcessorReading({"a": before}), ProcessorReading({"a": after}))

    assert use.waited == {"a": 0.25}


def test_a_thread_that_ended_takes_its_times_with_it() -> None:
    before = ProcessorReading({"a": {1: TaskTimes(100, 100), 2: TaskTimes(1, 1)}})
    after = ProcessorReading({"a": {2: TaskTimes(2, 1)}})

    assert between(before, after).waited == {"a": 0.0}


def test_all_groups_are_ours() -> None:
    before = ProcessorReading({"a": {}, "b": {}}, 0.0, 0.0)
    after = ProcessorReading({"a": {1: TaskTimes(2, 0)}, "b": {2: TaskTimes(3, 0)}}, 6.0, 8.0)

    assert between(before, after).others == 0.125


def test_shares_have_four_digits() -> None:
    before = ProcessorReading({"a": {1: TaskTimes(0, 0)}}, 0.0, 0.0)
    after = ProcessorReading({"a": {1: TaskTimes(2, 1)}}, 3.0, 3.0)

    use = between(before, after)

    assert (use.waited, use.others) == ({"a": 0.3333}, 0.3333)
