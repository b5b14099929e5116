"""The result of a search for the sustainable rate, as result.json holds it under `capacity`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, TypedDict

from cdc_users.measure.judgement.cost import Costs
from cdc_users.measure.judgement.scaling import LawRow

#: The options in which compared pipelines may differ.
Size = Literal["partitions", "instances"]


class ProbeRow(TypedDict):
    """One probe; `held` is None where the generator could not offer its rate."""

    step: str
    rate_per_s: float
    long: bool
    held: bool | None
    delivered_per_s: float
    p50_ms: float | None
    p99_ms: float | None
    p99_9_ms: float | None
    cores: float | None
    memory_mb: float | None
    took_s: float
    lanes: int
    growth: Mapping[str, float]
    reason: str


class BottleneckRow(TypedDict):
    """What limits the pipeline at a rate, and the evidence."""

    stage: str | None
    place: str | None
    words: str
    rate_per_s: float | None
    busy: Mapping[str, float]
    growth: Mapping[str, float]
    true_rates_per_s: Mapping[str, float]
    machine: float | None


class RateCost(TypedDict):
    """The cost of a rate: in all, for each 10,000 events a second, and by part."""

    rate_per_s: float
    cores: float | None
    memory_mb: float | None
    cores_per_10k: float | None
    memory_mb_per_10k: float | None
    parts: Costs


class CostRow(TypedDict):
    """The cost of the highest rate that held, and of half that rate."""

    at_the_rate: RateCost
    at_half: RateCost


class PredictedFigure(TypedDict):
    """A predicted figure, and its relative error against the measured one."""

    predicted: float | None
    measured: float | None
    error: float | None


class PredictionRow(TypedDict):
    """What a search predicts for an outage, and what an outage then showed."""

    rate_per_s: float
    outage_s: float
    catch_up_s: PredictedFigure
    wal_bytes_per_event: float | None
    wal_held_back_bytes_per_s: PredictedFigure
    disk_bytes: float
    disk_full_s: float | None
    p99_ms: float | None


class SearchSummary(TypedDict):
    """The answer (capacity.search has its kinds and limits), and everything that it is based on.

    `held_per_s` and `failed_per_s` are the bracket that the search has closed to so far: the
    highest rate that held, and the lowest above it that failed.
    """

    kind: str
    low_per_s: float | None
    high_per_s: float | None
    confirmed: int
    limit: str | None
    why: str
    held_per_s: float | None
    failed_per_s: float | None
    width: float | None
    ceiling_per_s: float | None
    slo: Sequence[str]
    bottleneck: BottleneckRow | None
    cost: CostRow | None
    predictions: PredictionRow | None
    probes: Sequence[ProbeRow]


class ComparedSearch(TypedDict):
    """One of the searches, and its pipeline; `of` has the words that tell it from the others."""

    of: str
    capture: str
    partitions: int
    instances: int
    search: SearchSummary


class LargestRow(TypedDict):
    """The rate (events a second) that the smaller sizes predict for the largest, the rate that was
    found, and the prediction's relative error. `by` names the law that predicted it.
    """

    of: str
    by: str
    predicted_per_s: float
    measured_per_s: float
    error: float


class ComparisonSummary(TypedDict):
    """Several searches, as result.json holds them under `capacities`.

    `law` and `largest` are there only where the pipelines differ in size alone.
    """

    searches: Sequence[ComparedSearch]
    size: Size | None
    law: LawRow | None
    law_needs_points: int
    largest: LargestRow | None
