"""The chaos soak would notice: each violation is planted once, and must be named."""

from __future__ import annotations

import mmap
import os
import socket
import subprocess
import sys
import uuid
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from infra.stack.supervise.state import CHECKOUT
from tests.scenarios.chaos.attack import (
    ATTACKS,
    ERROR,
    FAIL,
    INVALID,
    PASS,
    Attack,
    is_connected,
)
from tests.scenarios.chaos.draw import Drawn, draw
from tests.scenarios.chaos.judge import CANARY, Counted, Ended, accused, latencies_of, wrong
from tests.scenarios.chaos.leftover import World, in_use, of_disk
from tests.scenarios.chaos.scene import SCENES
from tests.scenarios.chaos.soak import FOR_AWS, seen_secrets, stuck
from tests.scenarios.locust_process import LocustProcess, await_that

MARK = "locust-cdc-chaos"


def attack(name: str) -> Attack:
    return next(attack for attack in ATTACKS if attack.name == name)


def drawn(name: str, moment: str = "load") -> Drawn:
    return Drawn(1, SCENES[0], attack(name), moment, 0.5, 1)


def step(**changes: Any) -> dict[str, Any]:
    arrivals = dict.fromkeys(("offered", "started", "completed"), 200)
    ledger = {"sent": 200, "delivered": 200, "lost": 0, "duplicated": 0}
    return {"arrivals": arrivals, "ledger": ledger, **changes}


def result(verdict: str = "PASS", **changes: Any) -> dict[str, Any]:
    reasons = [] if verdict == "PASS" else ["it was attacked"]
    return {"verdict": verdict, "reasons": reasons, "steps": [step()], "notes": [], **changes}


def ended(
    code: int | None, found: Mapping[str, Any] | None, under: Drawn | None = None, **more: Any
) -> Ended:
    output = f"verdict: {found['verdict']}" if found else ""
    under = under or drawn("closed pipe")
    moment = more.pop("moment", under.moment)
    return Ended(under, moment, code, True, 8.0, output, found, **more)


GOOD = ended(PASS, result(), counted=Counted(200, 201, 0))
STOPPED = ended(INVALID, result("INVALID"), drawn("SIGINT to locust"))
HELD = ended(
    PASS, result(), drawn("1 s stop of platform"), latencies_ms=[{}, {"p50": 5.0, "max": 1010.0}]
)


def test_a_run_that_keeps_its_word_is_not_accused() -> None:
    assert [wrong(GOOD), wrong(STOPPED), wrong(HELD)] == [[], [], []]


def with_step(**changes: Any) -> Ended:
    return replace(GOOD, result=result(steps=[step(**changes)]))


def ledger(**changes: int) -> dict[str, int]:
    return {**step()["ledger"], **changes}


