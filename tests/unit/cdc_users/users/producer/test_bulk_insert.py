"""Inserts in bulk are, byte for byte, what a writer and the encoder make one by one."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cdc_users.measure.ledger.probe import LANES_PER_STEP
from cdc_users.users.producer.bulk_insert import InsertFlight, Insertion
from cdc_users.users.producer.in_flight import ChangeFlight, PipelinedWriter
from cdc_users.users.producer.record import Outlet
from cdc_users.users.producer.topic_schemas import Channel
from cdc_users.users.workload.workload import KEYS_PER_WRITER, Workload

RUN = "abcd1234"
OUTLETS = [
    Outlet(Channel(f"cdc.shop.customers{number}", 1, 1_000_000, 4 + number, 9 + number))
    for number in range(3)
]


def started_at(writer: PipelinedWriter, sequence: int) -> PipelinedWriter:
    """The writer after so many inserts."""
    writer.reserve(sequence, 1)
    return writer


@given(
    number=st.integers(LANES_PER_STEP, 999 * LANES_PER_STEP),
    sequence=st.integers(0, KEYS_PER_WRITER - 1000),
    size=st.integers(1, 5),
    tables=st.integers(1, 3),
    row_bytes=st.sampled_from([0, 1, 100, 5000]),
    times=st.lists(st.integers(0, 4_000_000_000_000_000), min_size=1, max_size=20),
    skipped=st.integers(0, 30),
)
def test_every_byte_is_the_same(
    number: int,
    sequence: int,
    size: int,
    tables: int,
    row_bytes: int,
    times: list[int],
    skipped: int,
) -> None:
    workload = Workload(row_bytes=row_bytes, tables=tables)
    one_by_one, in_bulk = (
        started_at(PipelinedWriter(RUN, number, workload), sequence) for _ in range(2)
    )
    slow = ChangeFlight()
    for intended_us in times:
        slow.add(one_by_one.transaction(size, intended_us), intended_us * 1000)
    us = np.array(times, dtype=np.int64)
    quick = InsertFlight(Insertion(in_bulk, RUN), size, us * 1000, us)
    # As after a full queue: both go on in the middle.
    slow.sent = quick.sent = min(skipped, len(slow) - 1)
    for outlet in OUTLETS:
        outlet.moment = outlet.encoder.moment(times[0])

    expected = list(slow.records(OUTLETS, itertools.count(2**24), None))
    made = list(quick.records(OUTLETS, itertools.count(2**24), None))

    assert made == expected
    assert (quick.first, len(quick), list(quick.starts)) == (slow.first, len(slow), slow.starts)
    assert quick.intended_ns == slow.intended_ns
    # Whoever comes next goes on where this flight ended.
    assert in_bulk.transaction(1, 0).first == one_by_one.transaction(1, 0).first
