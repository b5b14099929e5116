"""Which stage limits a pipeline: the place before which events pile up, and how busy each stage is.
Pure.

A stage's *true rate* is what it would do if it were busy all the time: what went through it by the
part of the time that it was busy (DS2; Kalavri et al., OSDI 2018).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cdc_users.measure.latency.series import AWAITED

#: The stages, in the order in which an event passes, and how a sentence names them.
STAGES: Mapping[str, str] = {
    "source": "the source (PostgreSQL's commits)",
    "walsender": "PostgreSQL's walsender",
    "capture": "capture",
    "broker": "the broker",
    "consumer": "the platform's consumer",
    "sink": "the sink",
}
#: The stages that may let events pile up at a place; the first is named where nothing tells more.
BEFORE: Mapping[str, tuple[str, ...]] = {
    "source": ("source",),
    "slot": ("capture", "walsender", "broker"),
    "capture": ("capture", "walsender", "broker"),
    "topic": ("consumer", "sink"),
    "queue": ("sink",),
}
#: Of the platform as the page shows it, the stage that fetches.
_OF_BOX: Mapping[str, str] = {"platform": "consumer"}
#: Of the parts of the latency, the stage that makes events wait there.
OF_PART: Mapping[str, str] = {part: _OF_BOX.get(box, box) for part, box in AWAITED.items()}
#: A backlog that grows by less than this part of what goes through names nobody.
GROWS = 0.005
#: A stage that is busy for so much of its time can do no more.
FULL = 0.85
#: A broker that needs so long for a request of metadata keeps everybody waiting.
SLOW_ANSWER_MS = 100.0
#: Of a machine's processors so much in use: then whatever runs on it is slowed down.
MACHINE_FULL = 0.95


@dataclass(frozen=True, slots=True)
class StageFigures:
    """What a probe showed of the stages.

    `growth` is by place, as a share of what goes through it; `busy` by stage, from 0 to 1, where it
    is known; `waits_ms` the mean latency of each part of the way; `machine` the share of the
    machine's processors that were in use.
    """

    rate_per_s: float
    growth: Mapping[str, float]
    busy: Mapping[str, float]
    waits_ms: Mapping[str, float]
    broker_answer_ms: float | None = None
    machine: float | None = None


@dataclass(frozen=True, slots=True)
class StageLimit:
    """The stage that limits a pipeline (None: nothing names one), the place whose backlog proves
    it, and the sentence that says so.
    """

    stage: str | None
    place: str | None
    words: str


def limit_of(figures: StageFigures) -> StageLimit:
    """The stage that limits the pipeline, by what piled up; where nothing did, by where events
    spent their time.
    """
    growing = {
        place: share for place, share in figures.growth.items() if share > GROWS and place in BEFORE
    }
    if not growing:
        return _by_latency(figures)
    place = _foremost(growing)
    stage = _of_candidates(BEFORE[place], figures)
    piled = f"{growing[place] * figures.rate_per_s:,.0f} events/s pile up before it"
    return StageLimit(stage, place, f"{_named(stage, figures)}: {piled}{_machine(figures)}")


def _foremost(growing: Mapping[str, float]) -> str:
    """Where most piles up; a slot holds back the same events as the capture's backlog counts."""
    counted = {place: share for place, share in growing.items() if place != "slot"} or growing
    return max(counted, key=lambda place: counted[place])


def _of_candidates(candidates: tuple[str, ...], figures: StageFigures) -> str:
    slow = figures.broker_answer_ms is not None and figures.broker_answer_ms > SLOW_ANSWER_MS
    if "broker" in candidates and slow:
        return "broker"
    full = {stage: figures.busy[stage] for stage in candidates if stage in figures.busy}
    busiest = max(full, key=lambda stage: full[stage], default=candidates[0])
    return busiest if full.get(busiest, 0.0) >= FULL else candidates[0]


def _by_latency(figures: StageFigures) -> StageLimit:
    # Between two clocks a part may come out below nothing; no time was spent there.
    known = {part: ms for part, ms in figures.waits_ms.items() if part in OF_PART and ms > 0}
    total = sum(known.values())
    if not known:
        return StageLimit(None, None, "")
    part = max(known, key=lambda name: known[name])
    stage = OF_PART[part]
    share = known[part] / total
    told = f"events spend {share:.0%} of their time there, and nothing piles up"
    return StageLimit(stage, None, f"{_named(stage, figures)}: {told}{_machine(figures)}")


def _named(stage: str, figures: StageFigures) -> str:
    busy = figures.busy.get(stage)
    part = f", busy {min(1.0, busy):.0%} of the time" if busy is not None else ""
    return f"The bottleneck is {STAGES[stage]}{part}"


def _machine(figures: StageFigures) -> str:
    if figures.machine is None or figures.machine < MACHINE_FULL:
        return ""
    return f"; the machine's processors were {min(1.0, figures.machine):.0%} in use"


def true_rates(figures: StageFigures) -> dict[str, float]:
    """What each stage would do if it were busy all the time; one that did nothing has none."""
    return {
        stage: round(figures.rate_per_s / busy, 1)
        for stage, busy in figures.busy.items()
        if busy > 0
    }
