"""Carries out what was drawn, run after run, and says of each what was wrong."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from infra.stack.endpoints import Endpoints
from infra.stack.error import StackError
from infra.stack.find.locate import locate
from infra.stack.supervise.identity import Identity
from infra.stack.supervise.state import CHECKOUT, recorded, state_of
from tests.real_stack import running_stack
from tests.scenarios.chaos.draw import Drawn
from tests.scenarios.chaos.judge import (
    CANARY,
    Ended,
    accused,
    latencies_of,
    result_of,
    telling,
    wrong,
)
from tests.scenarios.chaos.leftover import World, in_use, look
from tests.scenarios.chaos.process import adopt_orphans, beside, described, left_after, role
from tests.scenarios.chaos.scene import begin
from tests.scenarios.chaos.target import Target
from tests.scenarios.chaos.witness import Witness
from tests.scenarios.locust_process import LocustProcess

#: What is for AWS reaches the one process that may have to remove something there.
FOR_AWS = f"{CANARY}-aws"
SECRETS = {"PGPASSWORD": CANARY, "AWS_SECRET_ACCESS_KEY": FOR_AWS}
#: How long what outlives its run may still clean up.
AFTERWARDS_S = 75.0
HEAD = (
    "| run | kind | attack | moment | met | exit | ended after | first reason, or what is wrong |\n"
    "|---|---|---|---|---|---|---|---|"
)


@dataclass(slots=True)
class Soak:
    """A soak on one checkout's stack; `say` gets one line a run."""

    place: Path
    say: Callable[[str], None]
    _before: World | None = None
    #: What runs have left that could not clean up; the next run has to.
    _orphaned: list[str] = field(default_factory=list)

    def carry_out(
        self, drawn: Sequence[Drawn], begin_within_s: float | None = None
    ) -> dict[str, list[str]]:
        """Attack all these runs, or those that can begin in time; returns by run what was wrong."""
        adopt_orphans()
        began_s, found = time.monotonic(), {}
        self.say(HEAD)
        for under in drawn:
            if begin_within_s is not None and time.monotonic() - began_s > begin_within_s:
                break
            ended, told = self.attack(under)
            self.say(line(ended, told))
            found[str(under)] = told
        return found

    def attack(self, under: Drawn) -> tuple[Ended, list[str]]:
        """One run under its attack, and what was wrong."""
        stack = running_stack()
        place = self.place / str(under.number)
        temporary = place / "tmp"
        temporary.mkdir(parents=True)
        if self._before is None:
            self._before = look(stack, CHECKOUT, temporary)
        with contextlib.ExitStack() as scene:
            target, known = _begin(under, place, stack, scene)
            ended = _run(under, target)
            processes = left_after(AFTERWARDS_S, [*known, *_servers()])
        (place / "output.log").write_text(ended.output, encoding="utf-8")
        left = [*processes, *self._left(ended, temporary)]
        return ended, [*wrong(ended), *(f"left: {item}" for item in left)]

    def _left(self, ended: Ended, temporary: Path) -> list[str]:
        """What is there and was not before, without what only the next run can remove."""
        try:
            stack = locate(CHECKOUT, os.environ)
        except StackError as error:
            return [f"a stack that is ill: {error}"]
        if stack is None:
            self._before, self._orphaned = None, []
            return ["no stack"]
        assert self._before is not None
        now = look(stack, CHECKOUT, temporary).since(self._before)
        found = [item for item in now if not _used_by_others(item)]
        told = accused(ended, found, self._orphaned)
        self._orphaned = found
        return told


def _begin(
    under: Drawn, place: Path, stack: Endpoints, scene: contextlib.ExitStack
) -> tuple[Target, list[Identity]]:
    """Set the scene and start the run; returns it with the processes that are none of its own."""
    results = place / "run"
    more = scene.enter_context(under.attack.around(results)) or {}
    options = scene.enter_context(under.scene.around(stack))
    known = [*_servers(), *beside()]
    environment = {**SECRETS, **more, "TMPDIR": str(place / "tmp")}
    run = begin(under.scene, results, options, environment)
    target = Target(under.scene, run, results, place, stack, random.Random(under.seed))
    scene.callback(target.after.close)  # also where the soak itself is told to stop
    return target, known


def _run(under: Drawn, target: Target) -> Ended:
    """Attack it, and wait for its end."""
    run, results = target.run, target.results
    witness = Witness(target)
    witness.start()
    reached = target.reach(under.moment, under.part)
    moment = target.at(under.moment)
    met = reached and under.attack.act(target)
    told = [] if run.ended else seen_secrets(run)
    since_s = time.monotonic()
    code: int | None = None
    with contextlib.suppress(subprocess.TimeoutExpired):
        code = run.wait(under.attack.ends_s + under.scene.takes_s)
    took_s = time.monotonic() - since_s
    counted = witness.stop()
    if code is None:
        told += stuck(run)
    target.after.close()
    return Ended(
        under,
        moment,
        code,
        met,
        took_s,
        run.output,
        result_of(results),
        telling(results),
        counted,
        latencies_of(results),
        [*told, *target.told],
    )


def _used_by_others(item: str) -> bool:
    kind, _, name = item.rpartition(" ")
    return kind == "shared memory" and in_use(name)


def _servers() -> list[Identity]:
    """The stack's own processes, and whatever else lives for longer than a run."""
    return recorded(state_of())[0]


def seen_secrets(run: LocustProcess) -> list[str]:
    """Which processes of a run have a secret where others of the machine, or servers, can see it;
    its own environment is locust's, as the user gave it, and that of what it has forked.
    """
    found = []
    with contextlib.suppress(psutil.Error):
        forked = {run.pid, *(process.pid for process in run.forked())}
        for process in run.family():
            with contextlib.suppress(psutil.Error):
                command, inherited = process.cmdline(), set(process.environ().values())
                if CANARY in " ".join(command):
                    found.append(f"a secret on the command line of {described(process)}")
                if role(command) == "steward":
                    inherited.discard(FOR_AWS)
                if process.pid not in forked and any(CANARY in value for value in inherited):
                    found.append(f"a secret in the environment of {described(process)}")
    return found


def stuck(run: LocustProcess) -> list[str]:
    """What each process of a run that does not end is doing; then it is killed."""
    told = []
    for process in run.family():
        with contextlib.suppress(psutil.Error, OSError):
            waits = Path(f"/proc/{process.pid}/wchan").read_text(encoding="utf-8")
            told.append(f"{described(process)} in {waits}")
    run.signal(signal.SIGKILL)
    run.wait()
    return told


def line(ended: Ended, told: Sequence[str]) -> str:
    """One row of the table."""
    under = ended.drawn
    words = f"**{'; '.join(told)}**" if told else ended.reason
    cells = (
        under.number,
        under.scene.name,
        under.attack.name,
        f"{ended.moment} {under.part:.2f}",
        "yes" if ended.met else "no",
        ended.code,
        f"{ended.took_s:.0f} s",
        words.replace("|", "/").replace("\n", " ")[: 400 if told else 90],
    )
    return f"| {' | '.join(map(str, cells))} |"
