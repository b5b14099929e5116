"""From options to what is offered: the stages of the open loop, their schedules, and the writers'
workload. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence

from cdc_users.error import OptionsError
from cdc_users.measure.schedule.plan import LoadStage, PlanError, Schedule
from cdc_users.options.options import Options


def stages_of(options: Options) -> tuple[LoadStage, ...]:
    """The stages of the open loop, a warm-up first where one is asked for; none for a burst."""
    stages = options.stages
    if options.rate is not None and options.duration is not None:
        stages = (LoadStage(options.rate, options.rate, options.duration),)
    if stages and options.warm_up is not None:
        rate = stages[0].start_per_s or stages[0].end_per_s
        stages = (LoadStage(rate, rate, options.warm_up, warm_up=True), *stages)
    return stages


def schedule_of(options: Options, stages: Sequence[LoadStage]) -> Schedule:
    """The arrivals of some stages, spaced as `--arrival` says; raises OptionsError where they make
    none.
    """
    poisson = options.arrival == "poisson"
    try:
        return Schedule.staged(stages, options.seed if poisson else None)
    except PlanError as error:
        flag = "--stages" if options.stages else "--rate"
        if options.warm_up is not None and stages[0].warm_up:
            flag = "--warm-up"
        with_seed = f" with --arrival poisson of --seed {options.seed}" if poisson else ""
        raise OptionsError([f"{flag}{with_seed}: {error}"]) from error
