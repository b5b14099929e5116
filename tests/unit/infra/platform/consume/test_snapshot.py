"""A consumer's state as its telemetry tells it."""

from __future__ import annotations

import pytest

from infra.platform.consume.buffer import Buffer, PartitionQueue
from infra.platform.consume.position import Positions
from infra.platform.consume.snapshot import buffer_state, partition_states
from infra.platform.sinks.batch import Chunk
from infra.platform.sinks.connector import WriteStatus

PLACE = ("cdc.public.t", 3)


async def filled() -> Buffer:
    """A buffer with one partition, three of whose five messages are in flight."""
    buffer = Buffer(10, 1_000)
    buffer.queues[PLACE] = queue = PartitionQueue()
    values = [b"12345"] * 5
    buffer.put(PLACE, Chunk(values, values, range(5), [0] * 5, [0] * 5))
    queue.take(5, 5)
    queue.begin(3)
    return buffer


async def test_a_buffers_figures_are_of_all_its_partitions() -> None:
    buffer = await filled()
    buffer.queues[("other", 0)] = paused = PartitionQueue()
    paused.paused = True
    state = buffer_state(buffer)

    assert (state["queue_depth"], state["in_flight"], state["enqueued"]) == (2, 3, 5)
    assert (state["paused_partitions"], state["max_buffered_messages"]) == (1, 10)
    assert state["queue_bytes"] == 25
    assert state["max_buffered_bytes"] == 1_000


@pytest.mark.parametrize(
    ("high", "durable", "lag"), [(None, 4, None), (9, 4, 5), (9, None, 9), (4, 4, 0)]
)
async def test_lag_counts_from_what_is_durable(
    high: int | None, durable: int | None, lag: int | None
) -> None:
    positions = Positions()
    if durable is not None:
        positions.begin(PLACE, 0)
        positions.note(PLACE, durable, WriteStatus.DURABLE)
    state = partition_states(await filled(), positions, lambda _: high)

    (told,) = state.values()
    assert list(state) == ["cdc.public.t:3"]
    assert isinstance(told, dict)
    assert (told["lag"], told["high_watermark"], told["durable"]) == (lag, high, durable)
    assert (told["queue_depth"], told["in_flight"], told["paused"]) == (2, 3, False)