@pytest.mark.parametrize(
    ("planted", "told"),
    [
        (replace(GOOD, code=None), "hangs"),
        (replace(STOPPED, took_s=46.0), "ended 46 s after"),
        (replace(STOPPED, code=PASS, result=result()), "exit 0, not one of [4]"),
        (replace(GOOD, code=FAIL, result=result("FAIL")), "exit 1, not one of [0]"),
        (replace(STOPPED, met=False), "exit 4, not one of [0]"),
        (replace(STOPPED, result=result("FAIL")), "the file says FAIL"),
        (replace(STOPPED, result=result("INVALID", reasons=[])), "without a reason"),
        (replace(STOPPED, output="verdict: PASS"), "the terminal does not say INVALID"),
        (replace(STOPPED, result=None), "without a result"),
        (ended(ERROR, None, drawn("SIGKILL to observer")), "without a result"),
        (replace(GOOD, output="Traceback (most recent call last)"), "Traceback"),
        (replace(GOOD, output=f"password={CANARY}"), "a secret in its output"),
        (replace(GOOD, telling=["platform.log"]), "a secret in platform.log"),
        (replace(GOOD, told=["the stranger was not told to quit"]), "not told to quit"),
        (with_step(ledger=ledger(delivered=199)), "199 of 200 delivered"),
        (with_step(ledger=ledger(duplicated=1)), "{'duplicated': 1}"),
        (with_step(ledger=ledger(sent=180, delivered=180)), "180 sent of 200 planned"),
        (
            with_step(arrivals={"offered": 200, "started": 200, "completed": 150}),
            "'completed': 150",
        ),
        (replace(GOOD, latencies_ms=[{"p50": -3.0, "max": 2.0}]), "'p50': -3.0"),
        (replace(GOOD, latencies_ms=[{}, {"p50": 9.0, "p99": 2.0}]), "'p99': 2.0"),
        (replace(GOOD, counted=Counted(150, 201, 0)), "150 rows were in the source"),
        (replace(GOOD, counted=Counted(200, 150, 0)), "150 records were in the topic"),
        (replace(GOOD, counted=Counted(200, 260, 59)), "59 records more than there were rows"),
        (
            replace(HELD, latencies_ms=[{"max": 20.0}, {"p50": 4.0}]),
            "stopped for 1 s, and its latest event is 20 ms late",
        ),
    ],
)
def test_each_lie_and_each_hang_is_named(planted: Ended, told: str) -> None:
    assert any(told in item for item in wrong(planted)), wrong(planted)


def test_a_seed_draws_the_same_attacks_again_and_every_kind_before_any_comes_twice() -> None:
    assert [*map(str, draw(7, 60))] == [*map(str, draw(7, 200))][:60]
    assert {item.attack.name for item in draw(7, len(ATTACKS))} == {item.name for item in ATTACKS}
    assert [*map(str, draw(7, 60))] != [*map(str, draw(8, 60))]


def test_a_process_that_hides_behind_a_session_and_a_dead_parent_is_found_and_ended() -> None:
    hiding = (
        "import os, sys, time\n"
        "if os.fork() == 0:\n"
        "    os.setsid()\n"
        "    if os.fork() == 0:\n"
        "        os.close(1)\n"
        "        time.sleep(600)\n"
    )
    program = (
        "import subprocess, sys\n"
        "from tests.scenarios.chaos.process import adopt_orphans, left_after, living\n"
        "adopt_orphans()\n"
        f"subprocess.run([sys.executable, '-c', {hiding!r}])\n"
        "print(left_after(0.3, []), living())\n"
    )
    told = subprocess.run(
        [sys.executable, "-c", program],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )

    assert "import os, sys, time" in told.stdout
    assert told.stdout.rstrip().endswith("[]")


