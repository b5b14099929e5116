"""Whether a probe held, by its deliveries, its backlogs and the SLO. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cdc_users.measure.judgement.backlog import (
    ProgressSample,
    backlog_ages_s,
    pair_slopes,
    settled_from,
)

#: The backlog may grow by less than this share of the offered rate (docs/measurement.md).
GROWTH_SHARE = 0.005
#: A smaller trend counts too, if nearly all pairs of looks agree on it.
CERTAIN_SHARE, CERTAIN, CERTAIN_GROWN_S = 0.0005, 0.8, 0.025
#: A trend counts if the pairs of looks that show it outnumber the opposite ones by this share.
AGREED = 0.4
#: What grew or is missing by less than this, in seconds of load, says nothing: a busy machine takes
#: the processor away for as long, and in a probe of a few seconds that is more than a percent.
GROWN_S = 0.1
#: The share of the offered events that must come out.
DELIVERED_SHARE = 0.99
FEWEST_LOOKS = 3
#: A backlog that is worked off in gulps has a trend only over this many gulps or more.
GULPS = 2
FEW_LOOKS = (
    "too few looks at the backlog to judge it by; hold each rate for longer (--probe), or leave the"
    " harness more of the machine"
)
#: A probe is cut short when its newest events are this late, and later at each of the last looks.
HOPELESS_S, HOPELESS_LOOKS, HOPELESS_SHARE = 3.0, 5, 0.1


@dataclass(frozen=True, slots=True)
class BacklogSeries:
    """The backlog of one place over time: `at_s` and what waited then, and the place's throughput
    in the same unit. `known` is false where the backlog could not be measured; `gulp_s` is the
    longest time between two gulps of whatever works it off.
    """

    at_s: Sequence[float]
    waiting: Sequence[float]
    through_per_s: float
    known: bool = True
    gulp_s: float = 0.0


@dataclass(frozen=True, slots=True)
class ProbeFigures:
    """What a probe showed.

    `slo` has a sentence for each condition that the probe does not meet, `generator` one for each
    reason why the generator did not offer its load; `cut` says why the probe was cut short.
    """

    rate_per_s: float
    looks: Sequence[ProgressSample]
    backlogs: Mapping[str, BacklogSeries] = field(default_factory=dict)
    slo: Sequence[str] = ()
    generator: Sequence[str] = ()
    cut: str = ""
    failed: int = 0
    drained: bool = True


@dataclass(frozen=True, slots=True)
class ProbeJudgement:
    """Whether a probe held (None: the generator could not offer the rate), the first reason if it
    did not, and the growth of each place's backlog as a share of its throughput.
    """

    held: bool | None
    reason: str
    delivered_per_s: float
    growth: Mapping[str, float]


def judge_probe(figures: ProbeFigures) -> ProbeJudgement:
    """Judge a probe by its figures."""
    growth = {
        place: round(trend_share(series), 4)
        for place, series in figures.backlogs.items()
        if series.known
    }
    delivered_per_s = _delivered_per_s(figures.looks)
    behind = _behind(figures.looks)
    if figures.generator and not _pipeline_is_behind(figures, behind):
        return ProbeJudgement(None, figures.generator[0], delivered_per_s, growth)
    if len(_settled(figures.looks)) < FEWEST_LOOKS and not figures.cut:
        return ProbeJudgement(None, FEW_LOOKS, delivered_per_s, growth)
    reasons = [*_load_reasons(figures, behind), *_backlog_reasons(figures, growth), *figures.slo]
    return ProbeJudgement(not reasons, next(iter(reasons), ""), delivered_per_s, growth)


def _pipeline_is_behind(figures: ProbeFigures, behind: float) -> bool:
    """Whether not even the events that were sent came out: then a late generator is no excuse."""
    sent = [ProgressSample(look.elapsed_s, look.sent, look.delivered) for look in figures.looks]
    return not figures.drained or bool(hopeless(sent)) or (behind > 0 and _behind(sent) > 0)


def _load_reasons(figures: ProbeFigures, behind: float) -> list[str]:
    rate = figures.rate_per_s
    reasons = [figures.cut] if figures.cut else []
    if figures.failed:
        reasons.append(f"{figures.failed} arrivals failed")
    if behind > 0 and not figures.cut:
        reasons.append(
            f"the backlog grew by {behind * rate:,.1f} events/s ({behind:.1%} of what was offered)"
        )
    if not reasons:
        reasons += _shortage(figures.looks)
    if not figures.drained:
        reasons.append("not everything arrived within --drain-timeout")
    return reasons


def _shortage(looks: Sequence[ProgressSample]) -> list[str]:
    """Says so if less came out than must."""
    offered_per_s = _slope(looks, lambda look: look.expected)
    out_per_s = _slope(looks, lambda look: look.delivered)
    if offered_per_s <= 0 or out_per_s >= DELIVERED_SHARE * offered_per_s:
        return []
    missing_s = (1 - out_per_s / offered_per_s) * _span_s(_settled(looks))
    if missing_s <= GROWN_S:
        return []
    return [
        f"{out_per_s:,.0f} of {offered_per_s:,.0f} events/s came out"
        f" ({out_per_s / offered_per_s:.1%})"
    ]


def _backlog_reasons(figures: ProbeFigures, growth: Mapping[str, float]) -> list[str]:
    unknown = [place for place, series in figures.backlogs.items() if not series.known]
    reasons = [f"the backlog of the {place} is not known, and so not bounded" for place in unknown]
    return reasons + [
        f"the backlog of the {place} grew by {share:.1%} of what goes through it"
        for place, share in growth.items()
        if share > GROWTH_SHARE
    ]


def hopeless(looks: Sequence[ProgressSample]) -> str:
    """Why a running probe can no longer hold its rate; empty while it may."""
    last = list(looks)[-HOPELESS_LOOKS:]
    if len(last) < HOPELESS_LOOKS:
        return ""
    ages_s = backlog_ages_s(looks)[-HOPELESS_LOOKS:]
    span_s = _span_s(last)
    growing = bool(np.all(np.diff(ages_s) > 0)) and span_s > 0
    share = (ages_s[-1] - ages_s[0]) / span_s if growing else 0.0
    if ages_s[-1] < HOPELESS_S or share < HOPELESS_SHARE:
        return ""
    due = last[-1].expected - last[0].expected
    return (
        f"the backlog grew by {share * due / span_s:,.0f} events/s ({share:.0%} of what was"
        f" offered), and the newest event came {ages_s[-1]:.1f} s late"
    )


def slo_spent(over: int, planned: int, percentile: float) -> bool:
    """Whether so many events are over a limit already that the percentile of all planned events
    cannot be below it any more.
    """
    return over > planned * (1 - percentile / 100)


def trend_share(series: BacklogSeries) -> float:
    """The growth of a backlog as a share of its throughput; 0 where there is no certain trend:
    between two gulps every backlog rises.
    """
    if series.through_per_s <= 0:
        return 0.0
    at_s = np.asarray(series.at_s, dtype=np.float64)
    begin = settled_from(len(at_s))
    if len(at_s) > begin and at_s[-1] - at_s[begin] < GULPS * series.gulp_s:
        return 0.0
    waiting_s = np.asarray(series.waiting, dtype=np.float64) / series.through_per_s
    return _trend(*thinned(at_s[begin:], waiting_s[begin:]))


def thinned(
    at_s: NDArray[np.float64], values: NDArray[np.float64], most: int = 60
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Means over equal spans of time. A backlog that is worked off in gulps (a slot whose reader
    confirms now and then) has a trend only over several of them.
    """
    if len(at_s) <= most:
        return at_s, values
    parts = np.array_split(np.arange(len(at_s)), most)
    return (
        np.array([at_s[part].mean() for part in parts]),
        np.array([values[part].mean() for part in parts]),
    )


