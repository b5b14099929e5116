"""The figures that people look for first, as tiles: the present ones while a run goes on, then the
run's.

Pure.
"""

from __future__ import annotations

from dataclasses import dataclass

from cdc_users.measure.judgement.result import Result
from cdc_users.measure.latency.histogram import LatencyHistogram
from cdc_users.report import quantity
from cdc_users.report.answer import largest
from cdc_users.view.concern import verdict
from cdc_users.view.run_view import RunView, current, latest, series

POINTS = (50, 95, 99)


@dataclass(frozen=True, slots=True)
class HeadlineTile:
    """One figure: its label, its text, and a line below it; an alarming figure shows a problem.

    A `figure` of an INVALID run is struck through.
    """

    label: str
    text: str
    below: str = ""
    alarming: bool = False
    figure: bool = True


def headline(run: RunView) -> list[HeadlineTile]:
    """The tiles of a run at present."""
    tile = HeadlineTile("verdict", verdict(run), alarming=_is_bad(verdict(run)), figure=False)
    if run.result is not None:
        return [tile, *_of_result(run.result)]
    return [tile, *_so_far(run)]


def _is_bad(verdict: str) -> bool:
    return verdict not in ("PASS", "good so far", "warnings so far")


def _so_far(run: RunView) -> list[HeadlineTile]:
    now, state = latest(run), current(run)
    if now is None:
        return []
    whole = series(run).histogram("end_to_end")
    seen = run.look.sink.steps.get(state.number) if state is not None else None
    twice = seen.duplicated if seen is not None else 0
    return [
        HeadlineTile(
            "rate delivered",
            quantity.per_second(now.delivered_per_s),
            f"of {quantity.per_second(now.offered_per_s)} offered",
        ),
        *(
            HeadlineTile(
                f"p{point} end to end, last 10 s",
                _percentile(run.lately, point),
                f"{_percentile(whole, point)} in this step",
            )
            for point in POINTS
        ),
        HeadlineTile("backlog", quantity.count(now.backlog), "sent, not delivered"),
        HeadlineTile(
            "duplicated", quantity.count(twice), "lost: known after the audit", alarming=twice > 0
        ),
    ]


def _percentile(histogram: LatencyHistogram, point: int) -> str:
    value_us = histogram.percentile_us(point)
    return quantity.duration(None if value_us is None else value_us / 1000)


def _of_result(result: Result) -> list[HeadlineTile]:
    step = largest(result)
    if step is None:
        return []
    latency = step.latency_ms.get("end_to_end", {})
    drained = step.drain_rate_per_s is not None
    rate = step.drain_rate_per_s if drained else step.throughput_per_s
    return [
        HeadlineTile(
            "drain rate" if drained else "throughput", quantity.per_second(rate), step.name
        ),
        *(
            HeadlineTile(
                f"p{point} end to end", quantity.duration(latency.get(f"p{point}")), step.name
            )
            for point in POINTS
        ),
        HeadlineTile(
            "delivered",
            quantity.count(_total(result, "delivered")),
            f"of {quantity.count(_total(result, 'sent'))} sent",
            figure=False,
        ),
        HeadlineTile(
            "lost / duplicated",
            f"{_lost(result)} / {quantity.count(_total(result, 'duplicated'))}",
            "in the whole run",
            alarming=_total(result, "lost") + _total(result, "duplicated") > 0,
            figure=False,
        ),
    ]


def _lost(result: Result) -> str:
    complete = all(step.ledger.get("fences") == "complete" for step in result.steps)
    return quantity.count(_total(result, "lost")) if complete else "unseen"


def _total(result: Result, name: str) -> int:
    return sum(int(step.ledger.get(name) or 0) for step in result.steps)
