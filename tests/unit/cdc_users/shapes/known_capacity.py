"""A pipeline of which the capacity is known, as a search sees it, and a search that is driven
through it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from cdc_users.measure.capacity.bottleneck import StageFigures
from cdc_users.measure.capacity.probe import BacklogSeries
from cdc_users.measure.judgement.backlog import ProgressSample
from cdc_users.measure.judgement.result import ArrivalTally
from cdc_users.measure.latency.recorder import Recorder
from cdc_users.options.options import resolve
from cdc_users.scenario import Course, CourseOutcome, Step, StepShown
from cdc_users.shapes.capacity import pattern_of, planned_steps
from cdc_users.shapes.course import CapacityCourse
from tests.unit.made_result import step_result

#: What a simulated pipeline takes, in events a second.
CAPACITY = 1000.0
CEILING = 10_000
PART = {"cpu_cores": 0.5, "rss_mb": 200.0, "uss_mb": 100.0, "written_mb_per_s": 1.0}
COST = {"kafka": PART, "harness": PART}
#: Of all events, in WAL.
WAL_BYTES = 400.0


def course(**given: str) -> CapacityCourse:
    options = resolve({"precision": "5%", **given})
    return CapacityCourse(
        options, pattern_of("capacity", options), planned_steps("capacity", options)
    )


def shown(step: Step, capacity_per_s: float = CAPACITY, **changes: Any) -> StepShown:
    """What a step shows through a pipeline that takes so much."""
    if step.mode == "null":
        tally = ArrivalTally(CEILING * 3, CEILING * 3, CEILING * 3, 0, 0, 0)
        return StepShown(step, step_result(step.name, arrivals=tally), drained=True, took_s=3.0)
    rate, duration = step.schedule.rate_per_s, step.schedule.duration_s
    holds = rate <= capacity_per_s
    recorder = Recorder()
    late_us = 20_000 if holds else 5_000_000
    recorder.record_many_us("end_to_end", np.full(2000, late_us, dtype=np.int64))
    looks = [
        ProgressSample(
            float(at), round(rate * at), round(min(rate, capacity_per_s) * at), round(rate * at)
        )
        for at in range(1, round(duration) + 1)
    ]
    at_s = [float(at) for at in range(round(duration))]
    slot = BacklogSeries(at_s, [0.0] * len(at_s), WAL_BYTES * rate)
    made = StepShown(
        step,
        step_result(
            step.name,
            latency_ms={"end_to_end": recorder.histogram("end_to_end").summary_ms()},
            cost=COST,
        ),
        drained=True,
        took_s=duration,
        looks=looks,
        recorder=recorder,
        backlogs={"slot": slot},
        stages=StageFigures(rate, {"capture": 0.0 if holds else 0.4}, {"capture": 0.9}, {}),
    )
    return replace(made, **changes)


def driven(
    searching: Course, show: Callable[[Step], StepShown] = shown
) -> tuple[list[StepShown], CourseOutcome]:
    """Take the course as a run would: step by step, each decided by those before it."""
    taken: list[StepShown] = []
    for _ in range(400):
        step = searching.next_step(taken)
        if step is None:
            return taken, searching.outcome(taken)
        taken.append(show(step))
    raise AssertionError("the course does not end")
