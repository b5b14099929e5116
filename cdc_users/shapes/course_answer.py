"""The answer of a search, from its probes, as result.json holds it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cdc_users.measure.capacity.bottleneck import limit_of, true_rates
from cdc_users.measure.capacity.prediction import (
    Prediction,
    catch_up_s,
    fills_s,
    held_back_per_s,
)
from cdc_users.measure.capacity.probe import ProbeJudgement
from cdc_users.measure.capacity.search import SearchAnswer, Trial, TrialOutcome
from cdc_users.measure.judgement.cost import cores, memory_mb, per_events
from cdc_users.measure.judgement.search_summary import (
    BottleneckRow,
    CostRow,
    PredictionRow,
    ProbeRow,
    RateCost,
)
from cdc_users.options.options import Options
from cdc_users.scenario import StepShown

#: The outage that a prediction assumes if the run makes none.
OUTAGE_S = 60.0


@dataclass(frozen=True, slots=True)
class ProbeRecord:
    """A probe that was made: the trial, its figures, and the judgement."""

    trial: Trial
    shown: StepShown
    judged: ProbeJudgement
    took_s: float

    @property
    def outcome(self) -> TrialOutcome:
        """The outcome, as the search needs it."""
        judged = self.judged
        return TrialOutcome(
            self.trial, judged.held, judged.delivered_per_s, self.took_s, judged.reason
        )


def bottleneck_row(answer: SearchAnswer, made: Sequence[ProbeRecord]) -> BottleneckRow | None:
    """What limits the pipeline at the lowest rate that failed; if none failed, at the highest that
    held.
    """
    rate_per_s = answer.high_per_s or max(
        (one.trial.rate_per_s for one in made if one.judged.held), default=None
    )
    at = [one for one in made if one.trial.rate_per_s == rate_per_s]
    if not at:
        return None
    stages = max(at, key=lambda one: one.trial.long).shown.stages
    if stages is None:
        return None
    limit = limit_of(stages)
    return {
        "stage": limit.stage,
        "place": limit.place,
        "words": limit.words,
        "rate_per_s": rate_per_s,
        "busy": dict(stages.busy),
        "growth": dict(stages.growth),
        "true_rates_per_s": true_rates(stages),
        "machine": stages.machine,
    }


def cost_row(answer: SearchAnswer, made: Sequence[ProbeRecord]) -> CostRow | None:
    """The cost of the highest rate that held, and of half that rate."""
    held = [one for one in made if one.judged.held]
    if answer.low_per_s is None or not held:
        return None
    full = max(held, key=lambda one: (one.trial.rate_per_s, one.trial.long))
    half = min(held, key=lambda one: abs(one.trial.rate_per_s - full.trial.rate_per_s / 2))
    return {"at_the_rate": _cost_of(full), "at_half": _cost_of(half)}


def _cost_of(record: ProbeRecord) -> RateCost:
    cost, rate_per_s = record.shown.result.cost, record.judged.delivered_per_s
    in_all, memory = cores(cost), memory_mb(cost)
    return {
        "rate_per_s": record.trial.rate_per_s,
        "cores": in_all,
        "memory_mb": memory,
        "cores_per_10k": per_events(in_all, rate_per_s),
        "memory_mb_per_10k": per_events(memory, rate_per_s),
        "parts": dict(cost),
    }


def prediction_row(
    options: Options, answer: SearchAnswer, made: Sequence[ProbeRecord], last: StepShown
) -> PredictionRow | None:
    """What the search predicts for an outage at half the rate, and what an outage then showed."""
    low = answer.low_per_s
    if low is None:
        return None
    rate_per_s, outage_s = low / 2, options.outage or OUTAGE_S
    per_event = _wal_bytes_per_event(made)
    per_s = None if per_event is None else round(per_event * rate_per_s, 1)
    # With only a lower bound of its capacity, a pipeline may catch up sooner than this predicts.
    bound = answer.kind == "at_least"
    taken_s = grew = None
    if last.step.fault is not None:
        done, slot = last.result.fault, last.backlogs.get("slot")
        outage_s = done.get("outage_s") or outage_s
        taken_s = done.get("caught_up_s")
        grew = held_back_per_s(slot.at_s, slot.waiting, outage_s) if slot is not None else None
    predicted_s = catch_up_s(outage_s, rate_per_s, _works_off_per_s(low, made))
    return {
        "rate_per_s": round(rate_per_s, 1),
        "outage_s": outage_s,
        "catch_up_s": Prediction(predicted_s, taken_s, bound).to_json(),
        "wal_bytes_per_event": per_event,
        "wal_held_back_bytes_per_s": Prediction(per_s, grew).to_json(),
        "disk_bytes": options.disk,
        "disk_full_s": fills_s(options.disk, per_s),
        "p99_ms": last.result.fault.get("p99_ms") if last.step.fault is not None else None,
    }


def _works_off_per_s(low_per_s: float, made: Sequence[ProbeRecord]) -> float:
    """The rate at which the pipeline works off a backlog, in events a second.

    It may be above the highest rate that holds, which a limit of latency may have set: the highest
    rate that came out of a probe that failed, because only such a probe had a backlog.
    """
    backlogged = [one.judged.delivered_per_s for one in made if one.judged.held is False]
    return max([low_per_s, *backlogged])


def _wal_bytes_per_event(made: Sequence[ProbeRecord]) -> float | None:
    """WAL bytes for each event, from the longest probe that held."""
    known = [
        (one.trial.long, one.trial.rate_per_s, slot.through_per_s / one.judged.delivered_per_s)
        for one in made
        if one.judged.held and one.judged.delivered_per_s
        for slot in [one.shown.backlogs.get("slot")]
        if slot is not None and slot.known
    ]
    return round(max(known)[2], 1) if known else None


def probe_row(record: ProbeRecord) -> ProbeRow:
    """One probe as a row of capacity.csv."""
    shown, latency = record.shown, record.shown.recorder.histogram("end_to_end")

    def ms(percentile: float) -> float | None:
        value_us = latency.percentile_us(percentile)
        return None if value_us is None else round(value_us / 1000, 3)

    return {
        "step": shown.step.name,
        "rate_per_s": record.trial.rate_per_s,
        "long": record.trial.long,
        "held": record.judged.held,
        "delivered_per_s": round(record.judged.delivered_per_s, 1),
        "p50_ms": ms(50),
        "p99_ms": ms(99),
        "p99_9_ms": ms(99.9),
        "cores": cores(shown.result.cost),
        "memory_mb": memory_mb(shown.result.cost),
        "took_s": round(record.took_s, 1),
        "lanes": shown.step.lanes,
        "growth": dict(record.judged.growth),
        "reason": record.judged.reason,
    }
