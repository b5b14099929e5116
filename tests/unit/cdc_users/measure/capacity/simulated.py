"""Pipelines in simulated time: a queue before a worker whose rate is known, so that a search can be
judged by the truth.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from cdc_users.measure.capacity.probe import (
    BacklogSeries,
    ProbeFigures,
    hopeless,
    judge_probe,
)
from cdc_users.measure.capacity.search import (
    SearchAnswer,
    SearchPlan,
    Trial,
    TrialOutcome,
    next_trial,
)
from cdc_users.measure.judgement.backlog import ProgressSample

TICK_S = 0.1
LIMIT_S = 1.0
#: Events a second that a worker takes, by the seconds since the world began and since the load did.
Capacity = Callable[[float, float], float]


def steady(rate_per_s: float) -> Capacity:
    """A worker that takes exactly so many."""
    return lambda _world_s, _load_s: rate_per_s


def stalling(rate_per_s: float, *, every_s: float, for_s: float) -> Capacity:
    """A worker that stands still now and then."""
    return lambda world_s, _load_s: 0.0 if world_s % every_s < for_s else rate_per_s


def tiring(fresh_per_s: float, tired_per_s: float, *, after_s: float) -> Capacity:
    """A worker that is slower once it has been at work for a while."""
    return lambda _world_s, load_s: fresh_per_s if load_s < after_s else tired_per_s


@dataclass
class SimulatedPipeline:
    """A generator with a ceiling, a queue, and a worker; its figures are noisy as real ones are."""

    capacity: Capacity
    seed: int = 0
    noise: float = 0.02
    generator_per_s: float = math.inf
    #: What more lanes do to the generator's ceiling.
    more_lanes: float = 1.0
    lag_known: bool = True
    slo: bool = True
    world_s: float = 0.0
    _random: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self.world_s = self._random.uniform(0, 100)

    def probe(self, plan: SearchPlan, trial: Trial) -> TrialOutcome:
        """Carry out one probe, judge it as a real one, and drain."""
        began_s, duration_s = self.world_s, plan.confirm_s if trial.long else plan.probe_s
        self._load(trial.rate_per_s, plan.warm_up_s, 0.0, 1.0)
        more = self.more_lanes if trial.repeat else 1.0
        looks, late, cut = self._load(trial.rate_per_s, duration_s, plan.warm_up_s, more)
        ceiling = self.generator_per_s * more
        figures = ProbeFigures(
            trial.rate_per_s,
            looks,
            backlogs={"topic": self._topic(looks, trial.rate_per_s)},
            slo=["end_to_end.p99 < 1s, but it is more"] if self.slo and late else [],
            generator=["the generator was behind"] if trial.rate_per_s > ceiling else [],
            cut=cut,
        )
        judged = judge_probe(figures)
        self.world_s += 0.5
        return TrialOutcome(
            trial, judged.held, judged.delivered_per_s, self.world_s - began_s, judged.reason
        )

    def _topic(self, looks: list[ProgressSample], rate_per_s: float) -> BacklogSeries:
        at_s = [look.elapsed_s for look in looks]
        waiting = [float(look.backlog) for look in looks]
        return BacklogSeries(at_s, waiting, rate_per_s, known=self.lag_known)

    def _load(
        self, rate_per_s: float, duration_s: float, load_s: float, more: float
    ) -> tuple[list[ProgressSample], bool, str]:
        """Looks once a second, whether the p99 is over the limit, and why it was given up."""
        looks: list[ProgressSample] = []
        due = sent = out = 0.0
        over = total = 0.0
        cut = ""
        ticks, jitter_s = round(duration_s / TICK_S), self._random.uniform(0, 0.2)
        for tick in range(ticks):
            now_s = tick * TICK_S
            due += rate_per_s * TICK_S
            sent = min(due, sent + self.generator_per_s * more * TICK_S)
            per_s = self.capacity(self.world_s, load_s + now_s)
            done = max(0.0, self._random.gauss(per_s, self.noise * per_s)) * TICK_S
            out = min(sent, out + done)
            late_s = (due - out) / rate_per_s
            total, over = total + 1, over + (late_s > LIMIT_S)
            self.world_s += TICK_S
            if now_s + jitter_s >= len(looks) + 1:
                looks.append(ProgressSample(now_s, round(sent), round(out), round(due)))
                cut = hopeless(looks)
                if cut:
                    break
        while sent - out > 0.5:  # the drain
            out += self.capacity(self.world_s, load_s + duration_s) * TICK_S
            self.world_s += TICK_S
        return looks, over > 0.01 * total, cut


PLAN = SearchPlan(
    from_per_s=200,
    most_per_s=1e6,
    probe_s=20,
    confirm_s=60,
    warm_up_s=5,
    precision=0.03,
    budget_s=1800,
)


def searched(
    pipeline: SimulatedPipeline, plan: SearchPlan = PLAN
) -> tuple[SearchAnswer, list[TrialOutcome]]:
    """Search a simulated pipeline to the end."""
    outcomes: list[TrialOutcome] = []
    for _ in range(200):
        following = next_trial(plan, outcomes)
        if isinstance(following, SearchAnswer):
            return following, outcomes
        outcomes.append(pipeline.probe(plan, following))
    raise AssertionError("the search does not end")
