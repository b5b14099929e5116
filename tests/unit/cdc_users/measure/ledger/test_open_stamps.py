"""Stamps that wait for a delete without a probe: the oldest are forgotten first."""

from __future__ import annotations

import numpy as np
import pytest

from cdc_users.measure.ledger import ledger as module
from cdc_users.measure.ledger.ledger import Ledger, PartitionEvents
from cdc_users.measure.ledger.probe import Probe, format_probe, parse_probes

RUN, WRITER = "abcd1234", 30_005
MOST = 3


@pytest.fixture(autouse=True)
def _little_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_OPEN_STAMPS", MOST)


def stamp(ledger: Ledger, *keys: int) -> None:
    """A stamp of each key, whose sequence is ten times the key."""
    texts = [
        format_probe(Probe(RUN, WRITER, 10 * key, 1, 0, 2, 2, "s", 0, 0)).encode() for key in keys
    ]
    rows = np.arange(len(keys), dtype=np.int64)
    ledger.observe(PartitionEvents(parse_probes(texts, RUN), np.array(keys), 0, rows))


def deleted(ledger: Ledger, *keys: int) -> list[int]:
    """Those of the keys whose delete was matched to a stamp."""
    rows = np.arange(len(keys), dtype=np.int64)
    part = PartitionEvents(parse_probes([b""] * len(keys), RUN), np.array(keys), 0, rows)
    counted = ledger.observe(part, deleted=np.ones(len(keys), dtype=np.bool_))
    return [key for key, new in zip(keys, counted.tolist(), strict=True) if new]


def test_as_many_stamps_as_there_is_room_for_all_wait() -> None:
    ledger = Ledger()
    stamp(ledger, 1, 2, 3)

    assert deleted(ledger, 1, 2, 3) == [1, 2, 3]
    assert ledger.arrivals().seen[WRITER].numbers().tolist() == [10, 11, 20, 21, 30, 31]


@pytest.mark.parametrize("batches", [[(1, 2, 3, 4, 5)], [(1, 2), (3,), (4, 5)]])
def test_the_oldest_are_forgotten_where_there_are_more(batches: list[tuple[int, ...]]) -> None:
    ledger = Ledger()
    for batch in batches:
        stamp(ledger, *batch)

    assert deleted(ledger, 1, 2, 3, 4, 5) == [3, 4, 5]


def test_a_stamp_that_was_matched_makes_room_for_another() -> None:
    ledger = Ledger()
    stamp(ledger, 1, 2, 3)
    assert deleted(ledger, 2) == [2]
    stamp(ledger, 4)

    assert deleted(ledger, 1, 3, 4) == [1, 3, 4]


def test_a_key_that_is_stamped_again_is_as_new_as_that() -> None:
    ledger = Ledger()
    stamp(ledger, 1, 2, 3)
    stamp(ledger, 1)
    stamp(ledger, 4)

    assert deleted(ledger, 1, 2, 3, 4) == [1, 3, 4]
