"""From options to the load: the stages of the open loop, their schedules, and the writers'
workload. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence

from cdc_users.error import OptionsError
from cdc_users.measure.schedule.plan import LoadStage, PlanError, Schedule
from cdc_users.options.options import Options

#: A load of this length or more has a warm-up by default. In its first seconds a pipeline fills
#: caches, opens connections and compiles code; a shorter run is only a try.
WARMED_FROM_S = 10.0
WARM_UP_S = 5.0


def stages_of(options: Options) -> tuple[LoadStage, ...]:
    """The stages of the open loop. A warm-up comes first if one is asked for, or if the load is
    long enough to have one by default. A burst has no stages.
    """
    stages = options.stages
    if options.rate is not None and options.duration is not None:
        stages = (LoadStage(options.rate, options.rate, options.duration),)
    warm_up_s = _warm_up_s(options, stages)
    if stages and warm_up_s:
        rate = stages[0].start_per_s or stages[0].end_per_s
        stages = (LoadStage(rate, rate, warm_up_s, warm_up=True), *stages)
    return stages


def _warm_up_s(options: Options, stages: Sequence[LoadStage]) -> float:
    if options.warm_up is not None:
        return options.warm_up
    has_own = any(stage.warm_up for stage in stages)
    long = sum(stage.duration_s for stage in stages) >= WARMED_FROM_S
    return WARM_UP_S if long and not has_own and not options.smoke else 0.0


def schedule_of(options: Options, stages: Sequence[LoadStage]) -> Schedule:
    """The arrivals of some stages, spaced as `--arrival` says; raises OptionsError if there are
    none.
    """
    poisson = options.arrival == "poisson"
    try:
        return Schedule.staged(stages, options.seed if poisson else None)
    except PlanError as error:
        flag = "--stages" if options.stages else "--rate"
        if options.warm_up and stages[0].warm_up:
            flag = "--warm-up"
        with_seed = f" with --arrival poisson of --seed {options.seed}" if poisson else ""
        raise OptionsError([f"{flag}{with_seed}: {error}"]) from error
