"""Fixed volumes as fast as they go, or an open loop at a rate: the shape of the throughput
scenario.
"""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from typing_extensions import override

from cdc_users.measure.schedule.plan import Schedule
from cdc_users.options.options import Options
from cdc_users.options.table.record import VOLUME
from cdc_users.scenario import Step, StepMode
from cdc_users.shapes.base import ScenarioShape
from cdc_users.shapes.pipeline import pipeline
from cdc_users.shapes.schedule import schedule_of, stages_of


def volume_steps(name: str, options: Options) -> tuple[Step, ...]:
    """One burst step for each of `--rows`."""
    size = options.rows_per_transaction
    return tuple(
        _step(f"{name}-{rows}-rows", "burst", Schedule.volume(rows // size), options)
        for rows in options.rows
    )


def paced_steps(name: str, options: Options) -> tuple[Step, ...]:
    """One open-loop step for each stage of `--rate` or `--stages`."""
    return tuple(
        replace(
            _step(f"{name}-{stage.name}", "paced", schedule_of(options, (stage,)), options),
            warm_up=stage.warm_up,
        )
        for stage in stages_of(options)
    )


def _step(name: str, mode: StepMode, schedule: Schedule, options: Options) -> Step:
    lanes = min(options.lanes, schedule.count)
    return Step(name, mode, schedule, pipeline(options), lanes, options.rows_per_transaction)


class VolumeShape(ScenarioShape):
    """Bursts of `--rows`, or one paced step when `--rate` is given."""

    abstract = True
    kind = VOLUME
    foremost: ClassVar[tuple[str, ...]] = ("rows", "rate", "duration", "sink")

    @override
    @classmethod
    def steps(cls, options: Options) -> tuple[Step, ...]:
        return (
            volume_steps(cls.scenario.name, options)
            if options.rows
            else paced_steps(cls.scenario.name, options)
        )
