"""The suite's helpers under the names of its specification; each lives where it is used.

`AvroProducer` produces change events straight to Kafka, `InstrumentedSink` measures any sink's
writes, `SlowSink` sleeps in each write, `CountingSink` counts and can be awaited, `LatencyTracker`
computes percentiles, and `BenchmarkReport` collects and prints results.
"""

from __future__ import annotations

from cdc_users.measure.latency.histogram import LatencyTracker
from cdc_users.report.table import BenchmarkReport
from cdc_users.users.producer.producer import AvroProducer
from infra.platform.sinks.counting import CountingSink, SlowSink
from infra.platform.sinks.instrumented import InstrumentedSink

__all__ = [
    "AvroProducer",
    "BenchmarkReport",
    "CountingSink",
    "InstrumentedSink",
    "LatencyTracker",
    "SlowSink",
]
