"""Which stage limits a pipeline: the place before which events pile up, and how busy each stage is.
Pure.

A stage's *true rate* is the rate at full use: its throughput divided by the share of time in which
it was busy (DS2; Kalavri et al., OSDI 2018).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cdc_users.measure.latency.series import AWAITED

#: The stages in the order in which an event passes them, with their names for a sentence.
STAGES: Mapping[str, str] = {
    "source": "the source (PostgreSQL's commits)",
    "walsender": "PostgreSQL's walsender",
    "capture": "capture",
    "broker": "the broker",
    "consumer": "the platform's consumer",
    "sink": "the sink",
}
#: For each place, the stages that may cause its backlog; without other evidence, the first.
BEFORE: Mapping[str, tuple[str, ...]] = {
    "source": ("source",),
    "slot": ("capture", "walsender", "broker"),
    "capture": ("capture", "walsender", "broker"),
    "topic": ("consumer", "sink"),
    "queue": ("sink",),
}
#: The platform's box on the page covers several stages; a wait there is for the fetching one.
_OF_BOX: Mapping[str, str] = {"platform": "consumer"}
#: For each part of the latency, the stage that makes events wait there.
OF_PART: Mapping[str, str] = {part: _OF_BOX.get(box, box) for part, box in AWAITED.items()}
#: A backlog that grows by less than this share of its throughput is no evidence.
GROWS = 0.005
#: A stage that is busy for this share of its time has no capacity left.
FULL = 0.85
#: A stage that is busy for less than this does not hold events up: they wait there for a processor.
IDLE = 0.05
#: A broker that takes this long for a metadata request delays every client.
SLOW_ANSWER_MS = 100.0
#: With this share of the machine's processors in use, every process on it is slowed down.
MACHINE_FULL = 0.95


@dataclass(frozen=True, slots=True)
class StageFigures:
    """What a probe showed of the stages.

    `growth` is by place, as a share of its throughput; `busy` by stage, from 0 to 1, where known;
    `waits_ms` the mean latency of each part of the way; `machine` the share of the machine's
    processors in use.
    """

    rate_per_s: float
    growth: Mapping[str, float]
    busy: Mapping[str, float]
    waits_ms: Mapping[str, float]
    broker_answer_ms: float | None = None
    machine: float | None = None


@dataclass(frozen=True, slots=True)
class StageLimit:
    """The stage that limits a pipeline (None: the figures name none), the place whose backlog
    proves that, and the sentence for the report.
    """

    stage: str | None
    place: str | None
    words: str


def limit_of(figures: StageFigures) -> StageLimit:
    """The stage that limits the pipeline: the one before which events piled up or, if none piled
    up, the one where events spent most of their time and which was not idle.
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
    """The place with the largest growth. The slot counts only if no other place grows, because the
    capture's backlog has the same events.
    """
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
    held = [part for part in known if figures.busy.get(OF_PART[part], 1.0) >= IDLE]
    if not held:
        return StageLimit(None, None, "")
    part = max(held, key=lambda name: known[name])
    stage = OF_PART[part]
    if stage == "capture":  # from the commit to the topic, so also through walsender and broker
        stage = _of_candidates(BEFORE["capture"], figures)
    share = known[part] / total
    words = f"events spend {share:.0%} of their time there, and nothing piles up"
    return StageLimit(stage, None, f"{_named(stage, figures)}: {words}{_machine(figures)}")


def _named(stage: str, figures: StageFigures) -> str:
    busy = figures.busy.get(stage)
    part = f", busy {min(1.0, busy):.0%} of the time" if busy is not None else ""
    return f"The bottleneck is {STAGES[stage]}{part}"


def _machine(figures: StageFigures) -> str:
    if figures.machine is None or figures.machine < MACHINE_FULL:
        return ""
    return f"; the machine's processors were {min(1.0, figures.machine):.0%} in use"


def true_rates(figures: StageFigures) -> dict[str, float]:
    """Each stage's true rate (see the module); a stage that was never busy has none."""
    return {
        stage: round(figures.rate_per_s / busy, 1)
        for stage, busy in figures.busy.items()
        if busy > 0
    }
