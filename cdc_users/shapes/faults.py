"""One fault after another under load: steady, inject, hold, heal, recover."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from typing import ClassVar

from typing_extensions import override

from cdc_users.error import OptionsError
from cdc_users.measure.schedule.fault_plan import FaultTimes, PlannedFault, plan_faults
from cdc_users.measure.schedule.plan import LoadStage
from cdc_users.options.fault_load import arrivals_per_s
from cdc_users.options.fault_names import ALL, chosen
from cdc_users.options.options import Options
from cdc_users.options.table.record import FAULTS
from cdc_users.pipeline.provision.allow_list import allowed_faults
from cdc_users.scenario import Pipeline, Step
from cdc_users.shapes.base import ScenarioShape
from cdc_users.shapes.pipeline import pipeline
from cdc_users.shapes.schedule import schedule_of
from infra.faults.fault import RELAYED, faults
from infra.stack.supervise.state import CHECKOUT

ITS_OWN_TIMES = "use --steady, --hold and --recover"


def fault_steps(name: str, options: Options) -> tuple[Step, ...]:
    """A step for each fault of each round; raises OptionsError for faults that this pipeline does
    not allow.
    """
    watched = _watched(options)
    possible, reasons = _chosen(options, watched)
    needed = {need for name in possible for need in faults().by_name[name].needs}
    relayed = tuple(place for need, place in RELAYED.items() if need in needed)
    watched = dataclasses.replace(watched, relayed=relayed)
    if reasons and options.faults != (ALL,):
        raise OptionsError(reasons)
    rate_per_s = arrivals_per_s(
        options.rate, options.at, options.capacity, options.rows_per_transaction
    )
    if not possible or rate_per_s is None:
        raise OptionsError(
            ["name faults from docs/faults.md with --faults"] * (not possible)
            + ["faults are done under load; name one with --rate or --at"] * (rate_per_s is None)
        )
    times = FaultTimes(options.steady, options.hold, options.recover)
    planned = plan_faults(possible, options.rounds, times, options.seed)
    stages = [LoadStage(rate_per_s, rate_per_s, fault.duration_s) for fault in planned]
    return tuple(
        _step(name, options, watched, stage, fault)
        for stage, fault in zip(stages, planned, strict=True)
    )


def _chosen(options: Options, watched: Pipeline) -> tuple[list[str], list[str]]:
    """The faults to be done, and why others are not; `all` leaves out what the servers forbid.

    Faults that are named are refused elsewhere, with the other mistakes about servers.
    """
    possible, reasons = chosen(options.faults, watched)
    if options.faults != (ALL,):
        return possible, reasons
    possible, refused = allowed_faults(CHECKOUT, os.environ, possible, options.allow_fault)
    return possible, [*reasons, *refused]


def _watched(options: Options) -> Pipeline:
    return dataclasses.replace(pipeline(options), watched=True)


def _step(
    name: str, options: Options, watched: Pipeline, stage: LoadStage, fault: PlannedFault
) -> Step:
    done = faults().by_name[fault.name]
    prepared = dataclasses.replace(
        watched,
        small_disk="small disk" in done.needs,
        prepared_for=fault.name if done.prepare is not None else "",
    )
    words = [name, fault.name] + [f"round-{fault.round}"] * (options.rounds > 1)
    return Step(
        "-".join(words),
        "paced",
        schedule_of(options, (stage,)),
        prepared,
        options.lanes,
        options.rows_per_transaction,
        fault=fault,
        alone=done.lasting or done.prepare is not None,
    )


class FaultShape(ScenarioShape):
    """Does faults to a pipeline under load, one step each."""

    abstract = True
    kind = FAULTS
    foremost: ClassVar[tuple[str, ...]] = ("faults", "rate", "hold", "rounds")
    idle: ClassVar[Mapping[str, str]] = {
        "rows": "use --rate",
        "stages": "use --rate",
        "duration": ITS_OWN_TIMES,
        "warm_up": "use --steady",
    }

    @override
    @classmethod
    def steps(cls, options: Options) -> tuple[Step, ...]:
        return fault_steps(cls.scenario.name, options)

    @override
    @classmethod
    def skipped(cls, options: Options) -> tuple[str, ...]:
        if options.faults != (ALL,):
            return ()
        _, reasons = _chosen(options, _watched(options))
        return tuple(f"left out: {reason}" for reason in reasons)
