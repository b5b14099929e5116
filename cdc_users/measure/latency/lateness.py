"""How much too high latencies may be behind a tap that looks only now and then. Pure."""

from __future__ import annotations

from cdc_users.measure.latency.recorder import Recorder
from cdc_users.measure.latency.series import EARLIEST


def lateness_ms(sink: Recorder) -> dict[str, float]:
    """By how much the end-to-end figures may be too high, where the tap looks only now and then:
    each event came between two looks. `late` is for mean and percentiles, `late_max` for the
    maximum; empty where the tap knows.
    """
    earliest = sink.histogram(EARLIEST.name)
    if not earliest.count:
        return {}
    seen, least = sink.histogram("end_to_end").summary_ms(), earliest.summary_ms()

    def gap_ms(*names: str) -> float:
        known = [(seen[name], least[name]) for name in names]
        gaps = [a - b for a, b in known if a is not None and b is not None]
        return round(max(gaps, default=0.0), 3)

    return {"late": gap_ms("mean", "p50", "p95", "p99"), "late_max": gap_ms("max")}
