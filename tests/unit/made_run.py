"""A run made of plain data, for what reads runs; nothing of it has happened."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from cdc_users.measure.judgement.result import Result
from cdc_users.measure.latency.heat_map import HeatMap
from cdc_users.measure.latency.histogram import LatencyHistogram
from cdc_users.measure.ledger.ledger import Outcomes
from cdc_users.measure.schedule.plan import Schedule
from cdc_users.observe.message import ProcessSample
from cdc_users.options.options import Options, resolve, texts
from cdc_users.pipeline.telemetry import PipelineSnapshot, Snapshot, StepSnapshot
from cdc_users.scenario import CourseOutcome, Pipeline, Scenario, Step
from cdc_users.step.state import ReportedShare, StepState
from cdc_users.step.timeline_row import TimelineRow
from cdc_users.users.message import Tally
from cdc_users.view.run_view import Activity, ChartMark
from tests.unit.made_result import STAGES_MS, recorder


def moment(second: int, **changes: Any) -> TimelineRow:
    """Second number `second` of a run that sends 100 events a second and keeps up."""
    sent = 100 * second
    steady = TimelineRow(
        elapsed_s=float(second),
        step="step-1",
        stage="step-1",
        offered=sent,
        started=sent,
        completed=sent,
        failed=0,
        sent=sent,
        delivered=sent,
        backlog=0,
        queue_depth=0,
        in_flight=0,
        paused_partitions=0,
        consumer_lag=0,
        slot_lag_bytes=1000,
        debezium_behind_ms=40.0,
        debezium_queue_remaining=8192.0,
        uss_mb=50.0,
        rss_mb=80.0,
        offered_per_s=100.0,
        sent_per_s=100.0,
        delivered_per_s=100.0,
        bytes_per_s=36_000.0,
        p50_ms=9.0,
        p95_ms=None,
        p99_ms=None,
        window_s=1.0,
        mean_ms=10.0,
        max_ms=20.0,
        **{f"{name}_ms": value for name, value in STAGES_MS.items()},  # type: ignore[arg-type]
    )
    return replace(steady, **changes)


def state(name: str = "step-1", number: int = 1, failed: int = 0) -> StepState:
    """A step that is going on, with one worker that has sent 1,000 events."""
    tally: dict[str, Any] = {
        "offered": 1000,
        "started": 1000,
        "completed": 1000 - failed,
        "failed": failed,
        "dropped": 0,
        "late": 3,
    }
    report = ReportedShare(
        tally=Tally(**tally, rows=1000),
        recorder=recorder(response=3.0, service=2.0, send_delay=1.0),
        outcomes={number * 10_000: Outcomes(acked=[(1, 1000)])},
        cpu_s=0.1,
    )
    step = Step(name, "paced", Schedule.constant(100, 10), Pipeline(), lanes=8)
    return StepState(number, step, ("local",), t0_us=1_000_000, reports={"local": report})


@dataclass
class MadeRun:
    """What RunView asks for, as plain attributes."""

    moments: list[TimelineRow] = field(
        default_factory=lambda: [moment(second) for second in range(1, 7)]
    )
    marks: list[ChartMark] = field(default_factory=lambda: [ChartMark(0.5, "step-1", "step-1")])
    states: list[StepState] = field(default_factory=lambda: [state()])
    course_so_far: CourseOutcome = field(default_factory=CourseOutcome)
    look: PipelineSnapshot = field(
        default_factory=lambda: PipelineSnapshot(
            sink=Snapshot(
                steps={
                    1: StepSnapshot(
                        delivered=1000,
                        bytes=360_000,
                        recorder=recorder(end_to_end=10.0, **STAGES_MS),
                    )
                }
            ),
            processes={
                "kafka": ProcessSample(
                    processes=1,
                    cpu_s=12.0,
                    rss_bytes=400_000_000,
                    uss_bytes=300_000_000,
                    written_bytes=5_000_000,
                )
            },
        )
    )
    activities: list[Activity] = field(
        default_factory=lambda: [Activity(0.0, "servers"), Activity(2.0, "load")]
    )
    elapsed_s: float = 8.0
    lately: LatencyHistogram = field(
        default_factory=lambda: recorder(end_to_end=12.0).histogram("end_to_end")
    )
    heat: HeatMap = field(default_factory=HeatMap)
    result: Result | None = None
    over: bool = False
    id: str = "abcd1234"
    scenario: Scenario = field(
        default_factory=lambda: Scenario("throughput", question="How many, how fast?")
    )
    options: Options = field(default_factory=lambda: resolve(texts({}, {"rows": "100"})))
    directory: Path = Path("results/20261124T000000Z-throughput-abcd1234")
