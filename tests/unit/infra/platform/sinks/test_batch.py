"""Parts of a batch hold its events in order, and together account for all of its messages."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.platform.process.error import RefusedError
from infra.platform.sinks.batch import Batch, Chunk, joined, poison_of
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


def chunk(*values: bytes | None, first: int = 0) -> Chunk:
    numbers = list(range(first, first + len(values)))
    keys = [str(number).encode() for number in numbers]
    return Chunk(values, keys, numbers, [7 * n for n in numbers], [9 * n for n in numbers])


def columns(found: Chunk) -> list[list[object]]:
    return [list(column) for column in found._columns()]


@pytest.mark.parametrize(
    ("values", "most", "count"),
    [
        ((), 0, 0),
        ((b"",), 0, 1),
        ((b"a",), 0, 0),
        ((b"ab", b"cd"), 4, 2),
        ((b"ab", b"cd"), 3, 1),
        ((b"ab", b"cd"), 2, 1),
        ((b"ab", b"cd"), 1, 0),
        ((None, b"ab", None, b"c"), 2, 3),
        ((None, None), 0, 2),
        ((b"abc", b"", None, b"d"), 3, 3),
    ],
)
def test_as_many_messages_are_within_a_bound_as_reach_it(
    values: tuple[bytes | None, ...], most: int, count: int
) -> None:
    assert chunk(*values).within(most) == count


@given(st.lists(st.one_of(st.none(), st.binary(max_size=5)), max_size=12), st.integers(0, 40))
def test_what_is_within_a_bound_has_no_more_and_the_next_message_would(
    values: list[bytes | None], most: int
) -> None:
    whole = chunk(*values)
    count = whole.within(most)

    assert whole[:count].bytes <= most
    assert count == len(whole) or whole[: count + 1].bytes > most


@given(st.lists(st.integers(0, 4), min_size=1, max_size=6))
def test_chunks_that_are_joined_keep_every_column_in_order(sizes: list[int]) -> None:
    whole = chunk(*[bytes([number]) for number in range(sum(sizes))])
    ends = [sum(sizes[: number + 1]) for number in range(len(sizes))]
    parts = [whole[end - size : end] for end, size in zip(ends, sizes, strict=True)]

    assert columns(joined(parts)) == columns(whole)


def test_messages_that_are_picked_are_whole() -> None:
    whole = chunk(b"a", None, b"c", b"d", first=5)

    assert columns(whole.pick([0, 2])) == [[b"a", b"c"], [b"5", b"7"], [5, 7], [35, 49], [45, 63]]
    assert len(whole.pick([])) == 0


@given(st.integers(1, 9), st.data())
def test_however_a_batch_is_split_its_halves_are_the_whole(count: int, data: st.DataObject) -> None:
    whole = Partition().batch([Event("c", key, customer(key)) for key in range(count)])
    at = data.draw(st.integers(0, count - 1))

    first, rest = whole.split(at)

    assert (len(first), len(rest)) == (at, count - at)
    assert first.offsets.tolist() + rest.offsets.tolist() == whole.offsets.tolist()
    assert [*first.keys, *rest.keys] == whole.keys
    assert first.key_ids.tolist() + rest.key_ids.tolist() == whole.key_ids.tolist()
    assert (first.end, rest.end) == (at, whole.end)
    assert first.bytes + rest.bytes == whole.bytes
    assert (rest.whole, rest.first) == (whole, at)


def test_a_part_of_a_part_knows_the_whole_that_was_read() -> None:
    whole = Partition().batch([Event("c", key, customer(key)) for key in range(8)])

    _, rest = whole.split(3)
    _, last = rest.split(2)

    assert last.whole is whole
    assert last.first == 5


def test_a_split_behind_tombstones_ends_where_the_next_event_begins() -> None:
    """The messages between belong to the part before, so that no position points between them."""
    partition = Partition()
    encoder = partition.encoder
    one, other = (Event("c", key, customer(key)) for key in (1, 2))
    batch, *passed = partition.items(
        [
            (encoder.key(one), encoder.value(one)),
            (encoder.key(one), None),
            (encoder.key(other), encoder.value(other)),
            (encoder.key(other), None),
        ]
    )
    first, rest = batch.split(1)

    assert (first.end, rest.end) == (2, 3)
    assert [item.end for item in passed] == [4]


def test_an_event_that_is_refused_is_put_aside_as_it_came() -> None:
    partition, event = Partition("cdc.t", 4), Event("c", 7, customer(7))
    partition.offset = 41
    key, value = partition.encoder.key(event), partition.encoder.value(event)
    (batch,) = partition.items([(key, value)])

    poison = poison_of(batch, cause := RefusedError("no"))

    assert (poison.place, poison.offset, poison.end) == (("cdc.t", 4), 41, 42)
    assert (poison.key, poison.value, poison.cause) == (key, value, cause)
