"""What is read of a run while it goes on and after. Pure.

The page, the terminal and the metrics all read a run through `RunView` and say the same of it.
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
    """A step or a stage as it began, for charts."""

    elapsed_s: float
    name: str
    step: str


class Activity(NamedTuple):
    """What the harness is busy with, from a moment on: seconds since the run began."""

    began_s: float
    name: str


class RunView(Protocol):
    """What is read of a run (cdc_users.run.run.Run); nothing here changes it."""

    @property
    def id(self) -> str:
        """The run's eight characters."""

    @property
    def scenario(self) -> Scenario:
        """What is asked."""

    @property
    def options(self) -> Options:
        """Its settings."""

    @property
    def directory(self) -> Path:
        """Where its results will be."""

    @property
    def moments(self) -> Sequence[TimelineRow]:
        """What was seen so far, one a second."""

    @property
    def marks(self) -> Sequence[ChartMark]:
        """Steps and stages as they began."""

    @property
    def activities(self) -> Sequence[Activity]:
        """What the harness has been busy with since the run began; the last one goes on."""

    @property
    def elapsed_s(self) -> float:
        """Seconds since the run began, its preparation among them."""

    @property
    def lately(self) -> LatencyHistogram:
        """End-to-end latencies of what arrived in the last ten seconds."""

    @property
    def heat(self) -> HeatMap:
        """How the latencies were spread over the time of the load."""

    @property
    def states(self) -> Sequence[StepState]:
        """The steps with what their writers reported."""

    @property
    def course_so_far(self) -> CourseOutcome:
        """What the steps that have ended come to; only its figures mean anything."""

    @property
    def look(self) -> PipelineSnapshot:
        """The pipeline as it was last seen."""

    @property
    def result(self) -> Result | None:
        """What it came to; None until it has concluded."""

    @property
    def over(self) -> bool:
        """Whether it has ended, if only because the harness crashed."""


def current(run: RunView) -> StepState | None:
    """The step that is going on, or the last one."""
    begun = [state for state in run.states if state.workers]
    return begun[-1] if begun else None


def latest(run: RunView) -> TimelineRow | None:
    """The last second of the step at hand; None where it has none yet, for the last one of the step
    before it says nothing of this one.
    """
    state, now = current(run), run.moments[-1] if run.moments else None
    if state is None or now is None or now.step != state.step.name:
        return None
    # A step that is repeated has the name of the one before it.
    begun = [mark.elapsed_s for mark in run.marks if mark.name == mark.step == now.step]
    return now if not begun or now.elapsed_s >= begun[-1] else None


def last_mark(run: RunView) -> ChartMark:
    """The step or the stage that began last; a mark without names where none has begun."""
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
    """How many of a step's arrivals the plan has asked for by now; the writers' tally counts the
    whole plan.
    """
    return state.step.schedule.number_at(max(0, now_us - state.t0_us) * 1000 + 1)
