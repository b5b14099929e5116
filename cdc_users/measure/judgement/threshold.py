"""Thresholds: conditions on a step's figures, as data. Pure.

`end_to_end.p99 < 500ms`, `throughput > 2000/s`, `duplicated == 0`. A metric is named by its path in
a step of result.json; the parts of the path that follow from the name may be left out.
"""

from __future__ import annotations

import difflib
import math
import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cdc_users.measure.latency import series
from cdc_users.measure.latency.histogram import BEYOND
from cdc_users.measure.ledger.audit import CLASSES
from cdc_users.measure.number import EXPONENTS, UNSIGNED, number

_FORM = re.compile(rf"([A-Za-z_][\w.]*)\s*(<=|>=|==|!=|<|>)\s*([-+]?{UNSIGNED})\s*(\S*)", re.ASCII)
_COMPARE: Mapping[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}
#: By kind of metric, the factor from each unit to the unit of result.json. A value without a unit
#: has the first one.
UNITS: Mapping[str, Mapping[str, float]] = {
    "duration_ms": {"ms": 1.0, "us": 0.001, "s": 1000.0, "m": 60_000.0},
    "duration_s": {"s": 1.0, "ms": 0.001, "m": 60.0},
    "rate": {"/s": 1.0, "k/s": 1e3},
    "bytes_rate": {"B/s": 1.0, "kB/s": 1e3, "MB/s": 1e6, "GB/s": 1e9},
    "megabytes": {"MB": 1.0, "kB": 0.001, "GB": 1000.0},
    "share": {"": 1.0, "%": 0.01},
    "count": {"": 1.0, "k": 1e3, "M": 1e6},
}
SERIES = series.JUDGED
PERCENTILES = {"p50": 50.0, "p95": 95.0, "p99": 99.0}
STATISTICS = ("mean", "p50", "p95", "p99", "max")
ARRIVALS = ("offered", "started", "completed", "failed", "dropped", "late")
_PRESSURE = {
    "queue_high_water": "count",
    "queue_high_water_share": "share",
    "memory_growth_mb": "megabytes",
    "memory_slope_mb_per_million": "megabytes",
    "sink_busy_share": "share",
    "stalled_s": "duration_s",
    "backlog_at_end": "count",
    "time_to_drain_s": "duration_s",
}
#: The figures of a step with a fault, by their names in a threshold.
_FAULT = {
    "caught_up": ("caught_up_s", "duration_s"),
    "recovered": ("recovered_s", "duration_s"),
    "detected": ("detected_s", "duration_s"),
    "first_delivery": ("first_delivery_s", "duration_s"),
    "most_backlog": ("most_backlog", "count"),
}


#: Bounds hold at any speed, so smoke runs judge them too.
BOUNDS = ("queue_high_water", "queue_high_water_share", "memory_growth_mb")


class ThresholdError(ValueError):
    """Text that is no threshold; the message names it and the remedy."""


@dataclass(frozen=True, slots=True)
class Metric:
    """Where a figure stands in a step of result.json, and what kind it is.

    `figure` is false for plain counts.
    """

    path: tuple[str, ...]
    kind: str
    figure: bool = True


def _metrics() -> dict[str, Metric]:
    known = {
        "throughput": Metric(("throughput_per_s",), "rate"),
        "drain_rate": Metric(("drain_rate_per_s",), "rate"),
        "bytes": Metric(("bytes_per_s",), "bytes_rate"),
        "duration": Metric(("duration_s",), "duration_s"),
        "messages": Metric(("messages",), "count", figure=False),
    }
    known |= {metric.path[0]: metric for metric in list(known.values())}
    for one in SERIES:
        for name in STATISTICS:
            known[f"{one}.{name}"] = Metric(("latency_ms", one, name), "duration_ms")
        known[f"{one}.count"] = Metric(("latency_ms", one, "count"), "count")
    known |= {
        name: Metric(("ledger", name), "count", figure=False)
        for name in ("sent", "delivered", *CLASSES)
    }
    known |= {name: Metric(("arrivals", name), "count", figure=False) for name in ARRIVALS}
    known |= {
        name: Metric(("pressure", name), kind, name not in BOUNDS)
        for name, kind in _PRESSURE.items()
    }
    known |= {name: Metric(("fault", path), kind) for name, (path, kind) in _FAULT.items()}
    return known | {".".join(metric.path): metric for metric in list(known.values())}


