"""Who had the processors: read from files as Linux writes them, and from this very process."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc_users.measure.judgement.processor import ProcessorReading, TaskTimes, between
from cdc_users.step.processors import family, read

PER_S = os.sysconf("SC_CLK_TCK")


def made(proc: Path, threads: dict[int, dict[int, tuple[int, int]]], stat: str = "") -> Path:
    """A /proc with these threads a process, each with the seconds that it ran and waited."""
    for pid, found in threads.items():
        for thread, (ran_s, waited_s) in found.items():
            place = proc / str(pid) / "task" / str(thread)
            place.mkdir(parents=True, exist_ok=True)
            (place / "schedstat").write_text(f"{ran_s * 10**9} {waited_s * 10**9} 7\n", "ascii")
    if stat:
        (proc / "stat").write_text(stat, "ascii")
    return proc


def stat(user_s: int, idle_s: int, steal_s: int = 0) -> str:
    ticks = [user_s, 0, 0, idle_s, 0, 0, 0, steal_s, 0, 0]
    return "cpu  " + " ".join(str(one * PER_S) for one in ticks) + "\ncpu0 1 2 3\n"


def test_all_threads_of_a_groups_processes_count(tmp_path: Path) -> None:
    proc = made(tmp_path, {1: {1: (2, 1), 11: (3, 0)}, 2: {2: (1, 4)}})
    found = read({"servers": [1, 2], "platform": []}, proc)

    assert found.groups["servers"] == {1: TaskTimes(2, 1), 11: TaskTimes(3, 0), 2: TaskTimes(1, 4)}
    assert found.groups["platform"] == {}


def test_a_process_that_has_ended_and_a_system_without_schedstat_are_nothing(
    tmp_path: Path,
) -> None:
    assert read({"servers": [4711]}, tmp_path) == ProcessorReading({"servers": {}}, 0.0, 0.0)


def test_waits_are_a_share_of_the_time_in_which_a_processor_was_wanted(tmp_path: Path) -> None:
    before = read({"servers": [1]}, made(tmp_path, {1: {1: (10, 10)}}, stat(100, 100)))
    after = read({"servers": [1]}, made(tmp_path, {1: {1: (11, 13)}}, stat(104, 104)))
    use = between(before, after)

    assert use.waited == {"servers": 0.75}
    # Of eight seconds four were busy, one of them ours.
    assert use.others == pytest.approx(3 / 8)


def test_what_a_hypervisor_took_away_was_used_by_others(tmp_path: Path) -> None:
    before = read({}, made(tmp_path, {}, stat(0, 0)))
    after = read({}, made(tmp_path, {}, stat(0, 5, steal_s=5)))

    assert between(before, after).others == pytest.approx(0.5)


def test_threads_that_began_in_between_count_from_their_begin(tmp_path: Path) -> None:
    before = read({"harness": [1]}, made(tmp_path, {1: {1: (5, 0)}}))
    after = read({"harness": [1]}, made(tmp_path, {1: {1: (5, 0), 12: (1, 1)}}))

    assert between(before, after).waited == {"harness": 0.5}


def test_where_the_machine_is_not_known_nothing_is_said_of_others() -> None:
    assert between(ProcessorReading(), ProcessorReading()).others is None


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0, 100)), max_size=5))
def test_shares_are_shares(times: list[tuple[float, float]]) -> None:
    after = ProcessorReading(
        {"servers": {number: TaskTimes(*one) for number, one in enumerate(times)}}, 50.0, 60.0
    )
    use = between(ProcessorReading(total_s=1.0), after)

    assert 0.0 <= use.waited["servers"] <= 1.0
    assert use.others is not None
    assert 0.0 <= use.others <= 1.0


def test_this_process_ran_and_is_the_first_of_its_family() -> None:
    pid = os.getpid()
    found = read({"own": family(pid)})

    assert family(pid)[0] == pid
    assert threading.get_native_id() in found.groups["own"]
    assert found.groups["own"][pid].ran_s > 0
    assert found.total_s > found.busy_s > 0


def test_a_family_that_is_gone_is_nobody() -> None:
    assert family(2**22 + 1) == []
