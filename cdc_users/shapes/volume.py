"""Fixed volumes as fast as they go, or an open loop at a rate: the shape of the throughput scenario."""

from __future__ import annotations

from cdc_users.error import OptionsError
from cdc_users.measure.plan import Schedule
from cdc_users.options import Options
from cdc_users.scenario import Mode, Pipeline, Step
from cdc_users.shapes.base import ScenarioShape


def pipeline(options: Options) -> Pipeline:
    """The pipeline that plain scenarios use for all of their steps."""
    return Pipeline(
        sink=options.sink,
        partitions=options.partitions[0],
        instances=options.instances[0],
        batch_size=options.batch_size,
        max_buffered_messages=options.max_buffered_messages,
        sink_delay_s=options.sink_delay if options.sink == "slow" else 0.0,
    )


def paced_steps(name: str, options: Options) -> tuple[Step, ...]:
    """The open-loop steps that `--rate` or `--stages` ask for, the warm-up first."""
    seed = options.seed if options.arrivals == "poisson" else None
    steps = []
    if options.warm_up:
        first_rate = options.rate or options.stages[0].rate_per_s
        steps.append(_step(f"{name}-warm-up", "paced", Schedule.constant(first_rate, options.warm_up, seed), options, warm_up=True))
    if options.rate:
        assert options.duration is not None
        schedule = Schedule.constant(options.rate, options.duration, seed)
        steps.append(_step(f"{name}-{options.rate:g}-per-s", "paced", schedule, options))
    for number, stage in enumerate(options.stages, start=1):
        schedule = Schedule.staged((stage,), seed)
        steps.append(_step(f"{name}-stage-{number}-{stage.rate_per_s:g}-per-s", "paced", schedule, options))
    return tuple(steps)


def volume_steps(name: str, options: Options) -> tuple[Step, ...]:
    """One burst step for each of `--rows`."""
    size = options.rows_per_transaction
    uneven = [rows for rows in options.rows if rows % size]
    if uneven:
        raise OptionsError([f"--rows {uneven[0]} is not a multiple of --rows-per-transaction {size}; make it one"])
    return tuple(
        _step(f"{name}-{rows}-rows", "burst", Schedule.volume(rows // size), options) for rows in options.rows
    )


def _step(name: str, mode: Mode, schedule: Schedule, options: Options, *, warm_up: bool = False) -> Step:
    lanes = min(options.lanes, schedule.count)
    return Step(name, mode, schedule, pipeline(options), lanes, options.rows_per_transaction, warm_up)


class VolumeShape(ScenarioShape):
    """Bursts of `--rows`, or paced steps when `--rate` or `--stages` is given."""

    abstract = True

    @classmethod
    def steps(cls, options: Options) -> tuple[Step, ...]:
        """See ScenarioShape."""
        if options.rows:
            return volume_steps(cls.scenario.name, options)
        return paced_steps(cls.scenario.name, options)