METRICS = _metrics()
#: Every class of the ledger is 0, unless a threshold of its own says otherwise.
DEFAULTS = tuple(f"{name} == 0" for name in CLASSES)


@dataclass(frozen=True, slots=True)
class Threshold:
    """One condition: `metric` compared with `value`, which is in the unit of result.json."""

    text: str
    metric: Metric
    comparison: str
    value: float

    def holds(self, value: float) -> bool:
        """Whether a figure meets the condition."""
        return _COMPARE[self.comparison](value, self.value)

    @property
    def percentile(self) -> float | None:
        """The percentile if the metric is one of a latency, otherwise None."""
        path = self.metric.path
        return PERCENTILES.get(path[-1]) if path[0] == "latency_ms" else None

    @property
    def samples_needed(self) -> float:
        """How many samples its percentile needs before it is known; 0 if the metric is no
        percentile.
        """
        return 0.0 if self.percentile is None else BEYOND / (1 - self.percentile / 100)


@dataclass(frozen=True, slots=True)
class ThresholdFailure:
    """A threshold that a step does not meet: the step's value (None: it has none), and the reason
    in a sentence.
    """

    step: str
    threshold: str
    value: float | None
    reason: str
    #: Whether the figure is too inexact to decide the threshold.
    undecided: bool = False


def parse_threshold(text: str) -> Threshold:
    """Read one threshold; raises ThresholdError."""
    whole = text.strip()
    match = _FORM.fullmatch(whole)
    if match is None:
        raise ThresholdError(
            f"{whole!r} is not a threshold; write METRIC < VALUE, e.g. 'end_to_end.p99 < 500ms' or"
            " 'duplicated == 0'"
        )
    name, comparison, amount, unit = match.groups()
    if name not in METRICS:
        raise ThresholdError(f"{name!r} is not a metric; {_nearest(name)}")
    metric = METRICS[name]
    units = UNITS[metric.kind]
    factor = _factor(unit, units)
    if factor is None:
        allowed = ", ".join(filter(None, units)) or "none"
        raise ThresholdError(f"{unit!r} in {whole!r} is not a unit of {name}; allowed: {allowed}")
    return Threshold(whole, metric, comparison, float(number(amount)) * factor)


def _factor(unit: str, units: Mapping[str, float]) -> float | None:
    """The factor of a unit or of no unit, with k, M or G before it; None for an unknown unit."""
    known = {"": next(iter(units.values())), **units}
    if unit in known:
        return known[unit]
    exponent, rest = EXPONENTS.get(unit[0]), unit[1:]
    return 10**exponent * known[rest] if exponent is not None and rest in known else None


def parse_thresholds(text: str) -> tuple[Threshold, ...]:
    """Several thresholds, separated by semicolons or lines; raises ThresholdError with all
    mistakes.
    """
    found, mistakes = [], []
    for part in re.split(r"[;\n]", text):
        try:
            found += [parse_threshold(part)] if part.strip() else []
        except ThresholdError as error:
            mistakes.append(str(error))
    if mistakes:
        raise ThresholdError("; ".join(mistakes))
    if not found:
        raise ThresholdError(
            f"{text!r} has no threshold in it; write METRIC < VALUE, e.g. 'end_to_end.p99 < 500ms'"
        )
    return tuple(found)


def with_defaults(thresholds: Iterable[Threshold]) -> tuple[Threshold, ...]:
    """These thresholds, after the defaults whose metric none of them names."""
    given = tuple(thresholds)
    named = {threshold.metric for threshold in given}
    defaults = tuple(parse_threshold(text) for text in DEFAULTS)
    return (*(threshold for threshold in defaults if threshold.metric not in named), *given)


def failures(
    thresholds: Sequence[Threshold],
    steps: Iterable[Mapping[str, object]],
    *,
    counts_only: bool = False,
) -> list[ThresholdFailure]:
    """The thresholds that the steps of a result (as in result.json) do not meet; warm-ups are not
    judged.

    A figure that is missing fails its threshold. `counts_only` judges only thresholds about the
    ledger and the arrivals, because smoke runs publish no figures.
    """
    judged = [
        threshold for threshold in thresholds if not (counts_only and threshold.metric.figure)
    ]
    found = [
        _failure(threshold, step)
        for step in steps
        if not step.get("warm_up")
        for threshold in judged
    ]
    return [failure for failure in found if failure is not None]


