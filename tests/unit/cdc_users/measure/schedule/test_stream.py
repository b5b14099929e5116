"""A process hands out exactly what it owns of a schedule, in order, whatever is taken at a time and
however often others come and go.
"""

from __future__ import annotations

from itertools import chain

from hypothesis import given
from hypothesis import strategies as st

from cdc_users.measure.schedule.plan import (
    CHUNK,
    LoadStage,
    Schedule,
    SchedulePart,
    first_parts,
    next_parts,
)
from cdc_users.measure.schedule.stream import ArrivalStream


@st.composite
def schedules(draw: st.DrawFn) -> Schedule:
    stages = draw(
        st.lists(
            st.tuples(st.integers(20, 60), st.integers(20, 60), st.floats(1.0, 2.0)),
            min_size=1,
            max_size=3,
        )
    )
    seed = draw(st.one_of(st.none(), st.integers(1, 9)))
    return Schedule.staged([LoadStage(*stage) for stage in stages], seed)


def all_of(stream: ArrivalStream) -> list[int]:
    taken = []
    while (offset_ns := stream.peek_ns()) is not None:
        taken.append(offset_ns)
        stream.take()
    return taken


@given(schedules(), st.integers(1, 4))
def test_the_parts_of_all_processes_are_the_whole_and_each_comes_in_order(
    schedule: Schedule, workers: int
) -> None:
    names = [str(number) for number in range(min(workers, schedule.count))]
    taken = {
        name: all_of(ArrivalStream(schedule, parts))
        for name, parts in first_parts(schedule, names).items()
    }

    assert sorted(chain(*taken.values())) == sorted(schedule.offsets_ns())
    assert all(offsets == sorted(offsets) for offsets in taken.values())


@given(schedules(), st.lists(st.tuples(st.integers(0, 3_000), st.integers(1, 7)), max_size=30))
def test_what_is_due_is_taken_as_it_would_be_one_by_one(
    schedule: Schedule, looks: list[tuple[int, int]]
) -> None:
    parts = (SchedulePart(0, schedule.count, 0, 1),)
    stream, expected = ArrivalStream(schedule, parts), list(schedule.offsets_ns())
    taken: list[int] = []

    for at_ms, limit in sorted(looks):
        due = stream.due_ns(at_ms * 1_000_000, limit)
        assert len(due) <= limit
        assert all(offset_ns <= at_ms * 1_000_000 for offset_ns in due.tolist())
        taken += due.tolist()
        stream.take(len(due))

    assert taken == expected[: len(taken)]
    assert taken + all_of(stream) == expected
    assert stream.taken == stream.count == schedule.count


def test_a_burst_longer_than_what_is_held_at_a_time_is_handed_out_whole() -> None:
    schedule = Schedule.volume(2 * CHUNK + 3)
    stream = ArrivalStream(schedule, (SchedulePart(0, schedule.count, 0, 1),))
    sizes = []
    while len(due := stream.due_ns(0, CHUNK)):
        sizes.append(len(due))
        stream.take(len(due))

    assert sum(sizes) == schedule.count
    assert stream.peek_ns() is None


@given(
    schedules(),
    st.lists(st.tuples(st.integers(0, 4_000), st.integers(1, 4)), min_size=1, max_size=4),
)
def test_no_arrival_is_lost_and_none_is_started_twice_when_processes_come_and_go(
    schedule: Schedule, changes: list[tuple[int, int]]
) -> None:
    parts = first_parts(schedule, ["0"])
    streams = {"0": ArrivalStream(schedule, parts["0"])}
    taken: list[int] = []

    for at_ms, workers in sorted(changes):
        at_ns = at_ms * 1_000_000
        # All that is due before the change has been taken by the time it comes.
        for stream in streams.values():
            while (offset_ns := stream.peek_ns()) is not None and offset_ns < at_ns:
                taken.append(offset_ns)
                stream.take()
        parts = next_parts(schedule, parts, [str(number) for number in range(workers)], at_ns)
        streams = {
            worker: (
                streams[worker].changed(schedule, owned)
                if worker in streams
                else ArrivalStream(schedule, owned)
            )
            for worker, owned in parts.items()
        }
    for stream in streams.values():
        taken += all_of(stream)

    assert sorted(taken) == sorted(schedule.offsets_ns())


def test_what_was_taken_of_a_part_that_was_cut_too_early_takes_nothing_from_the_next() -> None:
    """GIVEN a worker that has taken six seconds when it hears of a change at the fourth THEN it
    begins what it owns from there on at its beginning.
    """
    schedule = Schedule.constant(10, 10)
    before = first_parts(schedule, ["a"])
    stream = ArrivalStream(schedule, before["a"])
    stream.take(60)
    after = next_parts(schedule, before, ["a", "b"], 4_000_000_000)

    changed = stream.changed(schedule, after["a"])

    assert changed.peek_ns() == 4_000_000_000
    assert (changed.taken, changed.count) == (40, 40 + 30)
    assert len(all_of(changed)) == 30


def test_what_was_not_taken_yet_of_a_part_that_stays_is_still_ones_own() -> None:
    schedule = Schedule.constant(10, 10)
    before = first_parts(schedule, ["a"])
    stream = ArrivalStream(schedule, before["a"])
    stream.take(35)

    changed = stream.changed(schedule, next_parts(schedule, before, ["a", "b"], 4_000_000_000)["a"])

    assert changed.peek_ns() == 3_500_000_000
    assert all_of(changed)[:6] == [3_500_000_000 + 100_000_000 * number for number in range(5)] + [
        4_000_000_000
    ]


def test_an_arrival_is_due_at_its_very_offset_and_not_before() -> None:
    schedule = Schedule.constant(10, 1)
    stream = ArrivalStream(schedule, (SchedulePart(0, 10, 0, 1),))

    assert stream.due_ns(-1, 9).tolist() == []
    assert stream.due_ns(199_999_999, 9).tolist() == [0, 100_000_000]
    assert stream.due_ns(200_000_000, 9).tolist() == [0, 100_000_000, 200_000_000]
    assert stream.due_ns(200_000_000, 2).tolist() == [0, 100_000_000]
    assert stream.due_ns(200_000_000, 0).tolist() == []


def test_looking_at_what_is_due_takes_nothing() -> None:
    schedule = Schedule.constant(10, 1)
    stream = ArrivalStream(schedule, (SchedulePart(0, 10, 0, 1),))
    stream.due_ns(10**9, 5)

    assert (stream.taken, stream.peek_ns()) == (0, 0)
    stream.take(3)
    assert stream.due_ns(100_000_000, 5).tolist() == [], "what was due by then is taken"
    assert (stream.taken, stream.peek_ns()) == (3, 300_000_000)


def test_a_process_without_parts_has_nothing_to_start() -> None:
    for parts in ((), (SchedulePart(4, 4, 0, 1),), (SchedulePart(0, 2, 5, 9),)):
        stream = ArrivalStream(Schedule.constant(10, 1), parts)
        assert (stream.count, stream.peek_ns()) == (0, None)
        assert stream.due_ns(10**12, 9).tolist() == []
