"""The consumer's figures (docs/platform.md lists the routes)."""

from __future__ import annotations

from collections.abc import Sequence

from typing_extensions import override

from infra.platform.consume.consumer import CDCConsumer
from infra.platform.process.telemetry_server import Figure, HeldSample, TelemetryServer
from infra.platform.sample import Sampler
from infra.platform.sinks.instrumented import InstrumentedSink


class Telemetry(TelemetryServer):
    """Serves the figures of one consumer and one sink."""

    def __init__(self, consumer: CDCConsumer, sink: InstrumentedSink, sampler: Sampler) -> None:
        super().__init__(consumer, sink)
        self._sampler = sampler
        self._events, self._writes = consumer, sink

    @override
    def samples(self, after: int) -> Sequence[HeldSample]:
        return self._sampler.after(after)

    @override
    def figures(self) -> Sequence[Figure]:
        consumer, sink, buffer = self._events, self._writes, self._events.buffer
        letters = consumer.delivery.dead_letters
        busy_s = sum(sink.busy_s.values())
        limit, most = buffer.limit, buffer.high_water
        return (
            Figure("cdc_platform_polled_events_total", "Events taken from Kafka.", consumer.polled),
            Figure(
                "cdc_platform_durable_events_total", "Events made durable.", sink.durable_events
            ),
            Figure("cdc_platform_sink_writes_total", "Batches written.", sink.writes),
            Figure("cdc_platform_sink_bytes_total", "Bytes of events written.", sink.bytes),
            Figure("cdc_platform_sink_busy_seconds_total", "Time spent in writes.", busy_s),
            Figure("cdc_platform_queue_events", "Events that wait in queues.", buffer.depth),
            Figure(
                "cdc_platform_in_flight_events", "Events that are being written.", buffer.in_flight
            ),
            Figure("cdc_platform_queue_high_water_events", "Most events ever held.", most),
            Figure("cdc_platform_queue_limit_events", "Most events that may be held.", limit),
            Figure(
                "cdc_platform_queue_bytes",
                "Bytes of events that wait or are being written.",
                buffer.bytes,
            ),
            Figure(
                "cdc_platform_queue_limit_bytes",
                "Most bytes of events that may wait.",
                buffer.limit_bytes,
            ),
            Figure(
                "cdc_platform_accepted_bytes",
                "Bytes of events that the sink has accepted and not made durable.",
                consumer.delivery.accepted[0],
            ),
            Figure(
                "cdc_platform_lost_records_total",
                "Records that were deleted before they were read.",
                consumer.gaps.lost_records,
            ),
            Figure(
                "cdc_platform_skipped_records_total",
                "Lost records behind which the platform went on.",
                consumer.gaps.skipped_records,
            ),
            Figure(
                "cdc_platform_pauses_total", "Times that a partition was paused.", consumer.pauses
            ),
            Figure("cdc_platform_rebalances_total", "Assignments received.", consumer.rebalances),
            Figure("cdc_platform_dead_letters_total", "Events put aside.", letters.count),
            Figure(
                "cdc_platform_incomplete_rows_total",
                "Rows inserted without values that the source did not send.",
                sink.incomplete_rows,
            ),
        )
