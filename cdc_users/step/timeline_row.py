"""One second of a run for timeline, page, terminal and metrics. Files can be read without Locust,
so this does not import it.
"""

from __future__ import annotations

from dataclasses import dataclass

TimelineValue = float | str | None


@dataclass(frozen=True, slots=True)
class TimelineRow:
    """One second of a run: totals of its step so far, rates since the last second, and the latency
    of the events that arrived.

    Latencies are milliseconds; the stages are means, which add up to `mean_ms`. None where not
    known.
    """

    elapsed_s: float
    step: str
    stage: str
    offered: int
    started: int
    completed: int
    failed: int
    sent: int
    delivered: int
    backlog: int
    queue_depth: int | None
    in_flight: int | None
    paused_partitions: int | None
    consumer_lag: int | None
    slot_lag_bytes: int | None
    uss_mb: float | None
    rss_mb: float | None
    offered_per_s: float | None
    sent_per_s: float | None
    delivered_per_s: float | None
    bytes_per_s: float | None
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    #: The percentiles are of the last `window` seconds: the shortest time that suffices for a p99,
    #: up to 60.
    window_s: float | None
    mean_ms: float | None
    max_ms: float | None
    commit_ms: float | None
    capture_ms: float | None
    fetch_ms: float | None
    queue_ms: float | None
    sink_write_ms: float | None
    #: Events of the step that the topic's tap has seen; None if there is no such tap.
    captured: int | None = None
    #: Debezium's own metrics: how far it is behind its source, and the free room of its queue.
    debezium_behind_ms: float | None = None
    debezium_queue_remaining: float | None = None
