"""Figures of the live slot:

`python -m tests.benchmark.wal_reader_figures` (docs/results/wal-reader.md).

A Postgres and a table of its own, and a copy of one slot for each measurement, so that all read
the same; the reader with and without decoding and pg_recvlogical take turns, so that a busy
machine slows all of them.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil

from cdc_users.measure.clock import new_anchor
from infra.platform.wal.replication import slot as server
from infra.platform.wal.service import DirectReaderSettings, Service
from infra.replication.stream import ReplicationStream, StreamRequest, lsn_number, lsn_text
from infra.stack.servers.postgres import find_binaries
from tests.private_postgres import private_postgres

NAME = "cdc_wal_figures"
COLUMNS = (
    "id bigint PRIMARY KEY, first_name text, last_name text, email text, balance numeric(12,2),"
    " probe text"
)
FILL = (
    f"INSERT INTO {NAME} SELECT g, 'First' || g, 'Last' || g, 'customer' || g || '@example.test', g"
    " %% 1000, repeat('p', 80) FROM generate_series(1, %s) g"
)


class Walsender:
    """CPU seconds of the server's process that serves one slot."""

    def __init__(self, connection: Any, slot: str) -> None:
        self._connection = connection
        self._slot = slot
        self.cpu_s = 0.0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        process = None
        while not self._ended.wait(0.02):
            if process is None:
                found = server.find_slot(self._connection, self._slot)
                process = (
                    psutil.Process(found.active_pid)
                    if found is not None and found.active_pid
                    else None
                )
                continue
            try:
                self.cpu_s = sum(process.cpu_times()[:2])
            except psutil.Error:
                return

    def stop(self) -> float:
        self._ended.set()
        self._thread.join()
        return self.cpu_s


def receive(dsn: str, slot: str, end_lsn: int) -> float:
    """pg_recvlogical to /dev/null; its own CPU seconds."""
    binary = str(find_binaries(os.environ) / "pg_recvlogical")
    command = [
        binary,
        "-d",
        dsn,
        "--slot",
        slot,
        "--start",
        "-o",
        "proto_version=1",
        "-o",
        f"publication_names={NAME}",
    ]
    before = os.times()
    subprocess.run([*command, "-f", "/dev/null", "--endpos", lsn_text(end_lsn)], check=True)
    after = os.times()
    return (
        after.children_user + after.children_system - before.children_user - before.children_system
    )


def decode(dsn: str, slot: str, end_lsn: int) -> float:
    """The whole reader to the null transport, every change decoded."""
    before_s = time.process_time()
    service = Service(DirectReaderSettings(dsn, slot, NAME, format="none"), new_anchor())
    thread = threading.Thread(target=service.run)
    thread.start()
    while service.pump.durable_lsn < end_lsn and service.failure is None:
        time.sleep(0.02)
    service.stop()
    thread.join()
    if service.failure is not None:
        raise service.failure
    return time.process_time() - before_s


def acknowledge(dsn: str, slot: str, end_lsn: int) -> float:
    """Reading in coalesced batches and confirming, nothing decoded."""
    before_s = time.process_time()
    with closing(ReplicationStream.open(dsn, StreamRequest(slot, NAME, 0))) as stream:
        last = 0
        while last < end_lsn:
            messages = stream.read(2000)
            for message in messages:
                if message[0] == 67:  # Commit: its end is in bytes 10 to 17
                    last = int.from_bytes(message[10:18], "big")
            if not messages:
                stream.wait(0.05)
            elif len(messages) < 2000:
                time.sleep(0.004)
        stream.confirm(last, last)
    return time.process_time() - before_s


WAYS: dict[str, Callable[[str, str, int], float]] = {
    "pg_recvlogical": receive,
    "reader": decode,
    "read and confirm": acknowledge,
}


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmark.wal_reader_figures")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args(arguments)
    with (
        tempfile.TemporaryDirectory() as place,
        private_postgres(Path(place), {"max_wal_size": "8GB"}) as postgres,
    ):
        measure(postgres.dsn, options.rows, options.rounds)
    return 0


def measure(dsn: str, rows: int, rounds: int) -> None:
    with closing(server.connect(dsn)) as connection, connection.cursor() as cursor:
        try:
            cursor.execute(f"CREATE TABLE {NAME} ({COLUMNS})")
            cursor.execute(f"CREATE PUBLICATION {NAME} FOR TABLE {NAME}")
            server.create_slot(connection, NAME)
            cursor.execute(FILL, (rows,))
            cursor.execute("SELECT pg_current_wal_lsn()::text")
            (text,) = cursor.fetchone() or ("0/0",)
            end_lsn = lsn_number(text)
            _take_turns(connection, dsn, end_lsn, rows, rounds)
        finally:
            server.drop(dsn, "slot", NAME)
            cursor.execute(f"DROP PUBLICATION IF EXISTS {NAME}")
            cursor.execute(f"DROP TABLE IF EXISTS {NAME}")


def _take_turns(connection: Any, dsn: str, end_lsn: int, rows: int, rounds: int) -> None:
    walls: dict[str, list[float]] = {way: [] for way in WAYS}
    shares: dict[str, list[float]] = {way: [] for way in WAYS}
    for way in [*WAYS] * rounds:
        wall_s, own_s, sender_s = _measure_one(connection, dsn, way, end_lsn)
        walls[way].append(wall_s)
        shares[way].append(own_s / sender_s if sender_s else float("nan"))
        print(
            f"{way:18} {wall_s:6.2f} s  {rows / wall_s:9,.0f} rows/s  own {own_s:5.2f} s  walsender"
            f" {sender_s:5.2f} s"
        )
    base = statistics.median(walls["pg_recvlogical"])
    for way in WAYS:
        wall, share = statistics.median(walls[way]), statistics.median(shares[way])
        print(
            f"{way:18} wall {wall / base:4.2f} x pg_recvlogical; own CPU {share:4.2f} x the"
            " walsender's"
        )


def _measure_one(connection: Any, dsn: str, way: str, end_lsn: int) -> tuple[float, float, float]:
    """Wall time, own CPU and the walsender's CPU, on a copy of the slot, so that all read the
    same.
    """
    slot = f"{NAME}_copy"
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_copy_logical_replication_slot(%s, %s)", (NAME, slot))
    try:
        sender = Walsender(connection, slot)
        started_s = time.monotonic()
        own_s = WAYS[way](dsn, slot, end_lsn)
        wall_s = time.monotonic() - started_s
        return wall_s, own_s, sender.stop()
    finally:
        server.drop(dsn, "slot", slot)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
