"""The Postgres user in a Locust of its own, without a scenario around it: one contestant of
user_comparison.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import gevent
from locust.env import Environment

from cdc_users.measure.clock import new_anchor
from cdc_users.measure.schedule.plan import Schedule
from cdc_users.run.locust import stats
from cdc_users.users.carried import carried
from cdc_users.users.lane import Assignment, LanePool
from cdc_users.users.postgres import PostgresUser
from cdc_users.users.target import DatabaseTarget
from cdc_users.users.workload.workload import Workload

LEAD_US = 300_000
#: More than anybody can write in the time.
PLENTY = 50_000_000


class ComparedWriter(PostgresUser):
    """Inserts customers."""


def run_user(dsn: str, schema: str, clients: int, seconds: float, method: Any, rows: int) -> float:
    """Rows a second of so many lanes, all arrivals due at once."""
    stats.install()
    environment: Any = Environment(user_classes=[ComparedWriter])
    runner = environment.create_local_runner()
    anchor = new_anchor()
    assignment = Assignment(
        run="compared",
        step=1,
        t0_us=anchor.now_us() + LEAD_US,
        schedule=Schedule.volume(PLENTY),
        share=0,
        shares=1,
        first_lane=0,
        rows_per_arrival=rows,
        anchor=anchor,
        target=DatabaseTarget(dsn, schema, ("customers",)),
        workload=Workload(insert_method=method),
    )
    share = carried(environment, LanePool).publish(assignment, anchor)
    assert share is not None
    gevent.spawn(share.watch_loop)
    runner.start(clients, spawn_rate=100)
    gevent.sleep(LEAD_US / 1e6)
    gevent.sleep(seconds)
    share.stop()
    written = share.tally.rows
    share.done.wait(10)
    assert not share.tally.failed, share.tally.errors
    runner.quit()
    return written / seconds


if __name__ == "__main__":
    schema, method, rows, clients, seconds = sys.argv[1:]
    rate = run_user(
        os.environ["CDC_COMPARISON_DSN"], schema, int(clients), float(seconds), method, int(rows)
    )
    print(json.dumps(rate))
