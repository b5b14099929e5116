"""What the page, the terminal and the metrics read of a run, during it and afterwards. Pure.

All three read it through `RunView`, so they show the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from cdc_users.measure.judgement.result import Result
from cdc_users.measure.latency.heat_map import HeatMap
from cdc_users.measure.latency.histogram import LatencyHistogram
from cdc_users.measure.latency.recorder import Recorder
from cdc_users.options.options import Options
from cdc_users.pipeline.telemetry import PipelineSnapshot
from cdc_users.scenario import CourseOutcome, Scenario
from cdc_users.step.state import StepState
from cdc_users.step.timeline_row import TimelineRow


class ChartMark(NamedTuple):
    """The begin of a step or a stage, for charts."""

    elapsed_s: float
    name: str
    step: str


class Activity(NamedTuple):
    """An activity of the harness, and its begin in seconds since the run began."""

    began_s: float
    name: str


class RunView(Protocol):
    """The read-only view of a run (cdc_users.run.run.Run)."""

    @property
    def id(self) -> str:
        """The run's eight characters."""

    @property
    def scenario(self) -> Scenario:
        """The run's question."""

    @property
    def options(self) -> Options:
        """Its settings."""

    @property
    def directory(self) -> Path:
        """The directory of its results."""

    @property
    def moments(self) -> Sequence[TimelineRow]:
        """One row for each second so far."""

    @property
    def marks(self) -> Sequence[ChartMark]:
        """The begins of steps and stages."""

    @property
    def activities(self) -> Sequence[Activity]:
        """The harness's activities since the run began; the last one is still going on."""

    @property
    def elapsed_s(self) -> float:
        """Seconds since the run began, including its preparation."""

    @property
    def lately(self) -> LatencyHistogram:
        """End-to-end latencies of the events of the last ten seconds."""

    @property
    def heat(self) -> HeatMap:
        """The distribution of latencies over the time of the load."""

    @property
    def states(self) -> Sequence[StepState]:
        """The steps with what their writers reported."""

    @property
    def course_so_far(self) -> CourseOutcome:
        """The outcome of the steps that have ended; only its figures are final."""

    @property
    def look(self) -> PipelineSnapshot:
        """The pipeline at the last look."""

    @property
    def result(self) -> Result | None:
        """The run's result; None until it has concluded."""

    @property
    def over(self) -> bool:
        """Whether the run has ended, also by a crash of the harness."""


def current(run: RunView) -> StepState | None:
    """The step that is going on, or the last one."""
    begun = [state for state in run.states if state.workers]
    return begun[-1] if begun else None


def latest(run: RunView) -> TimelineRow | None:
    """The last second of the current step; None if it has none yet, because the previous step's
    last second would mislead.
    """
    state, now = current(run), run.moments[-1] if run.moments else None
    if state is None or now is None or now.step != state.step.name:
        return None
    # A repeated step has the name of the step before it.
    begun = [mark.elapsed_s for mark in run.marks if mark.name == mark.step == now.step]
    return now if not begun or now.elapsed_s >= begun[-1] else None


def last_mark(run: RunView) -> ChartMark:
    """The step or stage that began last; a mark without names if none has begun."""
    return run.marks[-1] if run.marks else ChartMark(0.0, "", "")


def series(run: RunView) -> Recorder:
    """The current step's series at the sink, so far."""
    state = current(run)
    seen = run.look.sink.steps.get(state.number) if state is not None else None
    return seen.recorder if seen is not None else Recorder()


def remaining_s(run: RunView, now_us: int) -> float | None:
    """Seconds until the current step's last arrival is due; None in a burst or between steps."""
    state = current(run)
    if state is None or not state.step.schedule.duration_s or state.loaded_us:
        return None
    return max(0.0, state.t0_us / 1e6 + state.step.schedule.duration_s - now_us / 1e6)


def due(state: StepState, now_us: int) -> int:
    """How many of a step's arrivals are due by now; the writers' tally counts the whole plan. Once
    the load was cut short, no more come due.
    """
    planned = state.step.schedule.number_at(max(0, now_us - state.t0_us) * 1000 + 1)
    return min(planned, state.begun) if state.cut else planned
