"""Predictions from a search alone: how long a pipeline takes to catch up after a stop, and how fast
held-back WAL fills a disk. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cdc_users.measure.judgement.backlog import catch_up_time_s
from cdc_users.measure.judgement.search_summary import PredictedFigure


@dataclass(frozen=True, slots=True)
class Prediction:
    """A predicted figure, and what was then measured (None: nothing was).

    A `bound` is an upper limit and not an estimate, so it has no error.
    """

    predicted: float | None
    measured: float | None = None
    bound: bool = False

    @property
    def error(self) -> float | None:
        """The prediction's relative error against the measured figure."""
        if self.bound or self.predicted is None or not self.measured:
            return None
        return round(self.predicted / self.measured - 1, 4)

    def to_json(self) -> PredictedFigure:
        """Plain data."""
        return {"predicted": self.predicted, "measured": self.measured, "error": self.error}


def catch_up_s(outage_s: float, rate_per_s: float, capacity_per_s: float | None) -> float | None:
    """How long a pipeline needs to catch up after an outage, from the outage's end; None where it
    never does.
    """
    time_s = catch_up_time_s(outage_s, rate_per_s, capacity_per_s)
    return None if time_s is None else round(time_s, 2)


def fills_s(disk_bytes: float, wal_bytes_per_s: float | None) -> float | None:
    """How long held-back WAL takes to fill a disk; None where no WAL is written."""
    return round(disk_bytes / wal_bytes_per_s, 1) if wal_bytes_per_s else None


def held_back_per_s(
    at_s: Sequence[float], lag_bytes: Sequence[float], outage_s: float
) -> float | None:
    """How fast a slot's lag grew while nobody read the slot: the highest lag, compared with the lag
    one outage before. None where the samples do not span the outage.
    """
    if not lag_bytes or outage_s <= 0:
        return None
    top = max(range(len(lag_bytes)), key=lambda number: lag_bytes[number])
    began_s = at_s[top] - outage_s
    before = [number for number in range(top) if at_s[number] <= began_s]
    if not before:
        return None
    first = before[-1]
    return round((lag_bytes[top] - lag_bytes[first]) / (at_s[top] - at_s[first]), 1)
