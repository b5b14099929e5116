"""The highest rate that a pipeline holds: the shape of the capacity scenario."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

from typing_extensions import override

from cdc_users.error import OptionsError
from cdc_users.measure.capacity.search import Trial
from cdc_users.measure.schedule.plan import Schedule
from cdc_users.options.options import Options
from cdc_users.options.proposal import refuse_too_many
from cdc_users.options.table.load import MOST_ROWS
from cdc_users.options.table.record import CAPACITY
from cdc_users.pipeline.declaration import sources
from cdc_users.scenario import Course, FixedCourse, Step
from cdc_users.shapes.base import ScenarioShape
from cdc_users.shapes.comparison import ComparisonCourse, Configuration, configurations
from cdc_users.shapes.course import CapacityCourse, probe_steps
from cdc_users.shapes.pipeline import pipeline

#: More transactions than any generator makes while its ceiling is measured.
CEILING_ARRIVALS = 10_000_000


def pattern_of(name: str, options: Options) -> Step:
    """A step with everything that all probes of a pipeline have in common."""
    nothing = Schedule.volume(1)
    return Step(
        name, "paced", nothing, pipeline(options), options.lanes, options.rows_per_transaction
    )


def planned_steps(name: str, options: Options) -> tuple[Step, ...]:
    """The certain steps of each compared pipeline: the harness's ceiling, and the first probe
    behind its warm-up.
    """
    if options.warm_up == 0:
        raise OptionsError(
            ["--warm-up none: each probe needs a warm-up of its own; leave the option out"]
        )
    most = MOST_ROWS * options.lanes / options.confirm
    if options.most > most:
        raise OptionsError(
            [
                f"--most {options.most:g}/s for --confirm {options.confirm:g}s is more than"
                f" {options.lanes} lanes have keys for; lower --most to {most:.0f}, or raise"
                " --lanes"
            ]
        )
    compared = configurations(options)
    refuse_too_many(len(compared))
    firsts = [
        step
        for one in compared
        for step in probe_steps(one.options, _pattern(name, one), Trial(options.from_), 1)
    ]
    pattern = pattern_of(name, compared[0].options)
    ceiling = replace(
        pattern,
        name=f"{name}-ceiling",
        mode="null",
        schedule=Schedule.volume(CEILING_ARRIVALS // options.rows_per_transaction),
        probe=True,
    )
    return (ceiling, *firsts) if sources().by_name[options.source].database else tuple(firsts)


def _pattern(name: str, compared: Configuration) -> Step:
    """The common step for one of several pipelines."""
    return pattern_of(f"{name}-{compared.of}" if compared.of else name, compared.options)


def course_of(name: str, options: Options, steps: Sequence[Step]) -> Course:
    """The search of the pipeline that the options name, or one search after another for several.

    `steps` are those of `planned_steps`.
    """
    searches = []
    for one in (compared := configurations(options)):
        pattern = _pattern(name, one)
        own = [step for step in steps if step.pipeline == pattern.pipeline]
        searches.append(CapacityCourse(one.options, pattern, own))
    return searches[0] if len(searches) == 1 else ComparisonCourse(compared, searches)


class CapacityShape(ScenarioShape):
    """Probes one rate after another until the highest that holds and the lowest that fails are
    close together, and confirms both. If the options name several pipelines, they follow one after
    another.
    """

    abstract = True
    kind = CAPACITY
    foremost: ClassVar[tuple[str, ...]] = ("slo", "from_", "most", "budget", "sink", "capture")

    @override
    @classmethod
    def steps(cls, options: Options) -> tuple[Step, ...]:
        return planned_steps(cls.scenario.name, options)

    @override
    @classmethod
    def course(cls, options: Options, steps: Sequence[Step]) -> Course:
        # A smoke run publishes no figures, so a search has nothing to judge.
        if options.smoke:
            return FixedCourse(steps)
        return course_of(cls.scenario.name, options, steps)
