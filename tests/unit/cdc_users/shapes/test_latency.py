"""The latency scenario: one step a sink, drained or paced, and nothing left out in silence."""

from __future__ import annotations

import pytest

from cdc_users.error import OptionsError
from cdc_users.options.options import resolve, texts
from cdc_users.pipeline import declaration
from locustfiles.latency import LatencyShape, LatencyWriter

pytestmark = pytest.mark.gevent

DEFAULTS = LatencyShape.scenario.defaults


def steps(**given: str) -> tuple[tuple[str, str, str, int], ...]:
    options = resolve(texts(given, DEFAULTS))
    found = LatencyShape.steps(options)
    return tuple(
        (step.mode, step.pipeline.source, step.pipeline.sink, step.schedule.count) for step in found
    )


def test_by_default_the_records_wait_for_each_sink_in_turn() -> None:
    assert steps(records="2000", sinks="webhook,postgres") == (
        ("drain", "topic", "webhook", 2000),
        ("drain", "topic", "postgres", 2000),
    )


def test_a_rate_makes_it_an_open_loop() -> None:
    assert steps(sinks="postgres", rate="100", duration="2s") == (
        ("paced", "topic", "postgres", 200),
    )


def test_records_per_arrival_divide_the_volume() -> None:
    assert steps(sinks="counting", records="1001", rows_per_transaction="10") == (
        ("drain", "topic", "counting", 101),
    )


def test_contradictions_are_refused() -> None:
    with pytest.raises(OptionsError, match="--mode paced needs --rate"):
        steps(mode="paced")
    with pytest.raises(OptionsError, match="a drain has no rate"):
        steps(mode="drain", rate="10", duration="1s")
    with pytest.raises(OptionsError, match="'kafka' is not one of"):
        steps(sinks="kafka")


def test_a_sink_that_is_not_installed_is_skipped_with_its_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        declaration, "lacking", lambda package, extra: f"needs {extra}" if package else None
    )

    assert [sink for _, _, sink, _ in steps()] == ["webhook", "postgres"]
    (reason,) = LatencyShape.skipped(resolve(texts({}, DEFAULTS)))
    assert reason == "iceberg is left out: it needs iceberg"
    with pytest.raises(OptionsError, match="iceberg is left out"):
        steps(sinks="iceberg")


def test_records_go_straight_to_the_topic() -> None:
    assert LatencyShape.user(resolve(texts({}, DEFAULTS))) is LatencyWriter
