"""The specification's six helpers are there under their names."""

from __future__ import annotations

from tests.benchmark import helpers


def test_the_helpers_of_the_specification_are_offered() -> None:
    wanted = {
        "AvroProducer",
        "InstrumentedSink",
        "SlowSink",
        "CountingSink",
        "LatencyTracker",
        "BenchmarkReport",
    }

    assert set(helpers.__all__) == wanted
    assert all(getattr(helpers, name).__name__ == name for name in wanted)
