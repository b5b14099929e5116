"""Sinks one after another, each on a topic of its own: the shape of the latency scenario."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from typing_extensions import override

from cdc_users.error import OptionsError
from cdc_users.measure.schedule.plan import LoadStage, Schedule
from cdc_users.options.options import Options
from cdc_users.options.parse import WAITING
from cdc_users.options.table.record import PER_SINK
from cdc_users.pipeline.declaration import sinks
from cdc_users.scenario import Pipeline, Step, StepMode
from cdc_users.shapes.base import ScenarioShape
from cdc_users.shapes.pipeline import pipeline
from cdc_users.shapes.schedule import schedule_of, stages_of


def missing(sink: str) -> str | None:
    """Why runs of this installation leave a sink out; None where they do not."""
    reason = sinks().by_name[sink].lacking
    return None if reason is None else f"{sink} is left out: it {reason}"


class PerSinkShape(ScenarioShape):
    """One step for each sink: the topic is filled and then drained, or with `--rate` an
    open loop.
    """

    abstract = True
    kind = PER_SINK
    foremost: ClassVar[tuple[str, ...]] = ("sinks", "records", "rate", "duration")

    @override
    @classmethod
    def steps(cls, options: Options) -> tuple[Step, ...]:
        """One or two steps for each sink that this installation supports; `skipped` names the
        others.
        """
        if WAITING in options.sinks:
            raise OptionsError(
                [f"--sinks {WAITING} exists for the partitions scenario only; leave it out"]
            )
        usable = [sink for sink in options.sinks if missing(sink) is None]
        if not usable:
            raise OptionsError(cls.skipped(options))
        return tuple(step for sink in usable for step in _steps(cls.scenario.name, sink, options))

    @override
    @classmethod
    def skipped(cls, options: Options) -> tuple[str, ...]:
        return tuple(reason for sink in options.sinks if (reason := missing(sink)) is not None)


def _steps(scenario: str, sink: str, options: Options) -> list[Step]:
    """A drain; or an open loop, behind its warm-up if it has one."""
    stages = stages_of(options)
    if not stages:
        volume = Schedule.volume(-(-options.records // options.rows_per_transaction))
        return [_step(f"{scenario}-{sink}-drain", "drain", sink, volume, options)]
    return [_paced(scenario, sink, stage, options) for stage in stages]


def _paced(scenario: str, sink: str, stage: LoadStage, options: Options) -> Step:
    name = f"{scenario}-{sink}-{'warm-up' if stage.warm_up else 'paced'}"
    step = _step(name, "paced", sink, schedule_of(options, (stage,)), options)
    return dataclasses.replace(step, warm_up=stage.warm_up)


def _step(name: str, mode: StepMode, sink: str, schedule: Schedule, options: Options) -> Step:
    lanes = min(options.lanes, schedule.count)
    return Step(name, mode, schedule, _pipeline(sink, options), lanes, options.rows_per_transaction)


def _pipeline(sink: str, options: Options) -> Pipeline:
    return pipeline(dataclasses.replace(options, sink=sink, source="topic"))
