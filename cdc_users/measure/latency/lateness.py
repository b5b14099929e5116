"""How much too high latencies may be: because a tap looks only at intervals, or because the
generator paused. Pure.
"""

from __future__ import annotations

from cdc_users.measure.latency.recorder import Recorder
from cdc_users.measure.latency.series import EARLIEST, OWN_DELAY

#: A generator's own delay is reported above this share of the usual latency, and above this time.
TOLD_SHARE = 0.1
TOLD_MS = 1.0


def lateness_ms(sink: Recorder, generator: Recorder | None = None) -> dict[str, float]:
    """By how much the end-to-end figures may be too high: `late` for mean and percentiles,
    `late_max` for the maximum; empty where both are negligible.

    A tap that looks at intervals knows only that an event came between two looks. A generator's own
    delay is part of every latency, because latencies begin at the intended time; its p99 bounds
    that part for all but one arrival in a hundred.
    """
    late_ms, late_max_ms = _looking_ms(sink)
    own_ms, own_max_ms = _stopping_ms(sink, generator)
    if not any((late_ms, late_max_ms, own_ms, own_max_ms)):
        return {}
    return {
        "late": round(late_ms + own_ms, 3),
        "late_max": round(late_max_ms + own_max_ms, 3),
    }


def _looking_ms(sink: Recorder) -> tuple[float, float]:
    earliest = sink.histogram(EARLIEST.name)
    if not earliest.count:
        return 0.0, 0.0
    seen, least = sink.histogram("end_to_end").summary_ms(), earliest.summary_ms()

    def gap_ms(*names: str) -> float:
        pairs = [(seen[name], least[name]) for name in names]
        gaps = [a - b for a, b in pairs if a is not None and b is not None]
        # The least that is known of some events alone may lie above what is usual of all.
        return max([0.0, *gaps])

    return gap_ms("mean", "p50", "p95", "p99"), gap_ms("max")


def _stopping_ms(sink: Recorder, generator: Recorder | None) -> tuple[float, float]:
    if generator is None:
        return 0.0, 0.0
    own = generator.histogram(OWN_DELAY.name).summary_ms()
    usual_ms = sink.histogram("end_to_end").summary_ms()["p50"]
    own_ms, longest_ms = own["p99"], own["max"]
    if own_ms is None or longest_ms is None or usual_ms is None:
        return 0.0, 0.0
    told = own_ms > max(TOLD_MS, TOLD_SHARE * usual_ms)
    return (float(own_ms), float(longest_ms)) if told else (0.0, 0.0)
