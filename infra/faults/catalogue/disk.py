"""Full disks of the stack's servers, whose files are on a small disk meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import psycopg

from infra.faults.catalogue.database import connect_source
from infra.faults.catalogue.process import (
    CAPTURE,
    KAFKA,
    POSTGRES,
    REPEATS_S,
    TABLE_CUT_OFF,
    TOPIC_CUT_OFF,
)
from infra.faults.fault import Fault, FaultDeed, FaultGround
from infra.faults.small_disk import empty, fill, is_moved, move_back, move_onto
from infra.stack.error import StackError

#: What is free on the small disk: enough for the load before the fault.
SPARE_BYTES = 512 * 1024 * 1024
WRITE_S = 60.0
#: Finishes a segment of WAL, so that the next one must be created; captures see nothing of it.
SEGMENT = "SELECT pg_create_restore_point('locust-cdc'), pg_switch_wal()"

#: The directory that is moved, of a fault's ground.
MovedDirectory = Callable[[FaultGround], Path]


def _broker(ground: FaultGround) -> Path:
    return ground.directory("kafka")


def _wal(ground: FaultGround) -> Path:
    return ground.directory("postgres") / "pg_wal"


def _move(server: str, place: MovedDirectory) -> FaultDeed:
    def carry_out(ground: FaultGround) -> None:
        directory = place(ground)
        ground.act("end", server)
        move_onto(directory, SPARE_BYTES)
        ground.act("start", server)

    return carry_out


def _move_back(server: str, place: MovedDirectory) -> FaultDeed:
    def carry_out(ground: FaultGround) -> None:
        directory = place(ground)
        if is_moved(directory):
            ground.act("end", server)
            empty(directory)
            move_back(directory)
        ground.act("start", server)

    return carry_out


def _fill(server: str, place: MovedDirectory) -> FaultDeed:
    def carry_out(ground: FaultGround) -> None:
        ground.act("may-end", server)
        fill(place(ground))

    return carry_out


def _fill_wal(ground: FaultGround) -> None:
    """Fill the disk, and use up the segments that are there until PostgreSQL needs another one."""
    _fill("postgres", _wal)(ground)
    deadline_s = time.monotonic() + WRITE_S
    try:
        with closing(connect_source(ground)) as connection:
            while time.monotonic() < deadline_s:
                connection.execute(SEGMENT)
    except psycopg.OperationalError:
        return  # it ended at that
    raise StackError(f"PostgreSQL still writes WAL {WRITE_S:g} s after its disk was full")


def _make_room(server: str, place: MovedDirectory) -> FaultDeed:
    def carry_out(ground: FaultGround) -> None:
        empty(place(ground))
        ground.act("restart", server)

    return carry_out


FULL_BROKER = Fault(
    "full-broker-disk",
    "Fills the disk of the broker to the last byte, makes room, and starts the broker again, which"
    " ends where it cannot write. Its files are on a small disk (tmpfs) from before the load on.",
    on="broker",
    inject=_fill("kafka", _broker),
    heal=_make_room("kafka", _broker),
    prepare=_move("kafka", _broker),
    restore=_move_back("kafka", _broker),
    needs=("stack", "process stack", "small server disk", "topic"),
    repeats_s=REPEATS_S,
    explains=(KAFKA, CAPTURE, TOPIC_CUT_OFF),
    better="an alarm on free space; retention.bytes, and brokers with disks of their own: a broker"
    " whose only disk is full ends, and does not come back before there is room",
)
FULL_WAL = Fault(
    "full-wal-disk",
    "Fills the disk of PostgreSQL's WAL (pg_wal) to the last byte, makes room, and starts"
    " PostgreSQL again, which ends where it cannot write. The WAL is on a small disk (tmpfs) from"
    " before the load on.",
    on="wal",
    inject=_fill_wal,
    heal=_make_room("postgres", _wal),
    prepare=_move("postgres", _wal),
    restore=_move_back("postgres", _wal),
    needs=("stack", "process stack", "small server disk", "database"),
    repeats_s=REPEATS_S,
    explains=(POSTGRES, CAPTURE, TABLE_CUT_OFF),
    stops_writers=True,
    better="max_slot_wal_keep_size, an alarm on pg_replication_slots.safe_wal_size, and pg_wal on a"
    " disk of its own with room for the longest outage",
)
