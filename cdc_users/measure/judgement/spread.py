"""How far equal steps of one run lie apart: a difference between unequal steps must be larger to
mean anything. Pure.
"""

from __future__ import annotations

import re
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cdc_users.measure.judgement.result import StepResult

ROUND = re.compile(r"-round-\d+$")


@dataclass(frozen=True, slots=True)
class Spread:
    """The figures of equal steps: the least, the middle one, and the most."""

    least: float
    median: float
    most: float

    @property
    def share(self) -> float:
        """Their range as a share of the median."""
        return (self.most - self.least) / self.median if self.median else 0.0


def spread_of(figures: Sequence[float]) -> Spread | None:
    """The spread of two figures or more."""
    if len(figures) < 2:
        return None
    return Spread(min(figures), statistics.median(figures), max(figures))


def spread_notes(steps: Sequence[StepResult]) -> list[str]:
    """One sentence for each configuration that was run several times over."""
    sentences = []
    for name, rates in _rates(steps).items():
        if (spread := spread_of(rates)) is not None:
            sentences.append(
                f"{name} in {len(rates)} rounds: {spread.least:,.0f} to {spread.most:,.0f}/s,"
                f" median {spread.median:,.0f}/s; they are {spread.share:.0%} apart"
            )
    return sentences


def _rates(steps: Sequence[StepResult]) -> Mapping[str, list[float]]:
    """The rates of repeated steps, by their name without the round."""
    found: dict[str, list[float]] = {}
    for step in steps:
        rate = step.drain_rate_per_s if step.mode == "drain" else step.throughput_per_s
        if rate is not None and ROUND.search(step.name) and not step.warm_up:
            found.setdefault(ROUND.sub("", step.name), []).append(rate)
    return found
