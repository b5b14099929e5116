"""The search for the highest rate that holds: a geometric bracket, then bisection of the logarithm,
then long confirmations. Pure.

`next_trial` takes everything that was tried and returns the next trial or the answer, so a search
can be repeated and tested without a pipeline. Short probes are quick and may be wrong; a long one
decides. Once a long probe has contradicted a short one, the search no longer relies on short ones
(docs/scenarios/capacity.md).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

#: The bracket grows by this factor until a rate fails, and shrinks by it until one holds.
FACTOR = 2.0
#: The lowest rate that is tried, as a share of the start rate.
LOWEST_SHARE = 0.25
#: What a probe takes beside its load: lanes are informed, the pipeline drains, samples arrive.
OVERHEAD_S = 3.0
#: The number of long probes that must hold the answer's lower end, and fail at its upper end: a
#: machine that stands still for a second lets any rate fail once.
CONFIRMATIONS = 2
#: Significant digits of a rate that is tried.
DIGITS = 4

LimitName = Literal["most", "ceiling", "generator"]
AnswerKind = Literal["interval", "at_least", "nothing_holds", "undecided"]


@dataclass(frozen=True, slots=True)
class SearchPlan:
    """What is searched: rates in events a second, times in seconds.

    `most_per_s` is the highest rate that is tried. `limit` says why: the user's --most, or the
    harness's own ceiling.
    """

    from_per_s: float
    most_per_s: float
    probe_s: float
    confirm_s: float
    warm_up_s: float
    precision: float
    budget_s: float
    limit: LimitName = "most"
    #: Below this rate a probe has too few events for the percentiles that the SLO names.
    needed_per_s: float = 0.0

    def cost_s(self, *, long: bool) -> float:
        """The time of one probe in seconds, with its warm-up and drain."""
        return self.warm_up_s + (self.confirm_s if long else self.probe_s) + OVERHEAD_S

    @property
    def lowest_per_s(self) -> float:
        """The lowest rate that is tried."""
        return max(self.from_per_s * LOWEST_SHARE, min(self.needed_per_s, self.from_per_s))

    @property
    def least_s(self) -> float:
        """The least time that a search takes: one probe and its confirmation."""
        return self.cost_s(long=False) + self.cost_s(long=True)


@dataclass(frozen=True, slots=True)
class Trial:
    """One probe to make; a `long` one decides. `repeat` counts how often the generator got more
    lanes because it could not offer the rate.
    """

    rate_per_s: float
    long: bool = False
    repeat: int = 0


@dataclass(frozen=True, slots=True)
class TrialOutcome:
    """The outcome of a probe: it held, it failed, or (None) the generator could not offer the rate.

    `delivered_per_s` is the rate of deliveries while the load was held.
    """

    trial: Trial
    held: bool | None
    delivered_per_s: float
    took_s: float
    reason: str = ""


@dataclass(frozen=True, slots=True)
class SearchAnswer:
    """The answer of a search.

    An `interval` has both ends: the highest rate that was confirmed, and the lowest that failed.
    `at_least` has only the lower end, for the reason in `limit`. `why` is the failure of the upper
    end, or why there is no answer.
    """

    kind: AnswerKind
    low_per_s: float | None = None
    high_per_s: float | None = None
    confirmed: int = 0
    limit: LimitName | None = None
    why: str = ""

    @property
    def width(self) -> float | None:
        """The interval's width as a share of its lower end; None where an end is missing."""
        if self.low_per_s is None or self.high_per_s is None:
            return None
        return self.high_per_s / self.low_per_s - 1


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the outcomes so far say: the rates that held and failed, those from long probes, and
    whether short probes can still be relied on.
    """

    holds: frozenset[float]
    fails: frozenset[float]
    long_holds: tuple[float, ...]
    long_fails: tuple[float, ...]
    trusted: bool

    @classmethod
    def of(cls, outcomes: Sequence[TrialOutcome]) -> Evidence:
        """Weigh the outcomes; a long probe overrules a short one."""

        def rates(*, long: bool, held: bool) -> tuple[float, ...]:
            return tuple(
                one.trial.rate_per_s
                for one in outcomes
                if one.held is held and one.trial.long is long
            )

        long_holds, long_fails = rates(long=True, held=True), rates(long=True, held=False)
        holds, fails = rates(long=False, held=True), rates(long=False, held=False)
        lowest_fail = min(long_fails, default=math.inf)
        highest_hold = max(long_holds, default=0.0)
        trusted = max(holds, default=0.0) < lowest_fail and (
            min(fails, default=math.inf) > highest_hold
        )
        return cls(
            holds=frozenset(long_holds) | frozenset(holds if trusted else ()),
            fails=frozenset(long_fails) | {rate for rate in fails if rate > highest_hold},
            long_holds=long_holds,
            long_fails=long_fails,
            trusted=trusted,
        )

    @property
    def lowest_fail(self) -> float:
        """The lowest rate that failed; infinite if none did."""
        return min(self.fails, default=math.inf)

    @property
    def highest_hold(self) -> float:
        """The highest rate that held; 0 if none did."""
        return max(self.holds, default=0.0)

    @property
    def low(self) -> float | None:
        """The highest rate that held and lies below every one that failed."""
        return max((rate for rate in self.holds if rate < self.lowest_fail), default=None)

    @property
    def high(self) -> float | None:
        """The lowest rate that failed and lies above every one that held."""
        return min((rate for rate in self.fails if rate > self.highest_hold), default=None)

    @property
    def doubtful(self) -> tuple[float, float] | None:
        """The lowest rate that failed and the highest that held, if the former is not above the
        latter: in between the pipeline sometimes holds and sometimes fails.
        """
        ends = (self.lowest_fail, self.highest_hold)
        return ends if self.lowest_fail <= self.highest_hold else None


def next_trial(plan: SearchPlan, outcomes: Sequence[TrialOutcome]) -> Trial | SearchAnswer:
    """What to try after these outcomes, or the answer."""
    weak = [one for one in outcomes if one.held is None]
    repeat = min(1, len(weak))
    if weak and outcomes[-1] is weak[-1] and not weak[-1].trial.repeat:
        return Trial(weak[-1].trial.rate_per_s, weak[-1].trial.long, repeat=1)
    spent_per_s = min((one.trial.rate_per_s for one in weak if one.trial.repeat), default=math.inf)
    return _Search(plan, outcomes, Evidence.of(outcomes), repeat, spent_per_s).decide()


@dataclass(frozen=True, slots=True)
class _Search:
    plan: SearchPlan
    outcomes: Sequence[TrialOutcome]
    evidence: Evidence
    repeat: int
    #: The lowest rate that the generator could not offer even with more lanes.
    spent_per_s: float

    @property
    def generator_spent(self) -> bool:
        """Whether the generator gives up before the pipeline does: below the upper end."""
        return self.spent_per_s < (self.evidence.high or math.inf)

    def decide(self) -> Trial | SearchAnswer:
        low, high = self.evidence.low, self.evidence.high
        if not self.outcomes:
            return self._try(min(self.plan.from_per_s, self.plan.most_per_s))
        if self.generator_spent:
            low = self._within_reach()
            if self.evidence.doubtful is None:
                return self._finish(low, high)
        wanted = self._next_rate(low, high)
        if wanted is not None:
            if wanted < self.plan.lowest_per_s * (1 - 1e-9):
                return self._nothing_holds()
            trial = self._try(wanted)
            if self._affordable(trial, confirmations=3 if low is not None else 1):
                return trial
        return self._finish(low, high)

    def _next_rate(self, low: float | None, high: float | None) -> float | None:
        """The rate that narrows the bracket; None where it is narrow enough."""
        if low is None:
            lowest = min(self.evidence.fails, default=self.plan.from_per_s)
            # Failures above a rate that held at least once have not led down here.
            top = max(self.evidence.long_holds, default=math.inf)
            failed = {rate for rate in self.evidence.long_fails if rate <= top}
            return _rounded(lowest / self._step(len(failed) - 1))
        doubtful = self.evidence.doubtful
        if doubtful is not None and self.generator_spent:
            return self._between(low, doubtful[0])
        if high is None:
            return self._above(low)
        if doubtful is not None:
            return self._between(low, doubtful[0]) or self._between(doubtful[1], high)
        return self._between(low, high)

    def _above(self, low: float) -> float | None:
        top = max(low, max(self.evidence.holds, default=low))
        factor = self._step(len(set(self.evidence.long_holds)) - CONFIRMATIONS)
        return None if top >= self.plan.most_per_s else _up(top, factor, self.plan.most_per_s)

    def _step(self, taken: int) -> float:
        """The factor by which the bracket grows.

        What contradicts a short probe lies mostly beside it, and a long probe costs a minute: so
        the first long step is as wide as the precision, and each further one twice as wide.
        """
        if self.evidence.trusted:
            return FACTOR
        widened = math.log1p(self.plan.precision) * 2.0 ** max(0, taken)
        return math.exp(min(math.log(FACTOR), widened))

    def _between(self, low: float, high: float) -> float | None:
        if high <= low * (1 + self.plan.precision):
            return None
        middle = _rounded(math.sqrt(low * high))
        return middle if low < middle < high else None

    def _finish(self, low: float | None, high: float | None) -> Trial | SearchAnswer:
        """Confirm both ends of the bracket twice, in turn."""
        if low is None:
            return self._no_answer()
        confirmed = self.evidence.long_holds.count(low)
        failed = self._failed_at(high)
        wanted = low if confirmed <= failed else high
        assert wanted is not None
        if min(confirmed, failed) < CONFIRMATIONS and not self._spent_at(wanted):
            trial = Trial(wanted, long=True, repeat=self.repeat)
            if self._affordable(trial):
                return trial
        if not confirmed:
            return SearchAnswer(
                "undecided",
                why=f"the budget of {self.plan.budget_s:g} s ended before {low:g}/s, which held in"
                " a short probe, could be confirmed; raise --budget, or start nearer with --from",
            )
        return self._answer(low, high, confirmed)

    def _failed_at(self, high: float | None) -> float:
        """In how many long probes the upper end failed; infinite where there is none to check, or
        where the generator cannot offer it for so long.
        """
        if high is None or self.generator_spent or self._spent_at(high):
            return math.inf
        return self.evidence.long_fails.count(high)

    def _within_reach(self) -> float | None:
        """The highest rate that held, below every one that failed, and that the generator can offer
        for a long probe.
        """
        offered = set(self.evidence.long_holds)
        offered |= {rate for rate in self.evidence.holds if rate < self.spent_per_s}
        return max((rate for rate in offered if rate < self.evidence.lowest_fail), default=None)

    def _spent_at(self, rate_per_s: float) -> bool:
        """Whether the generator could not hold a rate for a long probe, even with more lanes."""
        return any(
            one.held is None and one.trial == Trial(rate_per_s, long=True, repeat=1)
            for one in self.outcomes
        )

    def _answer(self, low: float, high: float | None, confirmed: int) -> SearchAnswer:
        held = self._delivered_per_s(low)
        if high is None or self.generator_spent:
            limit: LimitName = "generator" if self.generator_spent else self.plan.limit
            short_of_limit = not self.generator_spent and low < self.plan.most_per_s
            if short_of_limit:
                why = f"the budget of {self.plan.budget_s:g} s ended before any rate failed"
                return SearchAnswer("at_least", held, None, confirmed, None, why)
            return SearchAnswer("at_least", held, None, confirmed, limit, self._weakness())
        return SearchAnswer("interval", held, high, confirmed, None, self._failure_of(high))

    def _delivered_per_s(self, low: float) -> float:
        """The rate that the confirmations prove: the rate asked for or, if less came out, the
        lowest rate of deliveries (a probe may fall behind a little and still hold).
        """
        delivered = [
            one.delivered_per_s
            for one in self.outcomes
            if one.trial.long and one.held and one.trial.rate_per_s == low
        ]
        return round(min(low, *delivered), 1)

    def _failure_of(self, rate_per_s: float) -> str:
        """Why a rate failed, as its longest probe says."""
        failed = [
            one for one in self.outcomes if one.held is False and one.trial.rate_per_s == rate_per_s
        ]
        return max(failed, key=lambda one: one.trial.long).reason

    def _weakness(self) -> str:
        return next((one.reason for one in reversed(self.outcomes) if one.held is None), "")

    def _nothing_holds(self) -> SearchAnswer:
        lowest = min(self.evidence.fails)
        return SearchAnswer("nothing_holds", None, lowest, why=self._failure_of(lowest))

    def _no_answer(self) -> SearchAnswer:
        if self.generator_spent:
            return SearchAnswer("undecided", limit="generator", why=self._weakness())
        lowest = min(self.evidence.fails)
        return SearchAnswer(
            "undecided",
            None,
            lowest,
            why=f"the budget of {self.plan.budget_s:g} s ended before any rate held; {lowest:g}/s"
            f" failed: {self._failure_of(lowest)}",
        )

    def _try(self, rate_per_s: float) -> Trial:
        return Trial(rate_per_s, long=not self.evidence.trusted, repeat=self.repeat)

    def _affordable(self, trial: Trial, confirmations: int = 0) -> bool:
        spent_s = sum(one.took_s for one in self.outcomes)
        reserved_s = confirmations * self.plan.cost_s(long=True)
        return spent_s + self.plan.cost_s(long=trial.long) + reserved_s <= self.plan.budget_s


def _up(rate_per_s: float, factor: float, most_per_s: float) -> float:
    """The next rate upwards; one that comes close to the highest rate becomes the highest rate."""
    wanted = rate_per_s * factor
    return most_per_s if wanted * math.sqrt(factor) > most_per_s else _rounded(wanted)


def _rounded(rate_per_s: float) -> float:
    """A rate with four significant digits; more would only look exact."""
    places = DIGITS - 1 - math.floor(math.log10(rate_per_s))
    return round(rate_per_s, places)
