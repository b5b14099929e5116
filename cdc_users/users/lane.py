"""Lanes: users that take arrivals from the run's schedule and never move a later one.

Each process has one `LanePool`, which Locust's environment holds, with the share of the current
step. Every `LaneUser` is one lane: it takes the next arrival of the process's share when that is
due, carries it out, and takes the next. If all lanes are busy, the next arrival starts late, and
its send delay says by how much.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import gevent
import numpy as np
from gevent.event import Event
from locust import User, task
from locust.exception import StopUser
from numpy.typing import NDArray

from cdc_users.measure.clock import Anchor
from cdc_users.users.carried import carried
from cdc_users.users.message import Assignment as Assignment
from cdc_users.users.share import Arrival as Arrival
from cdc_users.users.share import Share as Share

#: How long a lane may take to finish its arrival once Locust has asked it to stop.
GRACE_S = 10.0


class LanePool:
    """The shares of one process; lanes wait here for the next step."""

    def __init__(self) -> None:
        self._share: Share | None = None
        self._published = Event()

    @property
    def share(self) -> Share | None:
        """The current step's share, or the last one's."""
        return self._share

    def has(self, assignment: Assignment) -> bool:
        """Whether the lanes work on this step."""
        mine = None if self._share is None else self._share.assignment
        return mine is not None and (mine.run, mine.step) == (assignment.run, assignment.step)

    def publish(self, assignment: Assignment, anchor: Anchor) -> Share | None:
        """Give the lanes a new step and return its share. If the assignment is for the current
        step, only change its share and return None.
        """
        if self._share is not None and self.has(assignment):
            self._share.reassign(assignment)
            return None
        self._share = share = Share(assignment, anchor)
        published, self._published = self._published, Event()
        published.set()
        return share

    def reset(self) -> None:
        """Forget the share of a run that has ended."""
        self._share = None

    def steps(self) -> Iterator[Share]:
        """Each step as it begins, for one lane; the caller ends the iteration."""
        last: Share | None = None
        while True:
            published = self._published
            if self._share is None or self._share is last:
                published.wait()
                continue
            last = self._share
            yield last


class LaneUser(User):
    """A lane: takes arrivals from the plan, and `work` carries each of them out.

    Subclasses define `work`. With a `batch_limit` a lane takes all arrivals that are due at once,
    up to the limit, and `work_many` carries them out.
    """

    abstract = True
    batch_limit: ClassVar[int] = 0

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        self._in_step: Share | None = None
        self._leaving = False

    @task
    def run_lane(self) -> None:
        """Work through one step after another until the user is stopped."""
        try:
            for share in carried(self.environment, LanePool).steps():
                self._run_step(share)
        finally:
            self.close()

    def _run_step(self, share: Share) -> None:
        lane = share.enter()
        self._in_step = share
        try:
            self.begin(share, lane)
            try:
                while self._next(share):
                    pass
                self.wait_for_answers()
            finally:
                self.end()
            if self._leaving:
                raise StopUser
        finally:
            self._in_step = None
            share.leave()

    def _next(self, share: Share) -> bool:
        """Take the next arrivals and carry them out; False if there are no more, or this lane must
        stop.
        """
        if self.batch_limit:
            intended_ns = share.take_many(self.batch_limit, lambda: self._leaving)
            if intended_ns is not None:
                self.work_many(share, intended_ns)
            return intended_ns is not None
        arrival = share.take(lambda: self._leaving)
        if arrival is not None:
            self.work(share, arrival)
        return arrival is not None

    def stop(self, force: bool = False) -> bool:
        """Locust takes this lane away, perhaps to start it in another process. With `force` the
        lane ends at once, otherwise when its current statement is done.

        A statement that is cut off may or may not have an effect; one that is waited for has a
        known outcome. A lane that waits for an arrival is not killed either, because it could get
        one before gevent reaches the lane.
        """
        if self._in_step is None:
            return bool(super().stop(force))
        self._leaving = True
        gevent.spawn_later(self._in_step.grace_left_s(GRACE_S), super().stop, True)
        return True

    def begin(self, share: Share, lane: int) -> None:
        """A step begins; `lane` is this lane's number within the whole run."""
        raise NotImplementedError

    def work(self, share: Share, arrival: Arrival) -> None:
        """Carry out one arrival and record it; a failure is recorded, never raised."""
        raise NotImplementedError

    def work_many(self, share: Share, intended_ns: NDArray[np.int64]) -> None:
        """Carry out all these arrivals (monotonic ns) and record them; a failure is recorded,
        never raised.
        """
        raise NotImplementedError

    def wait_for_answers(self) -> None:
        """The lane takes no more of this step: wait until every record or statement on its way has
        an outcome.
        """

    def end(self) -> None:
        """The step ends for this lane, or the lane is killed: give every statement that has begun
        an outcome.
        """

    def close(self) -> None:
        """The lane ends: release its connection or producer."""
