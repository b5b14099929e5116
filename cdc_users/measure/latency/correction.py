"""A latency between two clocks, corrected to one clock. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from cdc_users.measure.latency.histogram import LatencyHistogram
from cdc_users.measure.offset import ClockOffset

PERCENTILES = ("p50", "p95", "p99")


def corrected(
    summary: Mapping[str, float | int | None],
    histogram: LatencyHistogram,
    clock: ClockOffset,
    sign: int,
) -> Mapping[str, float | int | None]:
    """The corrected summary of a part of the way that ends (`sign` 1) or begins (-1) by the other
    clock; its `clock` is the remaining uncertainty.

    Percentiles are not known where recorded values were below zero, because those have no buckets.
    """
    shift_ms = sign * clock.offset_us / 1000

    def moved(name: str, value: float | int | None) -> float | int | None:
        if value is None or name not in ("mean", "max", *PERCENTILES):
            return value
        hidden = histogram.negative and name in PERCENTILES
        return None if hidden else round(value - shift_ms, 3)

    made = {name: moved(name, value) for name, value in summary.items()}
    return {**made, "clock": round(clock.bound_us / 1000, 3)}
