"""The course of several searches: one after the other, each with a pipeline of its own."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product

from cdc_users.measure.capacity.comparison import compare
from cdc_users.measure.judgement.search_summary import ComparedSearch
from cdc_users.options.options import Options
from cdc_users.scenario import CourseOutcome, Step, StepProgress, StepShown
from cdc_users.shapes.course import CapacityCourse


@dataclass(frozen=True, slots=True)
class Configuration:
    """One of the pipelines that the options compare; `of` are the words that tell it from the
    others, and stand in its steps' names.
    """

    of: str
    options: Options


def configurations(options: Options) -> list[Configuration]:
    """Each capture with each number of partitions and of instances, in the order of the options."""
    found = []
    compared = (options.capture, options.partitions, options.instances)
    for capture, partitions, instances in product(*compared):
        words = [capture] if len(options.capture) > 1 else []
        words += [f"{partitions}-partitions"] if len(options.partitions) > 1 else []
        words += [f"{instances}-instances"] if len(options.instances) > 1 else []
        one = replace(options, capture=(capture,), partitions=(partitions,), instances=(instances,))
        found.append(Configuration("-".join(words), one))
    return found


@dataclass(frozen=True, slots=True)
class ComparisonCourse:
    """Searches one pipeline after the other, under the same workload.

    Each search has a budget of its own. The harness' ceiling is measured once, by the first.
    """

    configurations: Sequence[Configuration]
    searches: Sequence[CapacityCourse]

    @property
    def planned(self) -> Sequence[Step]:
        """The first search's certain steps; the next one begins when that one has its answer."""
        return self.searches[0].planned

    @property
    def undecided_s(self) -> float:
        """The budgets together."""
        return math.fsum(search.undecided_s for search in self.searches)

    def next_step(self, shown: Sequence[StepShown]) -> Step | None:
        """The next step of the first search that has no answer; None when all have, or when what
        is left in a pipeline would be the next one's.
        """
        for search, own in self._with_steps(shown):
            step = search.next_step(own)
            if step is not None:
                return step
            if own and not own[-1].drained:
                return None
        return None

    def give_up(self, progress: StepProgress) -> str:
        """As the search says of which the step is."""
        return next(
            search.give_up(progress)
            for search in self.searches
            if search.pattern.pipeline == progress.step.pipeline
        )

    def outcome(self, shown: Sequence[StepShown]) -> CourseOutcome:
        """The answers side by side; what one search says against the run is said with its name."""
        rows: list[ComparedSearch] = []
        failed: list[str] = []
        invalid: list[str] = []
        for one, (search, own) in zip(self.configurations, self._with_steps(shown), strict=True):
            found = search.outcome(own)
            failed += [f"{one.of}: {reason}" for reason in found.failed]
            invalid += [f"{one.of}: {reason}" for reason in found.invalid]
            if found.summary is not None:
                pipeline = search.pattern.pipeline
                rows.append(
                    {
                        "of": one.of,
                        "capture": pipeline.capture,
                        "partitions": pipeline.partitions,
                        "instances": pipeline.instances,
                        "search": found.summary,
                    }
                )
        return CourseOutcome(
            failed=failed, invalid=invalid, comparison=compare(rows) if rows else None
        )

    def _with_steps(
        self, shown: Sequence[StepShown]
    ) -> Sequence[tuple[CapacityCourse, Sequence[StepShown]]]:
        """Each search with the steps that were its own, and with the ceiling that is known."""
        ceiling_per_s = self.searches[0].ceiling_per_s(shown)
        return [
            (
                replace(search, known_ceiling_per_s=ceiling_per_s),
                [one for one in shown if one.step.pipeline == search.pattern.pipeline],
            )
            for search in self.searches
        ]
