"""When which fault is done: moments and order follow from a seed alone. Pure."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

#: A fault comes at a moment between the end of the steady part and so many of it later, so that
#: it meets no rhythm of the pipeline's always at the same point.
JITTER_SHARE = 0.5
#: To inject and to heal takes time itself: on a busy machine a Java server starts within a minute.
#: A load ends as soon as all is seen, so this costs nothing.
ACT_S = 90.0


@dataclass(frozen=True, slots=True)
class PlannedFault:
    """One fault of a step; times in seconds after the step's start.

    It is done at `inject_at_s` and undone `hold_s` later (at once where it does not hold); from
    `steady_from_s` until then the baseline is measured, and for `recover_s` after it the load goes
    on, unless the pipeline is back at the baseline before.
    """

    name: str
    round: int
    steady_from_s: float
    inject_at_s: float
    hold_s: float
    recover_s: float

    @property
    def duration_s(self) -> float:
        """How long the step's load may last at most."""
        return self.inject_at_s + self.hold_s + self.recover_s + ACT_S


@dataclass(frozen=True, slots=True)
class FaultTimes:
    """How long the parts of a step with a fault are, in seconds."""

    steady_s: float
    hold_s: float
    recover_s: float


#: Of the steady part, so much says only how the step got going.
SETTLING_SHARE = 0.25


def plan_faults(
    names: Sequence[str], rounds: int, times: FaultTimes, seed: int
) -> tuple[PlannedFault, ...]:
    """Each fault once in every round, in an order of chance; the same for the same seed."""
    chance = random.Random(f"faults {seed}")  # noqa: S311 - repeatable, and no secret
    planned = []
    for number in range(1, rounds + 1):
        for name in chance.sample(list(names), len(names)):
            planned.append(
                PlannedFault(
                    name=name,
                    round=number,
                    steady_from_s=round(SETTLING_SHARE * times.steady_s, 3),
                    inject_at_s=round(
                        times.steady_s * (1 + JITTER_SHARE * chance.random()),
                        3,
                    ),
                    hold_s=times.hold_s,
                    recover_s=times.recover_s,
                )
            )
    return tuple(planned)
