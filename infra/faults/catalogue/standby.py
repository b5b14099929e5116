"""Fail-over of the source's PostgreSQL to a standby that has the run's slot too (PostgreSQL 17)."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace

from infra.faults.catalogue.database import connect_source
from infra.faults.catalogue.process import CAPTURE, POSTGRES, REPEATS_S, TABLE_CUT_OFF, act
from infra.faults.fault import Fault, FaultDeed, FaultGround
from infra.stack.servers.standby import SLOT

#: The settings of the primary that name its standby.
BEFORE_READERS, BEFORE_WRITERS = "synchronized_standby_slots", "synchronous_standby_names"


def _add(*settings: str) -> FaultDeed:
    """Add a standby, and then have these settings of the primary name it."""

    def carry_out(ground: FaultGround) -> None:
        ground.act("add-standby", "postgres")
        _set(ground, *(f"ALTER SYSTEM SET {name} = '{SLOT}'" for name in settings))

    return carry_out


def _remove(ground: FaultGround) -> None:
    """Whatever was reached: a primary that is down is started, with or without its standby."""
    ground.act("start", "postgres")
    names = (BEFORE_READERS, BEFORE_WRITERS)
    _set(ground, *(f"ALTER SYSTEM RESET {name}" for name in names))
    ground.act("remove-standby", "postgres")


def _set(ground: FaultGround, *statements: str) -> None:
    with closing(connect_source(ground)) as connection:
        for statement in statements:
            connection.execute(statement.encode())
        connection.execute("SELECT pg_reload_conf()")


PLANNED = Fault(
    "planned-fail-over",
    "Ends PostgreSQL in order, so that its standby has everything, and promotes the standby, which"
    " takes over its address and is the stack's PostgreSQL from then on. The slot is a failover"
    " slot, and synchronized_standby_slots keeps its readers behind the standby.",
    on="primary",
    inject=act("switch-over", "postgres"),
    heal=_remove,
    prepare=_add(BEFORE_READERS),
    await_ready=act("await-standby", "postgres"),
    restore=_remove,
    holds=False,
    needs=("stack", "process stack", "standby"),
    repeats_s=REPEATS_S,
    explains=(POSTGRES, CAPTURE, TABLE_CUT_OFF),
    stops_writers=True,
    better="slots with failover, sync_replication_slots, hot_standby_feedback, and"
    " synchronized_standby_slots; the readers stopped before, as PostgreSQL waits for them",
)
KILL_PRIMARY = replace(
    PLANNED,
    name="kill-primary",
    does="Kills PostgreSQL (SIGKILL) and promotes its standby, as planned-fail-over does. The"
    " standby is synchronous (synchronous_standby_names) from before the load on: with an"
    " asynchronous one, rows that were acknowledged last would be lost.",
    inject=act("fail-over", "postgres"),
    prepare=_add(BEFORE_READERS, BEFORE_WRITERS),
    better="a synchronous standby; slots with failover, and synchronized_standby_slots, without"
    " which a sink may have rows that the new primary has not",
)
