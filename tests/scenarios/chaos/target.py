"""A run under attack: when each part of its life has begun, and what of it can be met."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import psycopg

from infra.stack.endpoints import Endpoints
from infra.stack.supervise.state import CHECKOUT, state_of
from tests.real_stack import server
from tests.scenarios.chaos.process import role
from tests.scenarios.chaos.scene import Scene
from tests.scenarios.locust_process import LocustProcess

POLL_S = 0.02
#: Parts of a run's life, in their order, each with how long after its begin an attack may come.
MOMENTS: Mapping[str, float] = {
    "start": 3.0,
    "preparation": 6.0,
    "load": 3.5,
    "drain": 0.5,
    "audit": 1.5,
    "clean-up": 1.0,
    "report": 0.5,
}
#: Those whose begin is seen; the others are guessed from the time.
SEEN = ("audit", "clean-up", "report")
#: From the announcement of a load to its first arrival, and to its last.
LEAD_S, LOADED_S = 1.0, 5.0


@dataclass(slots=True)
class Target:
    """One run, from its first moment."""

    scene: Scene
    run: LocustProcess
    results: Path
    place: Path
    stack: Endpoints
    chance: random.Random
    #: What is undone when the run has ended.
    after: ExitStack = field(default_factory=ExitStack)
    #: What somebody else did that was not as it should be.
    told: list[str] = field(default_factory=list)
    began_s: float = field(default_factory=time.monotonic)
    _load_s: float | None = None

    @property
    def directory(self) -> Path | None:
        """Where its results are; None before it has made that."""
        return next(self.results.glob("*-*-*"), None)

    @property
    def id(self) -> str:
        """The run's eight characters; empty before it has a directory."""
        directory = self.directory
        return "" if directory is None else directory.name.rpartition("-")[2]

    @property
    def journal(self) -> str:
        """What its steward has written down; empty before and after it has a journal."""
        with contextlib.suppress(OSError):
            return (state_of(CHECKOUT).runs / f"{self.id}.jsonl").read_text(encoding="utf-8")
        return ""

    def begun(self, moment: str) -> bool:
        """Whether a part of its life has begun."""
        output = self.run.output
        if self._load_s is None and "benchmark.step" in output:
            self._load_s = time.monotonic()
        if moment == "start":
            return True
        if moment == "preparation":
            return "benchmark.start" in output
        if moment == "load":
            return self._load_s is not None and time.monotonic() - self._load_s >= LEAD_S
        if moment == "drain":
            return self._load_s is not None and time.monotonic() - self._load_s >= LOADED_S
        if moment == "audit":
            return "benchmark.produce.progress" in output
        if moment == "clean-up":
            return '"gone":true' in self.journal
        return self.directory is not None and (self.directory / "plan.json").exists()

    def at(self, moment: str) -> str:
        """The part of its life in which it is; `moment`, or a later one where it was quick."""
        parts = list(MOMENTS)
        return max([moment, *filter(self.begun, SEEN)], key=parts.index)

    def reach(self, moment: str, part: float) -> bool:
        """Wait until a part of its life has come so far; False where it ended before."""
        while not self.begun(moment):
            if self.run.ended:
                return False
            time.sleep(POLL_S)
        ends_s = time.monotonic() + part * MOMENTS[moment]
        while time.monotonic() < ends_s:
            if self.run.ended:
                return False
            time.sleep(POLL_S)
        return not self.run.ended

    def process(self, wanted: str) -> psutil.Process | None:
        """The process with this role, if it lives."""
        with contextlib.suppress(psutil.Error):
            top = psutil.Process(self.run.pid)
            if wanted == "locust":
                return top if not self.run.ended else None
            if wanted == "worker":
                return next(iter(self.run.forked()), None)
            for process in top.children(recursive=True):
                with contextlib.suppress(psutil.Error):
                    if role(process.cmdline()) == wanted:
                        return process
        return None

    def server(self, name: str) -> list[psutil.Process]:
        """A server of the stack with its children."""
        process = server(name)
        return [] if process is None else [process, *process.children(recursive=True)]

    def tables(self) -> list[tuple[str, str]]:
        """Its source tables, each with its schema."""
        if not self.id:
            return []
        query = "SELECT schemaname, tablename FROM pg_tables WHERE schemaname = %s"
        with self.database() as connection:
            found = connection.execute(query, [f"cdc_{self.id}"]).fetchall()
        return [(str(schema), str(table)) for schema, table in found]

    def database(self) -> psycopg.Connection[tuple[object, ...]]:
        """A connection to the source's server, as a third party."""
        return psycopg.connect(self.stack.postgres_dsn, autocommit=True, connect_timeout=10)


Act = Callable[[Target], bool]
