"""Who owns which arrivals of a step, and which lane numbers, while processes come and go. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from cdc_users.error import HarnessError
from cdc_users.measure.ledger.probe import LANES_PER_STEP
from cdc_users.measure.schedule.plan import (
    PlanError,
    Schedule,
    SchedulePart,
    first_parts,
    next_parts,
)

#: Lane numbers that a process gets for each lane that it should have: each that Locust starts in
#: mid-step takes one.
ROOM_PER_LANE = 10


@dataclass(frozen=True, slots=True)
class Ownership:
    """What one process owns: parts of the schedule, and the lane numbers from `first_lane` on."""

    parts: tuple[SchedulePart, ...]
    first_lane: int

    def to_json(self) -> list[list[int]]:
        """The parts as they travel in an assignment."""
        return [[part.begin, part.end, part.index, part.of] for part in self.parts]


@dataclass(slots=True)
class Sharing:
    """The division of one step.

    `begin` at its start, `change` when the processes with lanes are others.

    `lanes` are all that are up, be they more than the step can use: each of them is a writer. No
    two processes have a lane number in common, and none has one of another step; both raise
    HarnessError where there are too few for that.
    """

    schedule: Schedule
    lanes: int
    owners: dict[str, Ownership] = field(default_factory=dict)
    _numbered: int = 0

    def begin(self, workers: Sequence[str]) -> dict[str, Ownership]:
        """What each process is to be told; raises PlanError where there are more of them than
        arrivals or lanes.
        """
        if len(workers) > self.lanes:
            raise PlanError(
                f"{len(workers)} workers are more than {self.lanes} lanes; lower --processes or"
                " raise --lanes"
            )
        return self._own(first_parts(self.schedule, workers), len(workers))

    def change(self, workers: Sequence[str], offset_ns: int) -> dict[str, Ownership]:
        """What each process is to be told when from an offset on these take part; nothing where
        that changes nothing.

        The offset must lie so far ahead that all of them hear of it in time. More processes than
        lanes get nothing.
        """
        parts = {worker: owned.parts for worker, owned in self.owners.items()}
        takers = workers[: self.lanes]
        owners = self._own(next_parts(self.schedule, parts, takers, offset_ns), len(takers))
        return {
            worker: owned
            for worker, owned in owners.items()
            if owned.parts != parts.get(worker, ())
        }

    def _own(
        self, parts: dict[str, tuple[SchedulePart, ...]], processes: int
    ) -> dict[str, Ownership]:
        newcomers = [worker for worker in parts if worker not in self.owners]
        room = self._room(len(newcomers), processes) if newcomers else 0
        for worker in newcomers:
            self.owners[worker] = Ownership((), self._numbered)
            self._numbered += room
        self.owners |= {
            worker: Ownership(owned, self.owners[worker].first_lane)
            for worker, owned in parts.items()
        }
        return {worker: self.owners[worker] for worker in parts}

    def _room(self, newcomers: int, processes: int) -> int:
        """How many lane numbers each newcomer gets: as many as all lanes, for Locust may have them
        in one process for a while, if half of those that are left is enough for that; but always
        one for each lane of its own.
        """
        each, left = -(-self.lanes // processes), LANES_PER_STEP - self._numbered
        if newcomers * each > left:
            raise HarnessError(
                f"{self.lanes} lanes in {processes} processes need more than the {LANES_PER_STEP}"
                " lane numbers of a step; lower --lanes, or start all workers before the run"
            )
        return max(each, min(max(self.lanes, ROOM_PER_LANE * each), left // (2 * newcomers)))
