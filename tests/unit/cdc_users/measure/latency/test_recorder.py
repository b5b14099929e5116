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
from cdc_users.measure.latency.recorder import TIMES_PER_FLUSH, OperationLog, Recorder
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


def counts_of(recorder: Recorder) -> dict[str, tuple[int, int]]:
    """Each series' samples and their sum."""
    return {name: (found.count, found.sum_us) for name, found in recorder.series.items()}


def test_an_operation_is_in_every_series_that_it_belongs_to() -> None:
    """Due at 1 ms, started at 3 ms, done at 7 ms."""
    recorder = Recorder()
    log = OperationLog(recorder)
    log.add(1_000_000, 3_000_000, 7_000_000, "insert")
    log.flush()

    assert counts_of(recorder) == {
        "send_delay": (1, 2000),
        "service": (1, 4000),
        "response": (1, 6000),
        "response.insert": (1, 6000),
    }


def test_an_operation_that_failed_has_no_response_and_no_service_time() -> None:
    recorder = Recorder()
    log = OperationLog(recorder)
    log.add(1_000_000, 3_000_000, 7_000_000, "insert", failed=True)
    log.flush()

    assert counts_of(recorder) == {"send_delay": (1, 2000), "failed": (1, 6000)}


def test_an_operation_without_a_kind_is_in_no_series_of_a_kind() -> None:
    recorder = Recorder()
    log = OperationLog(recorder)
    log.add(0, 0, 1000)
    log.flush()

    assert set(recorder.series) == {"send_delay", "service", "response"}


def test_send_delay_and_service_time_sum_to_the_response_whatever_a_microsecond_hides() -> None:
    recorder = Recorder()
    log = OperationLog(recorder)
    for nanoseconds in range(0, 5000, 77):
        log.add(0, nanoseconds, 3 * nanoseconds + 999)
    log.flush()

    sums = {name: sum_us for name, (_, sum_us) in counts_of(recorder).items()}
    assert sums["response"] == sums["send_delay"] + sums["service"]


def test_an_operation_that_began_before_it_was_due_has_a_negative_delay() -> None:
    recorder = Recorder()
    log = OperationLog(recorder)
    log.add(5_000, 3_000, 9_000)
    log.flush()

    assert recorder.histogram("send_delay").negative == 1
    assert recorder.total("send_delay") == (1, -2)
    assert recorder.total("response") == (1, 4)


def test_nothing_is_in_the_series_before_it_is_brought_there_and_then_it_is_there_once() -> None:
    recorder = Recorder()
    log = OperationLog(recorder)
    log.add(0, 0, 1000)
    assert recorder.series == {}

    log.flush()
    log.flush()

    assert recorder.total("response") == (1, 1)


def test_what_is_noted_is_brought_into_the_series_before_it_grows_without_bound() -> None:
    recorder = Recorder()
    log = OperationLog(recorder)
    for _ in range(TIMES_PER_FLUSH // 3 - 1):
        log.add(0, 0, 1000)
    assert recorder.series == {}

    log.add(0, 0, 1000)
    log.add(0, 0, 1000)

    assert recorder.total("response").samples == TIMES_PER_FLUSH // 3
    log.flush()
    assert recorder.total("response").samples == TIMES_PER_FLUSH // 3 + 1


def test_kinds_and_failures_are_noted_apart_and_counted_together() -> None:
    recorder = Recorder()
    log = OperationLog(recorder)
    for name in ("insert", "update", "insert"):
        log.add(0, 0, 1000, name)
    log.add(0, 0, 9000, "update", failed=True)
    log.flush()

    found = {name: count for name, (count, _) in counts_of(recorder).items()}
    assert (found["response.insert"], found["response.update"]) == (2, 1)
    assert found["response"] + found["failed"] == found["send_delay"] == 4


operations = st.lists(
    st.tuples(st.integers(0, 10**7), st.integers(0, 10**7), st.integers(0, 10**7)), max_size=30
)


@given(operations, st.booleans())
def test_many_operations_at_once_are_as_many_one_by_one(
    told: list[tuple[int, int, int]], failed: bool
) -> None:
    singly, together = Recorder(), Recorder()
    one_by_one, at_once = OperationLog(singly), OperationLog(together)
    times = [(due, due + late, due + late + took) for due, late, took in told]
    for operation in times:
        one_by_one.add(*operation, "insert", failed=failed)
    one_by_one.flush()
    due, started, done = np.array(times, dtype=np.int64).reshape(-1, 3).T
    at_once.add_many(due, started, done, "insert", failed=failed)

    assert at_once.busy_ns == one_by_one.busy_ns == sum(took for _, _, took in told)
    if told:
        assert together.encode() == singly.encode()


def test_a_batch_may_start_and_end_as_one() -> None:
    recorder = Recorder()
    log = OperationLog(recorder)

    log.add_many(np.array([0, 1_000_000, 2_000_000]), 4_000_000, 5_000_000)

    assert recorder.total("send_delay") == (3, 9000)
    assert recorder.total("response") == (3, 12_000)
    assert log.busy_ns == 3_000_000, "each was at work for as long as the batch"


def test_what_was_told_and_what_is_recorded_here_are_one_series() -> None:
    recorder = Recorder([told_of(5), told_of(7)])

    recorder.record_many_us("end_to_end", np.array([100], dtype=np.int64))

    assert recorder.total("end_to_end") == (3, 112)
    assert recorder.histogram("end_to_end").max_us == 100


def test_merging_takes_series_that_only_the_other_one_has() -> None:
    mine, other = Recorder([told_of(5)]), Recorder()
    other.record_many_us("loop_lag", np.array([3, 4], dtype=np.int64))

    mine.merge(other)

    assert counts_of(mine) == {"end_to_end": (1, 5), "loop_lag": (2, 7)}
    assert counts_of(other) == {"loop_lag": (2, 7)}, "the other one was changed"


def test_asking_for_a_series_that_nobody_has_makes_an_empty_one() -> None:
    assert Recorder([told_of(5)]).histogram("nothing").count == 0
    assert Recorder().total("nothing") == (0, 0)