def _failure(threshold: Threshold, step: Mapping[str, object]) -> ThresholdFailure | None:
    name, value = str(step["name"]), _value(step, threshold.metric.path)
    if value is None:
        reason = f"{name}: {threshold.text}: {_why_null(step, threshold.metric.path)}"
        return ThresholdFailure(name, threshold.text, None, reason)
    low, high = bounds(step, threshold.metric, value)
    verdicts = {threshold.holds(end) for end in (low, value, high)}
    if verdicts == {True}:
        return None
    unit = next(iter(UNITS[threshold.metric.kind]))
    if verdicts == {True, False}:
        reason = (
            f"{name}: {threshold.text} cannot be decided: it is {value:g}{unit}, which may"
            f" be anything from {low:g} to {high:g}{unit}; measure it more finely, or leave more"
            " room"
        )
        return ThresholdFailure(name, threshold.text, value, reason, undecided=True)
    return ThresholdFailure(
        name,
        threshold.text,
        value,
        f"{name}: {threshold.text}, but it is {value:g}{unit}"
        f"{_share(step, threshold.metric, value)}{_taps(step, threshold.metric)}",
    )


def _taps(step: Mapping[str, object], metric: Metric) -> str:
    """For a class of the ledger, if events come out at several taps: how many at each of them."""
    taps = step.get("taps") or {}
    if metric.path[0] != "ledger" or not isinstance(taps, Mapping):
        return ""
    counts = {name: _value(tap, metric.path) for name, tap in taps.items()}
    found = [f"{name} {count:g}" for name, count in counts.items() if count]
    return f"; by tap: {', '.join(found)}" if found else ""


def _share(step: Mapping[str, object], metric: Metric, value: float) -> str:
    """For a count of events that did not come: the total that it is a part of."""
    sent = _value(step, ("ledger", "sent"))
    checked, delivered = (_value(step, ("ledger", name)) for name in ("checked", "delivered"))
    if metric.path == ("ledger", "corrupt") and checked and delivered and checked < delivered:
        return f" of {checked:g} rows looked at ({delivered:g} came)"
    if metric.path not in (("ledger", "lost"), ("ledger", "unseen")) or not sent:
        return ""
    return f" ({100 * value / sent:.3g}% of {sent:g} sent)"


def bounds(step: Mapping[str, object], metric: Metric, value: float) -> tuple[float, float]:
    """The range in which the true value lies: a figure may be too high by `late` (its maximum by
    `late_max`), and two clocks may be apart by `clock`.
    """
    if metric.path[0] != "latency_ms" or metric.path[-1] == "count":
        return value, value
    late = "late_max" if metric.path[-1] == "max" else "late"
    late_ms, clock_ms = (_value(step, (*metric.path[:2], name)) or 0.0 for name in (late, "clock"))
    return value - late_ms - clock_ms, value + clock_ms


def _value(step: Mapping[str, object], path: Sequence[str]) -> float | None:
    value: Any = step
    for part in path:
        value = value.get(part) if isinstance(value, Mapping) else None
    if value is None or isinstance(value, (str, Mapping)) or not math.isfinite(value):
        return None
    return float(value)


def _why_null(step: Mapping[str, object], path: Sequence[str]) -> str:
    if path[0] == "latency_ms":
        count = _value(step, [*path[:2], "count"])
        if dropped := _value(step, [*path[:2], "censored"]):
            return (
                f"{dropped:g} dropped arrivals could have been slower, so it is not known; --late"
                " catch-up carries all of them out"
            )
        return f"{count:g} samples are too few for it" if count else "nothing was recorded"
    if path[0] == "fault":
        return "the pipeline did not get that far while the load lasted; raise --recover"
    if path[0] in ("throughput_per_s", "drain_rate_per_s"):
        return f"a step in mode {step.get('mode')!r} has none"
    return "it was not measured"


def _nearest(name: str) -> str:
    # A statistic without a series means the end-to-end latency.
    whole_way = f"{SERIES[0]}.{name}"
    near = (
        [whole_way]
        if whole_way in METRICS
        else difflib.get_close_matches(name, METRICS, n=1, cutoff=0.5)
    )
    return (
        f"did you mean {near[0]!r}?"
        if near
        else "docs/ci.md lists them, e.g. 'end_to_end.p99' or 'lost'"
    )
