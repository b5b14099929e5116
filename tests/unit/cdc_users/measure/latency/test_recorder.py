"""What workers report is merged without loss: counts exactly, percentiles as good as those of all
raw values.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc_users.measure.latency.histogram import HIGHEST_US, EncodedHistogram
from cdc_users.measure.latency.recorder import OperationLog, Recorder
from cdc_users.measure.wire import decode, encode

POINTS = (50, 95, 99)


def over_the_wire(recorder: Recorder) -> Recorder:
    return Recorder([decode(encode(recorder.encode()), dict[str, EncodedHistogram], "a tap")])


@given(
    seed=st.integers(0, 2**32),
    sizes=st.lists(st.integers(0, 3000), min_size=1, max_size=5),
    spread=st.sampled_from([0.1, 1.0, 3.0]),
)
def test_percentiles_of_merged_workers_are_those_of_a_sort(
    seed: int, sizes: list[int], spread: float
) -> None:
    chance = np.random.default_rng(seed)
    # Above an hour a latency is counted apart, as too long.
    workers = [
        np.minimum(chance.lognormal(9, spread, size), HIGHEST_US).astype(np.int64) for size in sizes
    ]
    merged = Recorder()
    for values in workers:
        recorder = Recorder()
        recorder.record_many_us("response", values)
        merged.merge(over_the_wire(recorder))

    series, raw = merged.histogram("response"), np.sort(np.concatenate(workers))

    assert series.count == sum(sizes)
    assert series.sum_us == raw.sum()
    for point in POINTS:
        found = series.percentile_us(point)
        assert (found is not None) == (len(raw) * (100 - point) / 100 >= 10 - 1e-9)
        if found is not None:
            # Below a thousand microseconds a bucket is one of them wide.
            expected = int(raw[math.ceil(len(raw) * point / 100 - 1e-9) - 1])
            assert found == pytest.approx(expected, rel=0.001, abs=1)


@given(st.lists(st.lists(st.booleans(), max_size=50), min_size=1, max_size=5))
def test_operations_of_all_workers_are_counted_exactly(workers: list[list[bool]]) -> None:
    merged = Recorder()
    for failures in workers:
        recorder = Recorder()
        log = OperationLog(recorder)
        for failed in failures:
            log.add(0, 1000, 5000, failed=failed)
        log.flush()
        merged.merge(over_the_wire(recorder))

    failed_count = sum(map(sum, workers))
    assert merged.histogram("failed").count == failed_count
    assert merged.histogram("response").count == sum(map(len, workers)) - failed_count
    assert merged.histogram("send_delay").count == sum(map(len, workers))


def told_of(*values_us: int) -> dict[str, EncodedHistogram]:
    recorder = Recorder()
    recorder.record_many_us("end_to_end", np.array(values_us, dtype=np.int64))
    return recorder.encode()


@given(st.lists(st.lists(st.integers(0, 10**6), max_size=20), min_size=1, max_size=4))
def test_what_processes_tell_is_put_together_as_if_it_were_merged(parts: list[list[int]]) -> None:
    told = [told_of(*part) for part in parts]
    merged = Recorder()
    for part in told:
        merged.merge(Recorder([part]))

    whole = Recorder(told)
    values = [value for part in parts for value in part]
    assert whole.total("end_to_end") == (len(values), sum(values))
    assert whole.encode() == merged.encode()
    assert whole.total("end_to_end") == merged.total("end_to_end") == (len(values), sum(values))
    assert whole.total("nothing") == (0, 0)


def test_a_recorder_that_was_told_the_same_has_nothing_new() -> None:
    before = Recorder([told_of(5), told_of(7)])

    assert Recorder([told_of(5), told_of(7)]).is_as(before)
    assert not Recorder([told_of(5), told_of(7, 7)]).is_as(before)
    assert not Recorder([told_of(5)]).is_as(before)
    assert not Recorder().is_as(Recorder())


def test_a_histogram_that_has_grown_is_encoded_again() -> None:
    recorder = Recorder()
    recorder.record_many_us("end_to_end", np.array([5], dtype=np.int64))
    before = recorder.encode()
    assert recorder.encode() == before

    recorder.record_many_us("end_to_end", np.array([HIGHEST_US + 1], dtype=np.int64))
    too_long = recorder.encode()["end_to_end"]
    recorder.record_many_us("end_to_end", np.array([9], dtype=np.int64))
    after = recorder.encode()["end_to_end"]

    assert (too_long.count, too_long.too_long) == (1, 1)
    assert (after.count, after.sum_us) == (2, 14)
