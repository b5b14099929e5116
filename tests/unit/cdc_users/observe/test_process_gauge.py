"""Processes are counted by what they are, and what has ended keeps its part."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from cdc_users.observe.process_gauge import (
    HARNESS,
    INTERVAL_S,
    MACHINE,
    SEARCH_INTERVAL_S,
    ProcessGauge,
    backend_name,
    server_name,
)
from cdc_users.observe.process_gauge import _written as written_by
from cdc_users.observe.settings import ProcessSettings

NOW_S = 1000.0
DEADLINE_S = 20.0
WORKS = "x = sum(range(3_000_000)); print(x, flush=True); import sys; sys.stdin.read()"


class Clock:
    def __init__(self) -> None:
        self.now_s = NOW_S

    def __call__(self) -> float:
        return self.now_s


@contextmanager
def child() -> Iterator[subprocess.Popen[bytes]]:
    """A process of ours that has worked for a moment, and waits for the end of its input."""
    command = [sys.executable, "-c", WORKS]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdin is not None
    process.stdout.readline()
    try:
        yield process
    finally:
        process.stdin.close()
        process.wait(DEADLINE_S)
        process.stdout.close()


@pytest.mark.parametrize(
    ("command", "name"),
    [
        (["/opt/bin/postgres", "-D", "data"], "postgres"),
        (["postgres: walsender cdc_connect postgres 127.0.0.1(44660) START_REPLICATION"],
         "postgres-walsender"),
        (["postgres: cdc postgres 127.0.0.1(44640) idle"], "postgres-clients"),
        (["postgres: cdc postgres [local] INSERT"], "postgres-clients"),
        (["postgres: main: checkpointer"], "postgres"),
        (["java", "-cp", "a.jar:b.jar", "kafka.Kafka", "server.properties"], "kafka"),
        (["java", "org.apache.kafka.connect.cli.ConnectDistributed", "w.properties"], "connect"),
        (["java", "-jar", "/cache/quarkus-run.jar"], "schema-registry"),
        (["python", "-m", "infra.stack.supervise.supervisor"], ""),
        ([], ""),
    ],
)  # fmt: skip
def test_a_server_is_known_by_its_command_line(command: list[str], name: str) -> None:
    assert server_name(command) == name


def test_the_word_of_another_server_on_a_class_path_names_nothing() -> None:
    command = ["java", "-cp", "/lib/kafka.Kafka.jar:/lib/x.jar", "own.Main"]

    assert server_name(command) == ""


def test_a_role_that_is_called_like_a_part_is_a_client_all_the_same() -> None:
    assert backend_name("postgres: checkpointer db 10.0.0.1(5) idle") == "postgres-clients"


def test_what_was_read_a_moment_ago_is_not_read_again() -> None:
    clock = Clock()
    gauge = ProcessGauge(ProcessSettings(harness=os.getpid()), clock)

    assert gauge.read() is not None
    assert gauge.read() is None
    clock.now_s += INTERVAL_S
    assert gauge.read() is not None


def test_a_child_is_the_harness_until_it_is_named_and_is_then_counted_for_itself() -> None:
    clock = Clock()
    gauge = ProcessGauge(ProcessSettings(harness=os.getpid()), clock)
    with child() as process:
        first = gauge.read()
        gauge.watch({"platform-1": process.pid})
        clock.now_s += INTERVAL_S
        second = gauge.read()

    assert first is not None
    assert second is not None
    assert set(first) == {HARNESS, MACHINE}
    assert set(second) == {HARNESS, "platform-1", MACHINE}
    assert second["platform-1"].processes == 1
    assert second["platform-1"].cpu_s > 0
    assert first[HARNESS].processes == second[HARNESS].processes + 1


def test_a_process_that_has_ended_keeps_its_part_of_what_its_group_took() -> None:
    clock = Clock()
    gauge = ProcessGauge(ProcessSettings(harness=os.getpid()), clock)
    with child():
        before = gauge.read()
    clock.now_s += SEARCH_INTERVAL_S
    after = gauge.read()

    assert before is not None
    assert after is not None
    assert after[HARNESS].processes == before[HARNESS].processes - 1
    assert after[HARNESS].cpu_s >= before[HARNESS].cpu_s


def test_what_a_process_took_counts_once_however_its_end_is_noticed() -> None:
    """GIVEN two processes of one group, of which one ends between two searches for processes."""
    clock = Clock()
    gauge = ProcessGauge(ProcessSettings(), clock)
    with child() as stays:
        with child() as ends:
            gauge.watch({"platform": stays.pid})
            gauge.watch({"platform": ends.pid})
            before = gauge.read()
            worked_s = sum(psutil.Process(ends.pid).cpu_times()[:2])
        clock.now_s += INTERVAL_S
        after = gauge.read()
        clock.now_s += SEARCH_INTERVAL_S
        later = gauge.read()

    assert before is not None
    assert after is not None
    assert later is not None
    assert [one["platform"].processes for one in (before, after, later)] == [2, 1, 1]
    for one in (after, later):
        assert abs(one["platform"].cpu_s - before["platform"].cpu_s) < worked_s / 2


def test_a_process_that_was_never_there_is_not_in_what_is_found() -> None:
    gauge = ProcessGauge(ProcessSettings())
    gauge.watch({"platform-1": 2**22 - 1})

    found = gauge.read()

    assert found is not None
    assert set(found) == {MACHINE}
    assert found[MACHINE].cpu_s > 0


def test_memory_and_processor_time_are_those_of_the_process() -> None:
    own = ProcessGauge(ProcessSettings(harness=os.getpid())).read()

    assert own is not None
    assert own[HARNESS].rss_bytes >= (own[HARNESS].uss_bytes or 0) > 0
    assert own[HARNESS].cpu_s >= time.process_time() / 2


@pytest.mark.parametrize(
    ("dirty", "handed", "written"), [(1_048_576, 8_192, 8_192), (4_096, 70_000, 4_096)]
)
def test_what_was_written_is_no_more_than_was_handed_over_and_than_became_dirty(
    dirty: int, handed: int, written: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = psutil.Process()
    counters = SimpleNamespace(write_bytes=dirty, write_chars=handed)
    monkeypatch.setattr(psutil.Process, "io_counters", lambda _: counters)

    assert written_by(process) == written


def test_the_servers_of_a_stack_are_its_supervisors_children_by_what_they_run() -> None:
    """GIVEN a supervisor that is this process, with one server and one child that is none."""
    title = "import sys; sys.stdin.read()"
    with child() as other:
        server = subprocess.Popen(
            [sys.executable, "-c", title, "kafka.Kafka"], stdin=subprocess.PIPE
        )
        try:
            found = ProcessGauge(ProcessSettings(supervisor=os.getpid())).read()
            known = ProcessGauge(ProcessSettings(harness=os.getpid(), supervisor=other.pid)).read()
        finally:
            server.communicate(timeout=DEADLINE_S)

    assert found is not None
    assert set(found) == {"kafka", MACHINE}
    assert found["kafka"].processes == 1
    assert known is not None
    assert set(known) == {HARNESS, MACHINE}, "a supervisor that the harness has started is apart"


def test_between_two_searches_new_processes_are_not_yet_seen_and_then_they_are() -> None:
    clock = Clock()
    gauge = ProcessGauge(ProcessSettings(harness=os.getpid()), clock)
    before = gauge.read()
    with child():
        clock.now_s += SEARCH_INTERVAL_S - INTERVAL_S
        meanwhile = gauge.read()
        clock.now_s += INTERVAL_S
        after = gauge.read()

    assert before is not None
    assert meanwhile is not None
    assert after is not None
    assert meanwhile[HARNESS].processes == before[HARNESS].processes
    assert after[HARNESS].processes == before[HARNESS].processes + 1


def test_a_process_that_is_named_is_looked_for_at_once() -> None:
    clock = Clock()
    gauge = ProcessGauge(ProcessSettings(), clock)
    gauge.read()
    with child() as process:
        clock.now_s += INTERVAL_S
        gauge.watch({"platform-1": process.pid})
        found = gauge.read()

    assert found is not None
    assert found["platform-1"].processes == 1


def test_a_figure_that_one_process_does_not_tell_is_not_known_of_its_group(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """GIVEN two processes, of which one may not be looked into."""
    with child() as open_one, child() as closed_one:
        asked = psutil.Process.memory_full_info

        def refused(process: psutil.Process) -> Any:
            if process.pid == closed_one.pid:
                raise psutil.AccessDenied(process.pid)
            return asked(process)

        monkeypatch.setattr(psutil.Process, "memory_full_info", refused)
        gauge = ProcessGauge(ProcessSettings())
        gauge.watch({"alone": os.getpid()})
        gauge.watch({"both": open_one.pid})
        gauge.watch({"both": closed_one.pid})
        found = gauge.read()

    assert found is not None
    assert (found["both"].processes, found["both"].uss_bytes) == (2, None)
    assert found["both"].rss_bytes > 0
    assert found["alone"].uss_bytes
