"""Dropped arrivals reach every part of the way that begins when they were due."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cdc_users.measure.latency.recorder import Recorder
from cdc_users.measure.offset import ClockOffset
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


@pytest.mark.parametrize(
    ("ahead_ms", "commit_ms", "known"),
    [(0, 50, True), (0, 150, False), (3000, 50, True), (3000, 150, False), (-60, 150, False)],
)
def test_a_commit_is_compared_with_dropped_arrivals_by_one_clock(
    ahead_ms: int, commit_ms: int, known: bool
) -> None:
    """GIVEN arrivals that were dropped when they were 100 ms late, and a source whose clock is
    ahead or behind THEN a commit is known where it took less than that.
    """
    dropping = state(started=9, completed=9, dropped=1)
    recorder = Recorder()
    recorder.record_many_us("dropped", np.full(10, 100_000, dtype=np.int64))
    dropping.reports = {"local": replace(dropping.reports["local"], recorder=recorder)}
    seen, clock = sink(5.0), ClockOffset(ahead_ms * 1000, 150)
    seen.recorder.record_many_us(
        "commit", np.full(990, (commit_ms + ahead_ms) * 1000, dtype=np.int64)
    )

    found = result(facts(sink={1: seen}, source_clock=clock), dropping)

    p50 = found.steps[0].latency_ms["commit"]["p50"]
    assert p50 == (pytest.approx(commit_ms, abs=3.1) if known else None)
