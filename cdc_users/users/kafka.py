"""The Kafka user: takes all change events that are due, produces them straight to the topic, and
times each acknowledgement.

Every lane is a writer of its own. All lanes of a process share one producer, which the first lane
creates; so no fork comes after it.
"""

from __future__ import annotations

import os
import sys
import time
from collections import deque
from itertools import pairwise
from typing import Any

import gevent
import numpy as np
from gevent.event import Event
from gevent.lock import Semaphore
from numpy.typing import NDArray
from typing_extensions import override

from cdc_users.measure.clock import Anchor
from cdc_users.users.carried import carried
from cdc_users.users.lane import LaneUser
from cdc_users.users.producer.bulk_insert import InsertFlight, Insertion
from cdc_users.users.producer.in_flight import ChangeFlight, Flight, PipelinedWriter
from cdc_users.users.producer.producer import AvroProducer, SendOptions
from cdc_users.users.share import GIVE_WAY_S, Share
from cdc_users.users.target import TopicTarget
from cdc_users.users.workload.workload import Writer, writer_number

#: The most arrivals that a lane takes at once.
BATCH_ARRIVALS = 1000
#: Arrivals in one flight: few enough that acknowledgements are handled about every millisecond.
FLIGHT_ARRIVALS = 200
#: How long the poller sleeps if nothing came in, and a lane if the local queue is full.
NAP_S = 0.001
RECORDS_PER_FLUSH = 1000
STOPPED = "the load was stopped"
ADDED_COLUMN = "tier"


class RecordSender:
    """A process's producer, and the greenlet that handles its acknowledgements."""

    def __init__(self) -> None:
        self._producer: AvroProducer | None = None
        self._used: tuple[str, TopicTarget] | None = None
        #: Lanes push one at a time, so that between two flights every other greenlet gets its turn.
        self.turn = Semaphore()
        self._flying = Event()
        self._poller: Any = None

    def use(self, run: str, target: TopicTarget, anchor: Anchor) -> AvroProducer:
        """The producer for this target; a new one if the target has changed, or the run: its
        writers have the numbers of the last run's, and its column is still to be added.
        """
        if self._producer is None or self._used != (run, target):
            if self._producer is not None:
                # Its destructor joins threads. That cannot block: lanes have waited for all their
                # records.
                gevent.get_hub().threadpool.spawn(self._producer.flush, 0)
            for name, text in target.access.items():
                # setdefault, because a worker on another host may have its own values.
                os.environ.setdefault(name, text)
            self._producer = AvroProducer(
                target.bootstrap,
                target.channels,
                anchor,
                SendOptions(headers=target.headers, linger_ms=target.linger_ms),
            )
            self._used = run, target
        if self._poller is None or self._poller.dead:
            self._poller = gevent.spawn(self._poll)
        return self._producer

    def push(self, flight: Flight) -> bool:
        """Hand over a flight or the rest of one; False if the local queue is full."""
        assert self._producer is not None
        taken = self._producer.push(flight)
        self._flying.set()
        return taken

    def look(self) -> bool:
        """Handle the acknowledgements that have come; returns whether a flight landed. Never
        switches greenlets.
        """
        assert self._producer is not None
        landed = self._producer.poll(0)
        for flight in landed:
            flight.owner.landed(flight)
        return bool(landed)

    @property
    def evolved(self) -> bool:
        """Whether a column has been added for this target."""
        return self._producer is not None and bool(self._producer.channels[0].added)

    def evolve(self, registry_url: str) -> None:
        """Add a column, once for this target."""
        assert self._producer is not None
        if not self.evolved:
            self._producer.evolve(registry_url, ADDED_COLUMN)

    def _poll(self) -> None:
        while True:
            self._flying.wait()
            gevent.sleep(0 if self.look() else NAP_S)
            assert self._producer is not None
            if not self._producer.flying:
                self._flying.clear()


