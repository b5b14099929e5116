"""The outcome of a run: figures and ledger of each step, a verdict with its reasons, and one exit
code.

result.json holds it (schema 2); every report is made from result.json and the files beside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypedDict

from cdc_users.measure.judgement.cost import Costs
from cdc_users.measure.judgement.scaling import ScalingSummary
from cdc_users.measure.judgement.search_summary import ComparisonSummary, SearchSummary

#: Raised when a field is added, removed or changes its meaning; docs/ci.md lists the changes.
SCHEMA = 2
#: `python -m cdc_users.bench` ends with its modules' worst exit code; the worst stands first.
WORST_FIRST = (2, 3, 4, 1, 0)


class Verdict(StrEnum):
    """How a run ended.

    INVALID beats PASS and FAIL: the run's numbers may not be used. ERROR and STACK have no numbers.
    """

    PASS = "PASS"  # noqa: S105 - a verdict, not a password
    FAIL = "FAIL"
    ERROR = "ERROR"
    STACK = "STACK"
    INVALID = "INVALID"

    @property
    def exit_code(self) -> int:
        """The exit code of the locust process."""
        return {"PASS": 0, "FAIL": 1, "ERROR": 2, "STACK": 3, "INVALID": 4}[self.value]


def verdict_of(exit_code: int) -> Verdict:
    """The verdict that an exit code stands for."""
    return next((verdict for verdict in Verdict if verdict.exit_code == exit_code), Verdict.ERROR)


def worst(exit_codes: Sequence[int]) -> int:
    """The worst of several exit codes; an unknown code counts as a harness error."""
    known = [code if code in WORST_FIRST else 2 for code in exit_codes]
    return min(known, key=WORST_FIRST.index, default=0)


@dataclass(frozen=True, slots=True)
class ArrivalTally:
    """How many of a step's arrivals were started, completed, failed or dropped."""

    offered: int
    started: int
    completed: int
    failed: int
    dropped: int
    late: int


class TapFigures(TypedDict):
    """One of several taps where events come out: how many it saw, the end-to-end latency there, and
    its own ledger. `lost_at` counts the missing events by the first tap that lacks them.
    """

    messages: int | None
    latency_ms: Mapping[str, float | int | None]
    ledger: Mapping[str, int]
    lost_at: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class StepResult:
    """One step.

    `messages` is None where the sink shows its state and not each event. `throughput_per_s` counts
    events delivered at the sink from the first intended time to the last delivery;
    `drain_rate_per_s` counts those of a load that was there before. `latency_ms` maps a series to
    its summary; `ledger` maps each class to its count; `pipeline` says what stood between source
    and sink; `pressure` says what happened inside; `fault` says what was done to the pipeline and
    how it recovered (step/fault.py). `taps` has the figures and the ledger of each tap, if events
    come out at several.
    """

    name: str
    mode: str
    messages: int | None
    duration_s: float
    throughput_per_s: float | None
    bytes_per_s: float | None
    arrivals: ArrivalTally
    latency_ms: Mapping[str, Mapping[str, float | int | None]]
    ledger: Mapping[str, int | str]
    drain_rate_per_s: float | None = None
    warm_up: bool = False
    probe: bool = False
    pipeline: Mapping[str, Any] = field(default_factory=dict)
    pressure: Mapping[str, Any] = field(default_factory=dict)
    fault: Mapping[str, Any] = field(default_factory=dict)
    #: Processors, memory and writes of each part (judgement.cost); None where not known.
    cost: Costs = field(default_factory=dict)
    taps: Mapping[str, TapFigures] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Result:
    """A whole run."""

    scenario: str
    run: str
    verdict: Verdict
    reasons: Sequence[str]
    steps: Sequence[StepResult]
    harness: Mapping[str, float | None] = field(default_factory=dict)
    notes: Sequence[str] = ()
    command: str = ""
    options: Mapping[str, object] = field(default_factory=dict)
    #: How the steps compare with the first (scaling.summary), if the scenario compares them.
    scaling: ScalingSummary | None = None
    #: The sustainable rate, if the scenario searches it (docs/scenarios/capacity.md).
    capacity: SearchSummary | None = None
    #: Several searches side by side, if the options name several pipelines.
    capacities: ComparisonSummary | None = None

    def verdict_at(self, step: str) -> Verdict:
        """The verdict of one step, by its name: the run's, but PASS in a run that fails for
        reasons that each name other steps.
        """
        named = [
            {other.name for other in self.steps if reason.startswith(f"{other.name}: ")}
            for reason in self.reasons
        ]
        elsewhere = bool(named) and all(names and step not in names for names in named)
        return Verdict.PASS if self.verdict is Verdict.FAIL and elsewhere else self.verdict

    def to_json(self) -> dict[str, object]:
        """Plain data, as result.json holds it."""
        return {
            "schema": SCHEMA,
            "scenario": self.scenario,
            "run": self.run,
            "verdict": self.verdict.value,
            "reasons": list(self.reasons),
            "steps": [step_json(step) for step in self.steps],
            "harness": dict(self.harness),
            "notes": list(self.notes),
            "command": self.command,
            "options": dict(self.options),
            "scaling": self.scaling,
            "capacity": self.capacity,
            "capacities": self.capacities,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Result:
        """Read what `to_json` made; raises ValueError for another schema."""
        if data.get("schema") != SCHEMA:
            raise ValueError(
                f"result.json has schema {data.get('schema')!r}, this version reads {SCHEMA}; run"
                " it again"
            )
        return cls(
            scenario=data["scenario"],
            run=data["run"],
            verdict=Verdict(data["verdict"]),
            reasons=data["reasons"],
            steps=[
                StepResult(**{**step, "arrivals": ArrivalTally(**step["arrivals"])})
                for step in data["steps"]
            ],
            harness=data["harness"],
            notes=data["notes"],
            command=data["command"],
            options=data["options"],
            scaling=data["scaling"],
            capacity=data.get("capacity"),
            capacities=data.get("capacities"),
        )


def step_json(step: StepResult) -> dict[str, object]:
    """One step as result.json holds it."""
    names = [name for name in StepResult.__slots__ if name != "arrivals"]
    plain = {name: getattr(step, name) for name in names}
    return {
        **plain,
        "arrivals": {name: getattr(step.arrivals, name) for name in ArrivalTally.__slots__},
    }
