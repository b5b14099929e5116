"""Searches of several pipelines under one workload, side by side: what more partitions or instances
gain, and how well the smaller ones predict the largest. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cdc_users.measure.judgement.scaling import (
    FEWEST_POINTS,
    Scalability,
    fit,
    fit_of_few,
    gain_at,
)
from cdc_users.measure.judgement.search_summary import (
    ComparedSearch,
    ComparisonSummary,
    LargestRow,
    Size,
)

#: With this many smaller sizes, the law for the prediction has both its parameters.
FOR_BOTH_PARAMETERS = 3


@dataclass(frozen=True, slots=True)
class SizedRate:
    """The highest confirmed rate (events a second) at a size."""

    size: int
    rate_per_s: float


def compare(searches: Sequence[ComparedSearch]) -> ComparisonSummary:
    """Set searches side by side. Only intervals become points of a curve: an "at least" does not
    measure the pipeline's own limit.
    """
    by = _size_of(searches)
    points = _points(searches, by) if by else []
    law = fit([one.size for one in points], [one.rate_per_s for one in points]) if points else None
    return {
        "searches": searches,
        "size": by,
        "law": None if law is None else law.to_json(),
        "law_needs_points": FEWEST_POINTS,
        "largest": None if by is None else _largest(points, by),
    }


def _size_of(searches: Sequence[ComparedSearch]) -> Size | None:
    """The size in which the pipelines differ; None where they differ in anything else."""
    if len({one["capture"] for one in searches}) > 1:
        return None
    partitions = len({one["partitions"] for one in searches})
    instances = len({one["instances"] for one in searches})
    if partitions > 1 and instances == 1:
        return "partitions"
    return "instances" if instances > 1 and partitions == 1 else None


def _points(searches: Sequence[ComparedSearch], by: Size) -> list[SizedRate]:
    found = [
        SizedRate(one[by], one["search"]["low_per_s"])
        for one in searches
        if one["search"]["kind"] == "interval" and one["search"]["low_per_s"]
    ]
    return sorted(found, key=lambda one: one.size)


def _largest(points: Sequence[SizedRate], by: Size) -> LargestRow | None:
    """The largest size as the smaller ones predict it; None below two sizes."""
    if len(points) < 2:
        return None
    *smaller, largest = points
    law, words = _law_of(smaller)
    base = smaller[0]
    predicted = base.rate_per_s * gain_at(largest.size / base.size, law.to_json())
    return {
        "of": f"{largest.size} {by}",
        "by": words,
        "predicted_per_s": round(predicted, 1),
        "measured_per_s": largest.rate_per_s,
        "error": round(predicted / largest.rate_per_s - 1, 4),
    }


def _law_of(smaller: Sequence[SizedRate]) -> tuple[Scalability, str]:
    """The law with as many parameters as the points allow: none, contention alone (Amdahl's), or
    both.
    """
    sizes, rates = [one.size for one in smaller], [one.rate_per_s for one in smaller]
    if len(smaller) == 1:
        return Scalability(0.0, 0.0, None), "in proportion to the smallest"
    law = fit_of_few(sizes, rates, coherency=len(smaller) >= FOR_BOTH_PARAMETERS)
    name = (
        "the Universal Scalability Law" if len(smaller) >= FOR_BOTH_PARAMETERS else "Amdahl's law"
    )
    return law, f"{name}, fitted to the {len(smaller)} smaller ones"
