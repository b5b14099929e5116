"""Which process owns which arrivals and lane numbers of a step, while processes join and leave."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import structlog
from msgspec.structs import replace

from cdc_users.error import HarnessError
from cdc_users.measure.ledger.probe import LANES_PER_STEP
from cdc_users.measure.schedule.plan import (
    PlanError,
    Schedule,
    SchedulePart,
    first_parts,
    next_parts,
)
from cdc_users.step.state import StepState
from cdc_users.users.message import Ask, Assignment, Halt

logger = structlog.get_logger()

# Lanes connect between the announcement of a step and its first arrival.
LEAD_S = 0.5
LEAD_DISTRIBUTED_S = 1.5
TELL_AGAIN_S = 1.0
#: Lane numbers for each lane that a process should have: every lane that Locust starts during a
#: step takes a new one.
ROOM_PER_LANE = 10


@dataclass(frozen=True, slots=True)
class Ownership:
    """What one process owns: parts of the schedule, and the lane numbers from `first_lane` on."""

    parts: tuple[SchedulePart, ...]
    first_lane: int


@dataclass(slots=True)
class Sharing:
    """The division of one step.

    `begin` divides it at its start; `change` divides it again when other processes have lanes.

    `lanes` counts all lanes that are up, also more than the step can use: each is a writer. No two
    processes share a lane number, and none has a number of another step. Both methods raise
    HarnessError if there are too few numbers for that.
    """

    schedule: Schedule
    lanes: int
    owners: dict[str, Ownership] = field(default_factory=dict)
    _numbered: int = 0

    def begin(self, workers: Sequence[str]) -> dict[str, Ownership]:
        """The ownership of each process; raises PlanError for more processes than arrivals or
        lanes.
        """
        if len(workers) > self.lanes:
            raise PlanError(
                f"{len(workers)} workers are more than {self.lanes} lanes; lower --processes or"
                " raise --lanes"
            )
        return self._own(first_parts(self.schedule, workers), len(workers))

    def change(self, workers: Sequence[str], offset_ns: int) -> dict[str, Ownership]:
        """The ownership of each process when these take part from an offset on; empty if nothing
        changes.

        The offset must be far enough ahead for all of them to be informed in time. If there are
        more processes than lanes, the surplus ones own nothing.
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
        """How many lane numbers each newcomer gets: one for each lane of the run, because Locust
        may have all of them in one process for a while, if half of the free numbers suffice for
        that; in any case one for each of its own lanes.
        """
        each, left = -(-self.lanes // processes), LANES_PER_STEP - self._numbered
        if newcomers * each > left:
            raise HarnessError(
                f"{self.lanes} lanes in {processes} processes need more than the {LANES_PER_STEP}"
                " lane numbers of a step; lower --lanes, or start all workers before the run"
            )
        return max(each, min(max(self.lanes, ROOM_PER_LANE * each), left // (2 * newcomers)))


class LaneMessenger(Protocol):
    """How a run reaches the processes with lanes."""

    def workers(self) -> list[str]:
        """The ids of the processes that run lanes."""

    def assign(self, worker: str, assignment: Assignment) -> None:
        """Give a process its share of a step."""

    def ask(self, worker: str, message: Ask) -> None:
        """Have a process report on its share now."""

    def halt(self, message: Halt) -> None:
        """Ask every process to take no further arrivals."""


@dataclass(slots=True)
class Assigner:
    """Tells each process with lanes what it owns of one step, from the announcement to the end.

    `template` has the parts of an assignment that all processes share.
    """

    state: StepState
    template: Assignment
    sender: LaneMessenger
    now_us: Callable[[], int]
    _sharing: Sharing = field(init=False)
    _assigned_s: float = 0.0

    def __post_init__(self) -> None:
        self._sharing = Sharing(self.state.step.schedule, self.state.step.lanes)

    def announce(self) -> None:
        """Fix the step's start a little ahead, and tell every process; raises HarnessError if there
        are too many.
        """
        state, workers = self.state, tuple(self.sender.workers())
        lead_s = LEAD_S if workers == ("local",) else LEAD_DISTRIBUTED_S
        state.t0_us = self.now_us() + round(lead_s * 1e6)
        state.workers = workers
        try:
            self._assign(self._sharing.begin(workers))
        except PlanError as error:
            raise HarnessError(f"{state.step.name}: {error}") from error

    def follow(self) -> None:
        """Called while the load lasts: a new worker gets its part of the arrivals that are not due
        yet; a process that has finished its share gets no more.

        A worker reports that it is ready before it listens to us (WorkerRunner.__init__), so an
        assignment may be lost. It is therefore sent again until the worker reports; a repeated one
        changes nothing.
        """
        state = self.state
        if time.monotonic() - self._assigned_s > TELL_AGAIN_S:
            self._assign(
                {
                    worker: self._sharing.owners[worker]
                    for worker in state.workers
                    if worker not in state.reports
                }
            )
        takers = [worker for worker in self.sender.workers() if not state.is_done(worker)]
        takers = takers[: state.step.lanes]
        if state.step.mode != "paced" or not set(takers) - set(state.workers):
            return
        offset_ns = (self.now_us() - state.t0_us) * 1000 + round(LEAD_DISTRIBUTED_S * 1e9)
        logger.info("benchmark.shares", step=state.step.name, workers=len(takers))
        state.workers = tuple(dict.fromkeys((*state.workers, *takers)))
        self._assign(self._sharing.change(takers, offset_ns))

    def lost(self) -> set[str]:
        """Processes that went away before they had finished their shares."""
        there = set(self.sender.workers())
        return {
            worker
            for worker in self.state.workers
            if worker not in there and not self.state.is_done(worker)
        }

    def _assign(self, owners: Mapping[str, Ownership]) -> None:
        self._assigned_s = time.monotonic()
        for share, (worker, owned) in enumerate(owners.items()):
            assignment = replace(
                self.template,
                t0_us=self.state.t0_us,
                share=share,
                shares=len(self.state.workers),
                first_lane=owned.first_lane,
                parts=owned.parts,
            )
            self.sender.assign(worker, assignment)
