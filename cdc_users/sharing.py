"""Who owns which arrivals of a step, and which lane numbers, while processes come and go. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from cdc_users.measure.plan import Part, PlanError, Schedule, first_parts, next_parts

#: Room between the lane numbers of two processes, for each lane of one: a lane that Locust restarts gets a new number.
ROOM_PER_LANE = 10


@dataclass(frozen=True, slots=True)
class Ownership:
    """What one process owns: parts of the schedule, and the lane numbers from `first_lane` on."""

    parts: tuple[Part, ...]
    first_lane: int

    def to_json(self) -> list[list[int]]:
        """The parts as they travel in an assignment."""
        return [[part.begin, part.end, part.index, part.of] for part in self.parts]


@dataclass(slots=True)
class Sharing:
    """The division of one step. `begin` at its start, `change` when the processes with lanes are others."""

    schedule: Schedule
    lanes: int
    owners: dict[str, Ownership] = field(default_factory=dict)
    _room: int = 0

    def begin(self, workers: Sequence[str]) -> dict[str, Ownership]:
        """What each process is to be told; raises PlanError where there are more of them than arrivals or lanes."""
        if len(workers) > self.lanes:
            raise PlanError(
                f"{len(workers)} workers are more than {self.lanes} lanes; lower --processes or raise --lanes"
            )
        self._room = ROOM_PER_LANE * -(-self.lanes // len(workers))
        return self._own(first_parts(self.schedule, workers))

    def change(self, workers: Sequence[str], offset_ns: int) -> dict[str, Ownership]:
        """What each process is to be told when from an offset on these take part; nothing where that changes nothing.

        The offset must lie so far ahead that all of them hear of it in time. More processes than lanes get nothing.
        """
        parts = {worker: owned.parts for worker, owned in self.owners.items()}
        changed = next_parts(self.schedule, parts, workers[: self.lanes], offset_ns)
        return {worker: owned for worker, owned in self._own(changed).items() if owned.parts != parts.get(worker, ())}

    def _own(self, parts: dict[str, tuple[Part, ...]]) -> dict[str, Ownership]:
        for worker, owned in parts.items():
            known = self.owners.get(worker)
            first_lane = known.first_lane if known is not None else len(self.owners) * self._room
            self.owners[worker] = Ownership(owned, first_lane)
        return {worker: self.owners[worker] for worker in parts}