def test_a_process_that_was_there_before_the_run_is_none_of_its_leftovers() -> None:
    program = (
        "import subprocess, sys\n"
        "from tests.scenarios.chaos.process import adopt_orphans, beside, left_after\n"
        "adopt_orphans()\n"
        "sleep = [sys.executable, '-c', 'import time; time.sleep(600)']\n"
        "consumer, known = subprocess.Popen(sleep), beside()\n"
        "subprocess.Popen(sleep)\n"
        "print(len(left_after(0.3, known)), consumer.poll())\n"
        "consumer.kill()\n"
    )
    told = subprocess.run(
        [sys.executable, "-c", program],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert told.stdout == "1 None\n"


def test_files_that_a_run_leaves_are_found_wherever_it_makes_any(tmp_path: Path) -> None:
    checkout, temporary = tmp_path / "checkout", tmp_path / "tmp"
    for folder in (checkout / ".stack" / "runs", checkout / ".stack" / "users", temporary):
        folder.mkdir(parents=True)
    before = World(of_disk(checkout, temporary))
    (checkout / ".stack" / "runs" / "a.jsonl").touch()
    (checkout / ".stack" / "users" / "a").touch()
    (temporary / "b").mkdir()

    assert World(of_disk(checkout, temporary)).since(before) == [
        "file .stack/runs/a.jsonl",
        "file .stack/users/a",
        f"temporary file {temporary / 'b'}",
    ]


def test_shared_memory_that_nobody_uses_any_more_is_told_from_a_neighbours(tmp_path: Path) -> None:
    before = World(of_disk(tmp_path, tmp_path))
    name = f"{MARK}-{uuid.uuid4().hex}"
    path = Path("/dev/shm") / name
    path.write_bytes(bytes(4096))
    try:
        assert f"shared memory {name}" in World(of_disk(tmp_path, tmp_path)).since(before)
        assert not in_use(name)
        with path.open("r+b") as file, mmap.mmap(file.fileno(), 4096):
            assert in_use(name)
    finally:
        path.unlink()


KILLED_STEWARD = ended(ERROR, result("ERROR"), drawn("SIGKILL to steward"))
NAMED = ended(FAIL, result("FAIL", notes=["left behind: topic t"]), drawn("closed pipe"))


@pytest.mark.parametrize(
    ("run", "output", "orphaned", "told"),
    [
        (GOOD, "", [], ["slot s"]),
        (KILLED_STEWARD, "", [], []),
        (replace(KILLED_STEWARD, met=False), "", [], ["slot s"]),
        (NAMED, "", [], []),
        (GOOD, "benchmark.start", ["slot s"], ["slot s, which this run should have removed"]),
        (GOOD, "it ended before that", ["slot s"], []),
    ],
)
def test_what_is_left_is_the_fault_of_whoever_could_have_removed_it(
    run: Ended, output: str, orphaned: list[str], told: list[str]
) -> None:
    assert accused(replace(run, output=output), ["slot s"], orphaned) == told


def test_a_run_that_hangs_is_described_and_ended(tmp_path: Path) -> None:
    hangs = (sys.executable, "-c", "import time; time.sleep(600)")
    run = LocustProcess("throughput", tmp_path, under=hangs)

    assert any("import time" in item for item in stuck(run))
    assert run.ended


def test_a_worker_has_met_a_master_when_it_has_reached_its_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as master:
        port = master.getsockname()[1]
        assert not is_connected(os.getpid(), port)
        with socket.create_connection(("127.0.0.1", port)):
            assert is_connected(os.getpid(), port)


def test_a_canary_is_seen_on_command_lines_and_in_the_environment_of_children(
    tmp_path: Path,
) -> None:
    child = f"import subprocess; subprocess.run(['sleep', '600'], env={{'SECRET': {FOR_AWS!r}}})"
    run = LocustProcess("throughput", tmp_path, under=(sys.executable, "-c", child, CANARY))
    try:
        await_that(lambda: len(run.family()) > 1, "no child")
        told = seen_secrets(run)
    finally:
        for process in reversed(run.family()):
            process.kill()
        run.wait()

    assert any("on the command line" in item for item in told)
    assert any("in the environment of sleep" in item for item in told)


def test_latencies_are_those_of_each_moment(tmp_path: Path) -> None:
    place = tmp_path / "20261129T000000Z-throughput-abcdefgh"
    place.mkdir()
    lines = ["elapsed_s,p50_ms,p95_ms,p99_ms,max_ms", "0.5,,,,12.5", "1.5,3,4,5,1010.25"]
    (place / "timeline.csv").write_text("\n".join(lines), encoding="utf-8")
    assert latencies_of(tmp_path) == [
        {"max": 12.5},
        {"p50": 3.0, "p95": 4.0, "p99": 5.0, "max": 1010.25},
    ]


def test_an_attack_that_came_when_the_run_was_over_is_judged_so() -> None:
    """A load that is drained is over at once; a server that stops later harms nothing any more."""
    stop = drawn("stop of postgres for good")
    assert wrong(ended(PASS, result(), stop)) == ["exit 0, not one of [1, 3]: "]
    assert wrong(ended(PASS, result(), stop, moment="report")) == []


def test_a_stop_of_connect_meets_only_what_goes_through_it() -> None:
    fits = attack("stop of connect for good").fits
    assert {scene.name for scene in SCENES if fits(scene)} == {
        "throughput",
        "processes",
        "web page",
        "faults",
        "capacity",
    }
