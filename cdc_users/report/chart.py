"""The charts of the CDC tab and of report.html, as data: both pages draw the same list.

A chart over time is one record of `OVER_TIME`. Its lines name columns of the timeline, and it is
shown only if one of these is known. A chart of a result (`FigureChart`) is made by a function in
`OF_RESULT`. Colours are numbers of the palette in chart.css.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Literal

from cdc_users.measure.capacity.curve import curve, knee
from cdc_users.measure.judgement.result import Result
from cdc_users.measure.judgement.scaling import LawRow, PointRow, gain_at
from cdc_users.measure.judgement.search_summary import ComparisonSummary, SearchSummary, Size
from cdc_users.report.capacity import searches

#: The sizes that grow from one configuration to the next.
Workers = Literal["partitions", "instances"]


@dataclass(frozen=True, slots=True)
class ChartLine:
    """One line: the column or series that it draws, its name, its colour; `points` draws marks."""

    key: str
    name: str
    colour: int
    points: bool = False


@dataclass(frozen=True, slots=True)
class TimeChart:
    """A chart over the seconds of a run.

    `switchable` offers a logarithmic scale; `unit` is the unit at axis and legend.
    """

    title: str
    unit: str
    series: tuple[ChartLine, ...]
    note: str = ""
    switchable: bool = False
    format: Literal["number", "size"] = "number"


@dataclass(frozen=True, slots=True)
class FigureChart:
    """A chart of a result's figures: each series' value at each `x`; None is a gap.

    `x` ascends.
    """

    title: str
    unit: str
    x_name: str
    x: Sequence[float]
    series: tuple[ChartLine, ...]
    values: Mapping[str, Sequence[float | None]]
    note: str = ""
    log: bool = False


OVER_TIME = (
    TimeChart(
        "Events per second",
        "1/s",
        (
            ChartLine("offered_per_s", "offered", 6),
            ChartLine("sent_per_s", "sent", 1),
            ChartLine("delivered_per_s", "delivered", 2),
        ),
    ),
    TimeChart(
        "End-to-end latency",
        "ms",
        (
            ChartLine("p50_ms", "p50", 3),
            ChartLine("p95_ms", "p95", 4),
            ChartLine("p99_ms", "p99", 1),
            ChartLine("max_ms", "max of the second", 2),
        ),
        note=(
            "Percentiles are of the shortest time until then, up to a minute, that has 1,000"
            " events; a p50 needs 20 and a p95 200. The maximum is that of the second."
        ),
        switchable=True,
    ),
    TimeChart(
        "Backlog by place",
        "events",
        (
            ChartLine("backlog", "sent, not delivered", 6),
            ChartLine("consumer_lag", "topic, not committed", 1),
            ChartLine("queue_depth", "queues", 2),
            ChartLine("in_flight", "sink", 3),
        ),
    ),
    TimeChart("Slot lag", "MB", (ChartLine("slot_lag_bytes", "WAL held back", 4),), format="size"),
    TimeChart(
        "Debezium behind its source",
        "ms",
        (ChartLine("debezium_behind_ms", "as it says itself", 4),),
        note="MilliSecondsBehindSource of the connector's own metrics.",
    ),
    TimeChart(
        "Room in Debezium's queue",
        "events",
        (ChartLine("debezium_queue_remaining", "as it says itself", 2),),
        note="QueueRemainingCapacity of the connector's own metrics; 0 holds its reading up.",
    ),
    TimeChart(
        "Platform memory",
        "MB",
        (ChartLine("uss_mb", "unique", 1), ChartLine("rss_mb", "resident", 2)),
    ),
)

#: The heat map, which stands among the charts over time.
HEAT = {
    "title": "Latency heat map",
    "unit": "ms end to end",
    "note": "The darker a field, the more events came in that time with that latency.",
}


def columns(charts: Sequence[TimeChart] = OVER_TIME) -> tuple[str, ...]:
    """The columns of the timeline that charts need."""
    drawn = [line.key for chart in charts for line in chart.series]
    return tuple(dict.fromkeys(("elapsed_s", *drawn)))


def over_time() -> list[dict[str, object]]:
    """The charts over time, as a page's script reads them."""
    return [asdict(chart) for chart in OVER_TIME]


def of_result(result: Result) -> list[dict[str, object]]:
    """The charts of a result's own figures, as a page's script reads them."""
    return [asdict(chart) for make in OF_RESULT for chart in make(result)]


def scaling(result: Result) -> Iterator[FigureChart]:
    """How the drain rate grows with partitions (or with instances, where only those differ), and
    the law that was fitted to it.
    """
    if not result.scaling:
        return
    for sink in dict.fromkeys(point["sink"] for point in result.scaling["points"]):
        points = [point for point in result.scaling["points"] if point["sink"] == sink]
        by: Workers = (
            "partitions" if len({one["partitions"] for one in points}) > 1 else "instances"
        )
        if len({point[by] for point in points}) > 1:
            law = result.scaling["law"].get(sink) if by == "partitions" else None
            yield _scaling_chart(f"Scaling of the {sink} sink", by, points, law)


