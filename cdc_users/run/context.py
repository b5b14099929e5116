"""The values that the parts of one run share."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from locust.env import Environment

from cdc_users.measure.clock import Anchor, new_anchor
from cdc_users.options.options import Options
from cdc_users.pipeline.samples import SampleLog
from cdc_users.run.assignment import LaneMessenger
from cdc_users.run.wait import Stopping
from cdc_users.run.watch import Watch
from cdc_users.scenario import Scenario
from cdc_users.step.state import Facts, StepState
from cdc_users.users.workload.table.row import CustomRow
from cdc_users.users.workload.workload import Workload
from cdc_users.view.run_view import Activity, ChartMark


@dataclass(slots=True)
class RunContext:
    """One run's identity, its settings, and everything that it has gathered.

    Every message of the run carries `token`, which tells its workers from those of other runs.
    """

    id: str
    token: str
    scenario: Scenario
    options: Options
    workload: Workload
    directory: Path
    environment: Environment
    sender: LaneMessenger
    watch: Watch
    facts: Facts
    #: The user's own code that makes rows of the user's tables.
    custom: CustomRow | None = None
    began: datetime = field(default_factory=lambda: datetime.now(UTC))
    #: The processor times of the machine at the begin; others' use is computed from them.
    load_average: float = field(default_factory=lambda: os.getloadavg()[0])
    stopping: Stopping = field(default_factory=Stopping)
    anchor: Anchor = field(default_factory=new_anchor)
    samples: SampleLog = field(default_factory=SampleLog)
    states: list[StepState] = field(default_factory=list)
    marks: list[ChartMark] = field(default_factory=list)
    activities: list[Activity] = field(default_factory=list)
    #: The current step, or the last one.
    current: StepState | None = None
    #: Lanes that should be up; None when the run has ended.
    lanes_wanted: int | None = 0

    def enter(self, name: str) -> None:
        """The harness begins another activity."""
        if not self.activities or self.activities[-1].name != name:
            self.activities.append(Activity(self.watch.total_s, name))

    def mark(self, name: str, state: StepState) -> None:
        """A step or a stage begins."""
        self.watch.resume()
        self.marks.append(ChartMark(self.watch.elapsed_s, name, state.step.name))
