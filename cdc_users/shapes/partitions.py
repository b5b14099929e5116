"""The same records through more and more partitions and instances: what do they gain?"""

from __future__ import annotations

import dataclasses
import itertools
import math
from typing import ClassVar, NamedTuple

from typing_extensions import override

from cdc_users.measure.schedule.plan import Schedule
from cdc_users.options.options import Options
from cdc_users.options.parse import WAIT_MS, WAITING, WAITING_BATCH
from cdc_users.options.proposal import refuse_too_many
from cdc_users.options.table.record import SCALING
from cdc_users.scenario import Pipeline, Step
from cdc_users.shapes.base import ScenarioShape
from cdc_users.shapes.pipeline import pipeline_with


def scaling_steps(name: str, options: Options) -> tuple[Step, ...]:
    """A drain of `--records` for each sink, partition count and instance count; `--repeat` repeats
    all.
    """
    rounds = range(1, options.repeat + 1)
    compared = (rounds, options.sinks, options.partitions, options.instances)
    refuse_too_many(math.prod(map(len, compared)))
    return tuple(
        _step(name, options, _Configuration(*found)) for found in itertools.product(*compared)
    )


class _Configuration(NamedTuple):
    """One of the compared configurations, in one of the rounds."""

    turn: int
    sink: str
    partitions: int
    instances: int


def _step(name: str, options: Options, of: _Configuration) -> Step:
    words = [name, of.sink, str(of.partitions)]
    words += [f"{of.instances}-instances"] if len(options.instances) > 1 else []
    words += [f"round-{of.turn}"] if options.repeat > 1 else []
    made = _pipeline(options, of)
    return Step("-".join(words), "drain", Schedule.volume(options.records), made, options.lanes)


def _pipeline(options: Options, of: _Configuration) -> Pipeline:
    """Waiting and counting sinks answer different questions: waits of partitions overlap, work does
    not.
    """
    waits = of.sink == WAITING
    named = dataclasses.replace(options, sink="slow" if waits else of.sink)
    made = pipeline_with(named, of.partitions, of.instances, WAIT_MS / 1000 if waits else 0.0)
    return dataclasses.replace(made, batch_size=WAITING_BATCH) if waits else made


class PartitionsShape(ScenarioShape):
    """Steps over partition and instance counts, each on a fresh topic with the same number of
    records.
    """

    abstract = True
    kind = SCALING
    foremost: ClassVar[tuple[str, ...]] = ("partitions", "instances", "sinks", "records")

    @override
    @classmethod
    def steps(cls, options: Options) -> tuple[Step, ...]:
        return scaling_steps(cls.scenario.name, options)
