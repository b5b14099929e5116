"""The course of several searches, one after another, each with a pipeline of its own."""

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
    """One of the compared pipelines; `of` has the words that tell it from the others, which are
    also in its steps' names.
    """

    of: str
    options: Options


def configurations(options: Options) -> list[Configuration]:
    """Each capture with each number of partitions and instances, in the order of the options.

    A value that is named twice counts once: a search knows its steps by their pipeline.
    """
    found = []
    captures = dict.fromkeys(options.capture)
    partition_counts = dict.fromkeys(options.partitions)
    instance_counts = dict.fromkeys(options.instances)
    for capture, partitions, instances in product(captures, partition_counts, instance_counts):
        words = [capture] if len(captures) > 1 else []
        words += [f"{partitions}-partitions"] if len(partition_counts) > 1 else []
        words += [f"{instances}-instances"] if len(instance_counts) > 1 else []
        one = replace(options, capture=(capture,), partitions=(partitions,), instances=(instances,))
        found.append(Configuration("-".join(words), one))
    return found


@dataclass(frozen=True, slots=True)
class ComparisonCourse:
    """Searches one pipeline after the other, under the same workload.

    Each search has a budget of its own. The first search measures the harness's ceiling for all.
    """

    configurations: Sequence[Configuration]
    searches: Sequence[CapacityCourse]

    @property
    def planned(self) -> Sequence[Step]:
        """The first search's certain steps; the next search begins after the first one's answer."""
        return self.searches[0].planned

    @property
    def undecided_s(self) -> float:
        """The sum of the budgets."""
        return math.fsum(search.undecided_s for search in self.searches)

    def next_step(self, shown: Sequence[StepShown]) -> Step | None:
        """The next step of the first search without an answer. None when all searches have one, or
        when events left over in a pipeline would count for the next step.
        """
        for search, own in self._with_steps(shown):
            step = search.next_step(own)
            if step is not None:
                return step
            if own and not own[-1].drained:
                return None
        return None

    def give_up(self, progress: StepProgress) -> str:
        """The decision of the search that the step belongs to."""
        return next(
            search.give_up(progress)
            for search in self.searches
            if search.pattern.pipeline == progress.step.pipeline
        )

    def outcome(self, shown: Sequence[StepShown]) -> CourseOutcome:
        """The answers side by side; each search's objections to the run carry its name."""
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
        """Each search with its own steps, and with the ceiling once it is known."""
        ceiling_per_s = self.searches[0].ceiling_per_s(shown)
        return [
            (
                replace(search, known_ceiling_per_s=ceiling_per_s),
                [one for one in shown if one.step.pipeline == search.pattern.pipeline],
            )
            for search in self.searches
        ]
