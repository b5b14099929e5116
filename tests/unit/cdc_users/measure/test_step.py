"""What platform and observer tell of a step: the ledger's counts beside the figures."""

from __future__ import annotations

import numpy as np
import pytest

from cdc_users.measure.latency.recorder import Recorder
from cdc_users.measure.ledger.ledger import Ledger, PartitionEvents
from cdc_users.measure.ledger.probe import (
    KEYS_PER_WRITER,
    Operation,
    Probe,
    format_probe,
    parse_probes,
)
from cdc_users.measure.step import (
    ProgressTelemetry,
    StepFigures,
    StepTelemetry,
    progress_telemetry,
    steps_telemetry,
)
from cdc_users.measure.wire import WireError, decode, encode

RUN, FENCER = "abcd1234", 9_999_999


def observed(*probes: Probe, partition: int = 0, ledger: Ledger | None = None) -> Ledger:
    ledger = ledger or Ledger()
    batch = parse_probes([format_probe(probe).encode() for probe in probes], RUN)
    at = np.arange(len(probes))
    ledger.observe(PartitionEvents(batch, at, partition, at))
    return ledger


def insert(writer: int, sequence: int) -> Probe:
    return Probe(RUN, writer, sequence, sequence, 0, 1, 1, Operation.INSERT, 0, 0)


def fence(sequence: int) -> Probe:
    return Probe(RUN, FENCER, sequence, sequence, 0, 1, 1, Operation.FENCE, 0, 0)


def test_each_step_is_told_with_its_own_counts_and_figures() -> None:
    ledger = observed(insert(10_001, 1), insert(10_001, 1), insert(10_002, 1), insert(20_001, 1))
    figures = {1: StepFigures(first_us=5, last_us=9, bytes=77), 2: StepFigures()}
    figures[1].recorder.record_many_us("end_to_end", np.array([1000, 3000]))

    told = steps_telemetry(figures, ledger)

    first, second = told[1], told[2]
    assert (first.delivered, first.duplicated, first.first_us, first.last_us, first.bytes) == (
        2, 1, 5, 9, 77,
    )  # fmt: skip
    assert (second.delivered, second.duplicated, second.series) == (1, 0, {})
    again = decode(encode(first), StepTelemetry, "it")
    assert Recorder([again.series]).histogram("end_to_end").sum_us == 4000


def test_progress_names_the_fences_and_where_each_came_from() -> None:
    ledger = observed(insert(10_001, 1), fence(2), partition=4)
    observed(fence(1), insert(20_001, 1), insert(20_001, 2), partition=1, ledger=ledger)

    found = progress_telemetry(ledger)

    keys = [FENCER * KEYS_PER_WRITER + number for number in (1, 2)]
    assert found.steps == {1: 1, 2: 2}
    assert found.fences == keys
    assert found.fenced_partitions == [1, 4]
    assert found.fence_places == [(keys[0], 1), (keys[1], 4)]
    assert decode(encode(found), ProgressTelemetry, "it") == found


def test_a_tap_that_has_seen_nothing_tells_of_nothing() -> None:
    assert steps_telemetry({}, Ledger()) == {}
    assert progress_telemetry(Ledger()) == ProgressTelemetry(steps={}, fences=[])


def test_a_message_from_a_platform_that_tells_little_is_read() -> None:
    """Only the count of what was delivered must be there."""
    told = decode(b'{"delivered": 7, "colour": "red"}', StepTelemetry, "it")

    assert told == StepTelemetry(delivered=7)
    assert (told.series, told.duplicated, told.first_us, told.last_us, told.bytes) == (
        {}, 0, 0, 0, 0,
    )  # fmt: skip
    progress = decode(b'{"steps": {"1": 5}, "fences": [3]}', ProgressTelemetry, "it")
    assert (progress.steps, progress.fenced_partitions, progress.fence_places) == ({1: 5}, [], [])


@pytest.mark.parametrize("missing", [b"{}", b'{"series": {}}', b'{"delivered": "7"}'])
def test_a_message_without_its_count_is_refused(missing: bytes) -> None:
    with pytest.raises(WireError, match="the platform sent something else than a StepTelemetry"):
        decode(missing, StepTelemetry, "the platform")


def test_a_duplicate_is_told_beside_the_progress_and_never_in_it() -> None:
    ledger = observed(insert(10_001, 1), insert(10_001, 1), insert(10_001, 1))

    assert progress_telemetry(ledger).steps == {1: 1}
    assert steps_telemetry({1: StepFigures()}, ledger)[1].duplicated == 2
