"""When each fault happens: moments and order follow from a seed alone. Pure."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

#: A fault begins within this time after the steady part, at random, so that it does not always meet
#: the pipeline's rhythms at the same point.
JITTER_SHARE = 0.5
#: Injecting and healing take time themselves: on a busy machine a Java server takes a minute to
#: start. The load ends as soon as everything was seen, so a generous value costs nothing.
ACT_S = 90.0


@dataclass(frozen=True, slots=True)
class PlannedFault:
    """One fault of a step; times in seconds after the step's start.

    It is injected at `inject_at_s` and healed `hold_s` later (at once for a fault that is not
    held). The baseline is measured from `steady_from_s` until the injection. After the healing the
    load goes on for `recover_s`, or until the pipeline is back at the baseline.
    """

    name: str
    round: int
    steady_from_s: float
    inject_at_s: float
    hold_s: float
    recover_s: float

    @property
    def duration_s(self) -> float:
        """The longest duration of the step's load, in seconds."""
        return self.inject_at_s + self.hold_s + self.recover_s + ACT_S


@dataclass(frozen=True, slots=True)
class FaultTimes:
    """How long the parts of a step with a fault are, in seconds."""

    steady_s: float
    hold_s: float
    recover_s: float


#: The share of the steady part in which a step is still starting up.
SETTLING_SHARE = 0.25


def plan_faults(
    names: Sequence[str], rounds: int, times: FaultTimes, seed: int
) -> tuple[PlannedFault, ...]:
    """Each fault once in every round, in a random order; the same for the same seed."""
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
