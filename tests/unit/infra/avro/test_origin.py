"""What `source` says of many changes at once is what each says alone."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from infra.avro.octets import Octets
from infra.avro.origin import commits
from tests.batches import Partition
from tests.change_events import Encoder, Event

COLUMNS: dict[str, tuple[Any, bool]] = {"id": ("long", False)}
positions = st.none() | st.integers(0, 2**63 - 1) | st.sampled_from([9, 10, 99, 100])


@given(st.lists(st.tuples(positions, st.integers(0, 2**63 - 1)), min_size=1))
def test_the_last_commit_is_read_as_it_stands(pairs: list[tuple[int | None, int]]) -> None:
    texts = [
        f'["{commit}","{own}"]' if commit is not None else f'[null,"{own}"]'
        for commit, own in pairs
    ]
    octets = Octets([text.encode() for text in texts])
    own = [own for _, own in pairs]

    found = commits(octets, octets.begin, octets.end - octets.begin, np.array(own, dtype=np.int64))

    assert found.tolist() == [
        own if (text := re.match(r'\["(\d+)"', each)) is None else int(text[1])
        for each, own in zip(texts, own, strict=True)
    ]


def test_the_tables_of_a_batch_are_known() -> None:
    encoder, partition = Encoder(COLUMNS), Partition(columns=COLUMNS)
    other = replace(encoder, table="orders_2026")
    records = [
        (each.key(Event("c", key)), each.value(Event("c", key, (key,))))
        for key, each in enumerate([encoder, encoder, other])
    ]
    (batch,) = partition.items(records)

    assert batch.rows.source_tables() == {("test", "customers"), ("test", "orders_2026")}
    assert batch.rows[:2].source_tables() == {("test", "customers")}
    assert batch.rows.log_position.tolist() == [1000, 1008, 1000]
