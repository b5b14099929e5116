"""A consumer's queues and positions as plain data, for its telemetry (docs/platform.md)."""

from __future__ import annotations

from collections.abc import Callable

from infra.platform.consume.buffer import Buffer
from infra.platform.consume.delivery import Delivery
from infra.platform.consume.position import Positions
from infra.platform.sinks.batch import Partition
from infra.platform.sinks.incomplete import remarks

High = Callable[[Partition], int | None]


def buffer_state(buffer: Buffer) -> dict[str, object]:
    """What waits and what is being written, in messages and bytes, with the limits."""
    return {
        "enqueued": buffer.enqueued,
        "queue_depth": buffer.depth,
        "queue_high_water": buffer.high_water,
        "in_flight": buffer.in_flight,
        "paused_partitions": sum(queue.paused for queue in buffer.queues.values()),
        "max_buffered_messages": buffer.limit,
        "queue_bytes": buffer.bytes,
        "queue_high_water_bytes": buffer.high_water_bytes,
        "max_buffered_bytes": buffer.limit_bytes,
    }


def delivery_state(delivery: Delivery) -> dict[str, object]:
    """What the sink holds and has not made durable, what it has refused, and remarks on what it has
    written.
    """
    accepted_bytes, accepted_events = delivery.accepted
    return {
        "dead_letters": delivery.dead_letters.count,
        "accepted_bytes": accepted_bytes,
        "accepted_events": accepted_events,
        "remarks": remarks(delivery.sink.incomplete_rows),
    }


def partition_states(buffer: Buffer, positions: Positions, high: High) -> dict[str, object]:
    """Each partition's queue and offsets, by "topic:number".

    `lag` counts from the durable offset to the end that `high` knows (None where it does not).
    """
    return {
        f"{topic}:{number}": _partition((topic, number), buffer, positions, high((topic, number)))
        for topic, number in buffer.queues
    }


def _partition(
    place: Partition, buffer: Buffer, positions: Positions, high: int | None
) -> dict[str, object]:
    queue = buffer.queues[place]
    durable = positions.durable.get(place)
    return {
        "queue_depth": queue.depth,
        "in_flight": queue.in_flight,
        "paused": queue.paused,
        "durable": durable,
        "accepted": positions.accepted.get(place),
        "committed": positions.committed.get(place),
        "high_watermark": high,
        "lag": None if high is None else high - (durable or 0),
    }
