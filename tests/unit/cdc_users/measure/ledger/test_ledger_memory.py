"""What a ledger holds does not grow with the events that it has seen, and grows little with the
keys.
"""

from __future__ import annotations

import tracemalloc

import numpy as np

from cdc_users.measure.ledger.ledger import Ledger, PartitionEvents
from cdc_users.measure.ledger.probe import ProbeBatch

WRITER = 10_001
BATCH = 5_000


def batch(first: int, version: int = 1) -> ProbeBatch:
    """Single-row transactions of one writer, as parsed."""
    sequence = np.arange(first, first + BATCH)
    ones = np.ones(BATCH, dtype=np.int64)
    return ProbeBatch(
        valid=ones.astype(np.bool_),
        writer=ones * WRITER,
        sequence=sequence,
        transaction=sequence,
        index=ones * 0,
        size=ones,
        key_version=ones * version,
        operation=np.full(BATCH, ord("i"), dtype=np.uint8),
        intended_us=ones,
        checksum=ones,
    )


def held_after(events: int, version: int = 1) -> int:
    tracemalloc.start()
    ledger = Ledger()
    before = tracemalloc.get_traced_memory()[0]
    for first in range(1, events, BATCH):
        part = batch(first, version)
        ledger.observe(PartitionEvents(part, part.sequence, 0, part.sequence))
        del part
    held = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert ledger.arrivals().steps[1].delivered == events
    return held


def test_a_million_events_take_no_more_memory_than_ten_thousand() -> None:
    held_after(100_000)  # what numpy loads when it is first asked is not the ledger's

    few = held_after(10_000)

    assert held_after(1_000_000) < few + 20_000


def test_a_key_that_was_updated_takes_at_most_64_bytes() -> None:
    assert held_after(200_000, version=2) < 200_000 * 64
