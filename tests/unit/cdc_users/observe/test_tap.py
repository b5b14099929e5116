"""What a tap's record says of time: the first arrival counts, and the place's own clock ends it."""

from __future__ import annotations

from dataclasses import replace
from threading import Event, Thread
from typing import Any

import numpy as np
import pytest

from cdc_users.measure.ledger.probe import Operation, Probe, format_probe
from cdc_users.observe import tap
from cdc_users.observe.tap import Events, ObservedRecord, end_thread

RUN = "abcd1234"
START_US = 1_790_000_000_000_000


def events(first: int, count: int, seen_us: int, **changes: Any) -> Events:
    """So many inserts, all intended at the start."""
    numbers = np.arange(first, first + count, dtype=np.int64)
    probes = [
        format_probe(
            Probe(RUN, 10_000, number, number, 0, 1, 1, Operation.INSERT, START_US, 0)
        ).encode()
        for number in numbers.tolist()
    ]
    return Events(
        partition=0,
        positions=numbers,
        keys=numbers,
        probes=probes,
        deleted=np.zeros(count, dtype=np.bool_),
        sizes=np.full(count, 100, dtype=np.int64),
        committed_us=np.zeros(count, dtype=np.int64),
        seen_us=START_US + seen_us,
        **changes,
    )


def end_to_end(record: ObservedRecord) -> dict[str, Any]:
    return record.steps[1].recorder.histogram("end_to_end").summary_ms()


def test_what_comes_again_is_counted_and_in_no_percentile() -> None:
    record = ObservedRecord(RUN)
    record.take(events(1, 1000, 5_000))
    record.take(events(941, 80, 12_000_000))

    assert record.snapshot().steps[1].delivered == 1020
    assert record.snapshot().steps[1].duplicated == 60
    assert end_to_end(record)["count"] == 1020
    assert end_to_end(record)["p95"] == 5.003
    assert record.steps[1].bytes == 102_000


def test_a_repeat_within_one_batch_is_a_repeat_too() -> None:
    record = ObservedRecord(RUN)
    one = events(1, 1, 5_000)
    record.take(one.only(np.array([0, 0, 0])))

    assert end_to_end(record)["count"] == 1


def test_the_times_of_the_place_itself_end_a_latency() -> None:
    record = ObservedRecord(RUN)
    appended_us = START_US + np.full(100, 7_000, dtype=np.int64)
    record.take(events(1, 100, 90_000, appended_us=appended_us, visible_us=appended_us))

    assert end_to_end(record)["mean"] == 7.0
    assert record.steps[1].last_us == START_US + 7_000


def test_how_late_a_tap_may_have_looked_is_told_with_its_figures() -> None:
    record = ObservedRecord(RUN)
    record.take(events(1, 10, 9_000, late_us=20_000))
    record.take(events(11, 10, 9_000, late_us=4_000))

    earliest = record.steps[1].recorder.histogram("earliest")
    assert (earliest.count, earliest.min_us, earliest.max_us) == (20, -11_000, 5_000)


def test_what_somebody_else_wrote_is_counted_apart_and_in_no_class() -> None:
    record = ObservedRecord(RUN)
    record.take(events(1, 10, 5_000))
    record.take(events(3, 2, 9_000, others=np.ones(2, dtype=np.bool_)))
    record.take(replace(events(5, 1, 9_000), deleted=np.ones(1, dtype=np.bool_)))

    told = record.snapshot()
    assert (told.written_by_others, told.others_keys) == (3, [3, 4, 5])
    assert told.steps[1].duplicated == 0
    assert record.arrivals().foreign == 0


def test_a_thread_whose_server_stands_still_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tap, "END_S", 0.05)
    stop, answered = Event(), Event()
    waiting = Thread(target=answered.wait, daemon=True)
    waiting.start()
    ending = Thread(target=end_thread, args=(stop, waiting), daemon=True)
    ending.start()
    ending.join(10)

    assert (stop.is_set(), ending.is_alive(), waiting.is_alive()) == (True, False, True)
    answered.set()
    waiting.join()
