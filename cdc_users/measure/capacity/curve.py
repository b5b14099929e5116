"""The curve of a search: the latency at each rate, and the rate from which it bends up. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final, Literal, get_args

from cdc_users.measure.judgement.search_summary import ProbeRow

CurveColumn = Literal["rate_per_s", "delivered_per_s", "p50_ms", "p99_ms", "p99_9_ms", "cores"]
COLUMNS: Final[tuple[CurveColumn, ...]] = get_args(CurveColumn)
#: Fewer points show no shape.
FEWEST_POINTS = 4
#: A straight line is this far from itself, in logarithms, by its arithmetic alone.
ROUNDING = 1e-9


def curve(probes: Sequence[ProbeRow]) -> dict[str, list[float | None]]:
    """The probes of a search, lowest rate first; for each rate its longest probe."""
    by_rate: dict[float, ProbeRow] = {}
    for probe in sorted(probes, key=lambda one: (one["rate_per_s"], one["long"])):
        by_rate[probe["rate_per_s"]] = probe
    return {name: [probe.get(name) for probe in by_rate.values()] for name in COLUMNS}


def knee(values: Mapping[str, Sequence[float | None]]) -> float | None:
    """The rate from which on the p99 goes up steeply: the point of the curve that lies furthest
    below the straight line between its ends, in logarithms of both (Satopaa et al., "Finding a
    Kneedle in a Haystack", 2011). None where the curve has too few points, or does not bend.
    """
    points = [
        (math.log(rate), math.log(ms))
        for rate, ms in zip(values["rate_per_s"], values["p99_ms"], strict=True)
        if rate and ms and min(rate, ms) > 0
    ]
    if len(points) < FEWEST_POINTS:
        return None
    (x0, y0), (x1, y1) = points[0], points[-1]
    if y1 <= y0 or x1 <= x0:
        return None
    depths = [(y0 + (x - x0) / (x1 - x0) * (y1 - y0) - y, x) for x, y in points]
    depth, at = max(depths)
    if depth <= ROUNDING:
        return None
    return min(
        (rate for rate in values["rate_per_s"] if rate), key=lambda rate: abs(math.log(rate) - at)
    )