def _settled(looks: Sequence[ProgressSample]) -> Sequence[ProgressSample]:
    return looks[settled_from(len(looks)) :]


def _span_s(looks: Sequence[ProgressSample]) -> float:
    return looks[-1].elapsed_s - looks[0].elapsed_s if len(looks) > 1 else 0.0


def _behind(looks: Sequence[ProgressSample]) -> float:
    """The share of the offered events that stays behind, by the trend of the backlog's age."""
    ages_s = backlog_ages_s(looks)
    begin = settled_from(len(looks))
    at_s = np.array([look.elapsed_s for look in looks], dtype=np.float64)
    return _trend(at_s[begin:], ages_s[begin:])


def _trend(at_s: NDArray[np.float64], values_s: NDArray[np.float64]) -> float:
    """The median slope of all pairs (Theil and Sen); 0 unless the pairs agree on it (Kendall)."""
    if len(at_s) < FEWEST_LOOKS:
        return 0.0
    slopes = pair_slopes(at_s, values_s)
    if not len(slopes):
        return 0.0
    growth, agreed = float(np.median(slopes)), float(np.sign(slopes).mean())
    grown_s = growth * float(at_s[-1] - at_s[0])
    if growth > CERTAIN_SHARE and agreed > CERTAIN and grown_s > CERTAIN_GROWN_S:
        return growth
    if growth <= GROWTH_SHARE or grown_s <= GROWN_S or agreed <= AGREED:
        return 0.0
    return growth


def _delivered_per_s(looks: Sequence[ProgressSample]) -> float:
    """Delivered events a second: the smaller of the median rate and the mean rate, because the
    median hides the moments in which a pipeline stands still.
    """
    settled = _settled(looks)
    span_s = _span_s(settled)
    if span_s <= 0:
        return 0.0
    whole_per_s = (settled[-1].delivered - settled[0].delivered) / span_s
    return min(whole_per_s, _slope(looks, lambda look: look.delivered))


def _slope(looks: Sequence[ProgressSample], read: Callable[[ProgressSample], int]) -> float:
    settled = _settled(looks)
    if len(settled) < 2:
        return 0.0
    at_s = np.array([look.elapsed_s for look in settled], dtype=np.float64)
    counts = np.array([read(look) for look in settled], dtype=np.float64)
    slopes = pair_slopes(at_s, counts)
    return float(np.median(slopes)) if len(slopes) else 0.0
