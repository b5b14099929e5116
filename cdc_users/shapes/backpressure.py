"""More load than the sink can take: warm-up, overload, hold, drain, for each delay of the sink."""

from __future__ import annotations

from typing import ClassVar

from typing_extensions import override

from cdc_users.error import OptionsError
from cdc_users.measure.schedule.plan import PlanError, Schedule
from cdc_users.options.options import Options
from cdc_users.options.table.record import PRESSURE
from cdc_users.scenario import Pipeline, Step, StepMark
from cdc_users.shapes.base import ScenarioShape
from cdc_users.shapes.pipeline import one_of, pipeline_with

#: The warm-up's share of what the sink can take: enough to warm it up, too little to fill a queue.
WARM_UP_SHARE = 0.5
WARM_UP_S = 5.0
OVERLOAD, HOLD = "overload", "hold"


def capacity_per_s(pipeline: Pipeline) -> float:
    """Events a second for a sink that sleeps once in each write, with one worker for each
    partition.
    """
    return pipeline.partitions * pipeline.batch_size / pipeline.sink_delay_s


def pressure_steps(name: str, options: Options) -> tuple[Step, ...]:
    """A warm-up and a step of overload for each `--sink-delay`; raises OptionsError for a sink
    without a delay.
    """
    if options.sink != "slow":
        raise OptionsError([f"--sink {options.sink} has no delay to overload; leave --sink slow"])
    partitions, instances = one_of(options, "partitions"), one_of(options, "instances")
    steps: list[Step] = []
    for delay_s in options.sink_delay:
        pipeline = pipeline_with(options, partitions, instances, delay_s)
        steps += [_warm_up(name, options, pipeline), _overload(name, options, pipeline)]
    return tuple(steps)


def _warm_up(name: str, options: Options, pipeline: Pipeline) -> Step:
    schedule = _schedule(
        options, pipeline, WARM_UP_SHARE, options.warm_up or WARM_UP_S, "--warm-up"
    )
    return Step(
        f"{name}-delay-{pipeline.sink_delay_s:g}s-warm-up",
        "paced",
        schedule,
        pipeline,
        options.lanes,
        warm_up=True,
    )


def _overload(name: str, options: Options, pipeline: Pipeline) -> Step:
    schedule = _schedule(
        options, pipeline, options.overload, options.fill + options.hold, "--fill and --hold"
    )
    marks = (StepMark(0.0, OVERLOAD), StepMark(options.fill, HOLD))
    return Step(
        f"{name}-delay-{pipeline.sink_delay_s:g}s",
        "paced",
        schedule,
        pipeline,
        options.lanes,
        steady=False,
        marks=marks,
    )


def _schedule(
    options: Options, pipeline: Pipeline, share: float, duration_s: float, flags: str
) -> Schedule:
    """A load of this share of the sink's capacity, for this time; raises OptionsError where that
    makes no event.
    """
    capacity = capacity_per_s(pipeline)
    try:
        return Schedule.constant(share * capacity, duration_s)
    except PlanError as error:
        sink = f"--sink-delay {pipeline.sink_delay_s:g}s with --batch-size {options.batch_size}"
        offered = f"{share * capacity:.3g} events a second for {duration_s:g} s ({flags}) make none"
        raise OptionsError(
            [f"{sink}: {offered}; lower the delay, or raise --batch-size or the duration"]
        ) from error


class BackpressureShape(ScenarioShape):
    """Overloads a slow sink and watches where the backlog goes."""

    abstract = True
    kind = PRESSURE
    foremost: ClassVar[tuple[str, ...]] = ("sink_delay", "overload", "fill", "hold")

    @override
    @classmethod
    def steps(cls, options: Options) -> tuple[Step, ...]:
        return pressure_steps(cls.scenario.name, options)
