"""Dropped arrivals reach every part of the way that begins when they were due."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cdc_users.measure.latency.recorder import Recorder
from tests.unit.cdc_users.step.test_result import facts, result, sink, state


@pytest.mark.parametrize(("rows", "known"), [(1, 1.0), (20, None)])
def test_dropped_arrivals_reach_the_commit_as_well_with_all_of_their_rows(
    rows: int, known: float | None
) -> None:
    """A commit begins to be late when the arrival was due, whoever writes it."""
    dropping = state(started=9, completed=9, dropped=1)
    dropping = replace(dropping, step=replace(dropping.step, rows_per_arrival=rows))
    recorder = Recorder()
    recorder.record_many_us("dropped", np.full(60, 100_000, dtype=np.int64))
    dropping.reports = {"local": replace(dropping.reports["local"], recorder=recorder)}
    seen = sink(5.0)
    for name in ("commit", "capture"):
        seen.recorder.record_many_us(name, np.full(940, 1000, dtype=np.int64))

    latency = result(facts(sink={1: seen}), dropping).steps[0].latency_ms

    assert latency["commit"]["censored"] == 60 * rows
    assert (latency["commit"]["p50"], latency["commit"]["p95"]) == (known, None)
    assert latency["commit"]["mean"] is None
    assert (latency["capture"]["p95"], latency["capture"]["mean"]) == (1.0, 1.0)


def test_a_commit_that_nobody_records_is_not_told_as_dropped() -> None:
    dropping = state(started=9, completed=9, dropped=1)
    recorder = Recorder()
    recorder.record_many_us("dropped", np.full(60, 100_000, dtype=np.int64))
    dropping.reports = {"local": replace(dropping.reports["local"], recorder=recorder)}

    latency = result(facts(sink={1: sink(5.0)}), dropping).steps[0].latency_ms

    assert "censored" not in latency["commit"]