class Logbook:
    """A lane's flights in one step, and their outcomes."""

    def __init__(self, share: Share, writer: Writer, environment: Any) -> None:
        self._share = share
        self._writer = writer
        self._environment = environment
        self._flying: deque[Flight] = deque()
        self._times_ns: list[tuple[NDArray[np.int64], ...]] = []
        self._acks_us: list[NDArray[np.int64]] = []
        self._unrecorded = 0
        self._all_landed = Event()
        self._all_landed.set()

    def depart(self, flight: Flight) -> None:
        """Note a flight that is about to be pushed."""
        self._flying.append(flight)
        self._all_landed.clear()

    def landed(self, flight: Flight) -> None:
        """Note a flight that has all its answers; called by the poller, which must not wait."""
        if not self._flying or self._flying[0] is not flight:
            return  # the flight was given up before
        self._flying.popleft()
        self._settle(flight)
        if not self._flying:
            self._record()
            self._all_landed.set()

    def wait(self) -> None:
        """Wait until every flight has landed; the client itself gives up records without an
        answer.
        """
        self._all_landed.wait()

    def strand(self, intended_ns: NDArray[np.int64]) -> None:
        """Record arrivals that the lane took and could not turn into a flight, because it was
        killed.
        """
        if count := len(intended_ns):
            self._share.record_many(
                intended_ns, time.monotonic_ns(), time.monotonic_ns(), failed=True
            )
            self._share.tally.failed += count
            self._share.note_error(STOPPED, count)

    def give_up(self, cause: str) -> None:
        """End the lane now: records without an answer are unknown, unsent ones have failed."""
        while self._flying:
            flight = self._flying.popleft()
            flight.give_up(cause)
            self._settle(flight)
        self._record()
        self._all_landed.set()

    def _settle(self, flight: Flight) -> None:
        share, acked = self._share, flight.acked()
        for outcome, first, last in flight.runs():
            self._writer.ranges.add(outcome, first, last)
        intended_ns, called_ns, done_ns = flight.times_ns()
        self._times_ns.append((intended_ns[acked], called_ns[acked], done_ns[acked]))
        self._acks_us.append(flight.ack_us())
        self._unrecorded += len(flight)
        if self._unrecorded >= RECORDS_PER_FLUSH:
            self._record()
        completed = int(np.count_nonzero(acked))
        share.tally.completed += completed
        share.tally.rows += len(flight) - len(flight.failures)
        share.tally.bytes += flight.bytes
        if completed:
            slowest_ns = int((done_ns[acked] - intended_ns[acked]).max())
            self._fire(slowest_ns / 1e6, len(flight) - len(flight.failures), None)
        if flight.failures:
            self._settle_failures(flight, ~acked)

    def _record(self) -> None:
        """Add the gathered times to the histograms; many at once, because each call costs time."""
        if self._unrecorded:
            intended_ns, called_ns, done_ns = map(np.concatenate, zip(*self._times_ns, strict=True))
            self._share.record_many(intended_ns, called_ns, done_ns)
            self._share.recorder.record_many_us("ack", np.concatenate(self._acks_us))
            self._times_ns, self._acks_us, self._unrecorded = [], [], 0

    def _settle_failures(self, flight: Flight, failed: NDArray[np.bool_]) -> None:
        intended_ns, called_ns, done_ns = flight.times_ns()
        self._share.record_many(
            intended_ns[failed], called_ns[failed], done_ns[failed], failed=True
        )
        self._share.tally.failed += int(np.count_nonzero(failed))
        for cause, count in flight.causes().items():
            self._share.note_error(cause, count)
            self._fire(0.0, count, ProduceError(cause))

    def _fire(self, response_ms: float, records: int, error: Exception | None) -> None:
        self._environment.events.request.fire(
            request_type="KAFKA",
            name="produce batch (slowest response)",
            response_time=response_ms,
            response_length=records,
            exception=error,
            context={},
        )


def _target(share: Share) -> TopicTarget:
    target = share.assignment.target
    assert isinstance(target, TopicTarget)
    return target


class ProduceError(Exception):
    """Records were not acknowledged; the message has the cause."""


class KafkaUser(LaneUser):
    """Writes customers' change events straight to the topic, in Debezium's envelope.

    Declare a subclass in a locustfile; operations, payload, keys and rows per arrival come from the
    options.
    """

    abstract = True
    batch_limit = BATCH_ARRIVALS

    def begin(self, share: Share, lane: int) -> None:
        """Start a writer for this step on the process's producer."""
        run, number = share.assignment.run, writer_number(share.assignment.step, lane)
        self._writer = PipelinedWriter(run, number, share.assignment.workload)
        self._insertion = (
            Insertion(self._writer, run) if self._writer.workload.only_inserts else None
        )
        self._logbook = Logbook(share, self._writer, self.environment)
        share.ranges[number] = self._writer.ranges
        self._sender = carried(self.environment, RecordSender)
        self._sender.use(run, _target(share), share.anchor)

    @override
    def work_many(self, share: Share, intended_ns: NDArray[np.int64]) -> None:
        """Push the arrivals' records; `wait_for_answers` waits for the acknowledgements."""
        count, aboard = len(intended_ns), 0
        due = self._due_to_evolve(share) - (share.tally.started - count)
        try:
            for start, end in pairwise(sorted({*range(0, count, FLIGHT_ARRIVALS), count, due})):
                if not 0 <= start < end <= count:
                    continue  # `due` is not within these arrivals
                with self._sender.turn:
                    if start >= due:
                        self._sender.evolve(_target(share).schema_registry_url)
                    flight = self._flight(share, intended_ns[start:end])
                    self._logbook.depart(flight)
                    aboard = end
                    self._send(share, flight)
        finally:
            self._logbook.strand(intended_ns[aboard:])

    def _send(self, share: Share, flight: Flight) -> None:
        if not self._sender.push(flight):
            self._wait_for_room(share, flight)
        self._sender.look()
        # Let the poller, the reports and all other greenlets have their turn.
        gevent.sleep(GIVE_WAY_S)

    def _due_to_evolve(self, share: Share) -> int:
        """How many of this share's arrivals come before the one that adds a column."""
        evolve_at = _target(share).evolve_at
        return sys.maxsize if evolve_at is None else -(-(evolve_at - 1) // share.assignment.shares)

    def _flight(self, share: Share, intended_ns: NDArray[np.int64]) -> Flight:
        size, intended_us = share.assignment.rows_per_arrival, share.wall_us(intended_ns)
        if self._insertion is not None and not self._sender.evolved:
            return InsertFlight(self._insertion, size, intended_ns, intended_us, self._logbook)
        flight = ChangeFlight(self._logbook)
        for at_ns, at_us in zip(intended_ns.tolist(), intended_us.tolist(), strict=True):
            flight.add(self._writer.transaction(size, at_us), at_ns)
        return flight

    def _wait_for_room(self, share: Share, flight: Flight) -> None:
        """Wait while the local queue is full; the flight's latency includes this time."""
        began_ns = time.monotonic_ns()
        while not self._sender.push(flight):
            gevent.sleep(NAP_S)
        waited_us = (time.monotonic_ns() - began_ns) // 1000
        share.recorder.record_many_us("backpressure", np.array([waited_us], dtype=np.int64))

    @override
    def wait_for_answers(self) -> None:
        self._logbook.wait()

    @override
    def end(self) -> None:
        self._logbook.give_up(STOPPED)
