"""A locustfile whose generator is at fault, as FAULT says: what it measured may not be used."""

from __future__ import annotations

import os
import sys
import time

from cdc_users.measure import clock
from cdc_users.scenario import Scenario
from cdc_users.shapes.volume import VolumeShape
from cdc_users.users.lane import Arrival, Share
from cdc_users.users.postgres import PostgresUser

FAULT = os.environ["FAULT"]
STALL_S, BUSY_S, CLOCK_STEP_NS = 1.3, 0.02, 5_000_000_000
#: By how much the clock of a worker is off that is as if on another host.
ELSEWHERE_NS = -3_000_000_000

if FAULT == "elsewhere" and "--worker" in sys.argv:
    clock.boot_id = lambda: "elsewhere"
    here_ns = time.time_ns
    time.time_ns = lambda: here_ns() + ELSEWHERE_NS


def spin(seconds: float) -> None:
    """Hold the processor, and with it every lane of the process."""
    end_s = time.monotonic() + seconds
    while time.monotonic() < end_s:
        pass


class FaultyWriter(PostgresUser):
    """Inserts customers, and does something wrong beside it."""

    def work(self, share: Share, arrival: Arrival) -> None:
        if FAULT == "stall" and share.tally.started == 10:
            spin(STALL_S)
        if FAULT == "busy":
            spin(BUSY_S)
        if FAULT == "forget" and share.tally.started == 10:
            share.record = lambda *_, **__: None  # type: ignore[method-assign]
        if FAULT == "clock" and share.tally.started == 10:
            true_time_ns = time.time_ns
            time.time_ns = lambda: true_time_ns() + CLOCK_STEP_NS
        super().work(share, arrival)


class FaultyShape(VolumeShape):
    """An open loop."""

    writer = FaultyWriter
    scenario = Scenario("faulty", question="Is a generator at fault found out?")