def _scaling_chart(
    title: str, by: Workers, points: Sequence[PointRow], law: LawRow | None
) -> FigureChart:
    other: Workers = "instances" if by == "partitions" else "partitions"
    x = sorted({point[by] for point in points})
    groups = sorted({point[other] for point in points})
    rates = {(point[other], point[by]): point["rate_per_s"] for point in points}
    base = next(rates[group, x[0]] for group in groups if (group, x[0]) in rates)
    values: dict[str, Sequence[float | None]] = {
        f"measured_{group}": [rates.get((group, at)) for at in x] for group in groups
    }
    lines = [
        ChartLine(f"measured_{group}", f"{group} {other if group > 1 else other[:-1]}", colour)
        for colour, group in enumerate(groups, start=1)
    ]
    values["linear"] = [base * at / x[0] for at in x]
    lines.append(ChartLine("linear", "linear", 6))
    if law:
        values["law"] = [base * gain_at(at / x[0], law) for at in x]
        lines.append(ChartLine("law", "Universal Scalability Law", 5))
    return FigureChart(title, "events/s", by, x, tuple(lines), values)


def capacity(result: Result) -> Iterator[FigureChart]:
    """The curve of a search: latency, throughput and cost at each rate; for pipelines that differ
    in size, the rate that each of them holds.
    """
    return _of_searches(result.capacity, result.capacities)


def so_far(
    only: SearchSummary | None, compared: ComparisonSummary | None
) -> list[dict[str, object]]:
    """The charts of searches that are still going on, for a page's script."""
    return [asdict(chart) for chart in _of_searches(only, compared)]


def _of_searches(
    only: SearchSummary | None, compared: ComparisonSummary | None
) -> Iterator[FigureChart]:
    if compared is not None and compared["size"] is not None:
        yield _capacity_by_size(compared, compared["size"])
    for of, found in searches(only, compared):
        yield from search_charts(found, f" ({of})" if of else "")


def _capacity_by_size(compared: ComparisonSummary, by: Size) -> FigureChart:
    found = sorted(compared["searches"], key=lambda one: one[by])
    x = [one[by] for one in found]
    held = [one["search"]["low_per_s"] for one in found]
    failed = [one["search"]["high_per_s"] for one in found]
    lines = [ChartLine("held", "held", 1), ChartLine("failed", "failed", 2)]
    values: dict[str, Sequence[float | None]] = {"held": held, "failed": failed}
    base, law = held[0], compared["law"]
    if base and law:
        lines.append(ChartLine("law", "Universal Scalability Law", 5))
        values["law"] = [base * gain_at(at / x[0], law) for at in x]
    return FigureChart("Capacity by size", "events/s", by, x, tuple(lines), values)


def search_charts(found: SearchSummary, of: str = "") -> Iterator[FigureChart]:
    """The curve of a search so far; `of` is appended to each title."""
    values = curve(found["probes"])
    rates = [rate for rate in values["rate_per_s"] if rate is not None]
    if not rates:
        return
    low, high = found["held_per_s"], found["failed_per_s"]
    ends = f" Held: {low:,.0f}/s." if low is not None else ""
    ends += f" Failed: {high:,.0f}/s." if high is not None else ""
    bend = knee(values)
    p99_ms = zip(rates, values["p99_ms"], strict=True)
    at_knee = [ms if rate == bend else None for rate, ms in p99_ms]
    latency = (
        ChartLine("p50_ms", "p50", 3),
        ChartLine("p99_ms", "p99", 1),
        ChartLine("p99_9_ms", "p99.9", 2),
    )
    yield FigureChart(
        f"Latency by rate{of}",
        "ms",
        "events/s",
        rates,
        (*latency, ChartLine("knee", "knee", 4, points=True)),
        {line.key: values[line.key] for line in latency} | {"knee": at_knee},
        note=f"Of each rate its longest probe.{ends}",
        log=True,
    )
    yield FigureChart(
        f"Throughput by rate{of}",
        "events/s",
        "events/s",
        rates,
        (ChartLine("delivered_per_s", "came out", 2), ChartLine("rate_per_s", "offered", 6)),
        {name: values[name] for name in ("delivered_per_s", "rate_per_s")},
    )
    if any(value is not None for value in values["cores"]):
        yield FigureChart(
            f"Processors by rate{of}",
            "cores",
            "events/s",
            rates,
            (ChartLine("cores", "system under test", 4),),
            {"cores": values["cores"]},
        )


#: What makes a result's own charts; each yields those that the result has figures for.
OF_RESULT: tuple[Callable[[Result], Iterator[FigureChart]], ...] = (scaling, capacity)
