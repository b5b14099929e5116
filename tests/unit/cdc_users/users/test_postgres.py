"""The PostgreSQL user's bookkeeping: an arrival whose row cannot be made is a failed one."""

from __future__ import annotations

import random
from typing import Any

import pytest
from locust.env import Environment

from cdc_users.measure.clock import new_anchor
from cdc_users.measure.schedule.plan import Schedule
from cdc_users.users.carried import carried
from cdc_users.users.lane import Assignment, LanePool, Share
from cdc_users.users.postgres import PostgresUser
from cdc_users.users.target import DatabaseTarget
from cdc_users.users.workload.table.kind import value_plan
from cdc_users.users.workload.table.plan import ColumnPlan, TablePlan
from cdc_users.users.workload.workload import Workload
from infra.postgres.catalog import CatalogType
from infra.stack.servers.port import free_ports

pytestmark = pytest.mark.gevent

ANCHOR = new_anchor()
NOBODY = f"host=127.0.0.1 port={free_ports(1)[0]} user=nobody dbname=nothing"
PLAN = TablePlan(
    schema="public",
    name="orders",
    columns=(
        ColumnPlan(name="id", value=value_plan(CatalogType("bigint")), distinct=True, fixed=True),
        ColumnPlan(name="text", value=value_plan(CatalogType("text"))),
    ),
    key=("id",),
    probe="note",
    head="abcdefgh",
    key_base=10**15,
)


class Torn(PostgresUser):
    abstract = True

    def row(self, _key: int, _chance: random.Random) -> dict[str, Any]:
        return {"text": "half \ud800"}


@pytest.mark.parametrize("mix", [(100, 0, 0), (60, 30, 10)])
def test_an_arrival_whose_row_cannot_be_made_fails_and_the_lane_goes_on(
    mix: tuple[int, int, int],
) -> None:
    assignment = Assignment(
        run="abcdefgh",
        step=1,
        t0_us=ANCHOR.now_us(),
        schedule=Schedule.volume(3),
        share=0,
        shares=1,
        first_lane=0,
        rows_per_arrival=2,
        anchor=ANCHOR,
        target=DatabaseTarget(dsn=NOBODY, schema="public", tables=("orders",), plans=(PLAN,)),
        workload=Workload(mix=mix),
    )
    environment = Environment()
    pool = carried(environment, LanePool)
    share = pool.publish(assignment, ANCHOR)
    assert isinstance(share, Share)
    user = Torn(environment)
    user._run_step(share)

    assert (share.tally.started, share.tally.failed, share.tally.completed) == (3, 3, 0)
    (cause,) = share.tally.errors
    assert cause.startswith(r"RowError: row() gives text of public.orders a text with '\ud800'")
    assert share.ranges[10_000].runs == {}
