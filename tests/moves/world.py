"""The source, its load and its pipelines together, and the judgement of each pipeline."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from cdc_users.measure.ledger.audit import audit
from cdc_users.pipeline.provision.condition import Condition, RunObjects, changes, look
from infra.stack.endpoints import Endpoints
from tests.moves.pipeline import Capture, MovedPipeline, ReaderPipeline, SinkPipeline
from tests.moves.place import IcebergPlace, PostgresPlace, SinkPlace, WebhookPlace
from tests.moves.row import difference
from tests.moves.source import MovedSource, MovesLoad
from tests.private_postgres import PrivatePostgres

#: How long the states may take to become equal, and for how long nothing may move before that is
#: given up: shorter where the harness has a name for what has happened.
EQUAL_S, STILL_S, NAMED_S = 120.0, 30.0, 10.0
POLL_S = 0.2
SINKS = ("webhook", "postgres", "iceberg append", "iceberg upsert")


@dataclass(frozen=True, slots=True)
class MoveOutcome:
    """What became of a pipeline: `ending` is followed, stopped or silent; `said` is what stopped
    it, or what is missing behind it.
    """

    pipeline: str
    ending: str
    said: str = ""

    def __str__(self) -> str:
        return f"{self.pipeline}: {self.ending}{' - ' if self.said else ''}{self.said}"


class MovesWorld:
    """A source with pipelines to these sinks, and the direct reader beside them."""

    def __init__(
        self, stack: Endpoints, postgres: PrivatePostgres, directory: Path, sinks: Sequence[str]
    ) -> None:
        self.stack = stack
        self.postgres = postgres
        self._watched, self._condition = RunObjects(), Condition()
        name = f"cdc_moves_{uuid.uuid4().hex[:8]}"
        with ExitStack() as undo:
            self.source = MovedSource(postgres, name)
            self.capture = Capture(stack, self.source)
            undo.callback(self.capture.close)
            places: dict[str, Callable[[], SinkPlace]] = {
                "webhook": WebhookPlace,
                "postgres": lambda: PostgresPlace(stack.postgres_dsn, name),
                "iceberg append": lambda: IcebergPlace(directory / f"{name}-log", "append"),
                "iceberg upsert": lambda: IcebergPlace(directory / f"{name}-rows", "upsert"),
            }
            self.sinks: list[SinkPipeline] = []
            for sink in sinks:
                self.sinks.append(SinkPipeline(sink, self.capture, places[sink](), directory))
                undo.callback(self.sinks[-1].close)
            self.reader = ReaderPipeline(stack, self.source, directory)
            undo.callback(self.reader.close)
            for pipeline in self.sinks:
                assert pipeline.platform.url
            self.load = MovesLoad(self.source)
            undo.callback(self.load.stop)
            self.capture.await_position()
            self._undo = undo.pop_all()

    @property
    def pipelines(self) -> Sequence[MovedPipeline]:
        """Each with an end of its own."""
        return (*self.sinks, self.reader)

    def written(self, events: int, limit_s: float) -> bool:
        """Wait until so many more events are committed; whether they were within the limit."""
        wanted, until_s = self.load.acked + events, time.monotonic() + limit_s
        while self.load.acked < wanted and time.monotonic() < until_s:
            time.sleep(POLL_S)
        return self.load.acked >= wanted

    def strike(self, event: Callable[[MovesWorld], None]) -> None:
        """Let the event happen under load, and remember what was before it."""
        self._watched = RunObjects(
            slot=self.source.slots[0],
            connector=self.capture.connector,
            publication=self.source.name,
            topics=(self.capture.topic, self.reader.topic),
            tables=(f"{self.source.table.schema}.{self.source.table.name}",),
        )
        self._condition = look(self.capture.endpoints, self._watched)
        event(self)

    @contextmanager
    def suspended(self) -> Iterator[None]:
        """The platforms stand still meanwhile."""
        processes = [psutil.Process(pipeline.platform.pid) for pipeline in self.sinks]
        for process in processes:
            process.suspend()
        try:
            yield
        finally:
            for process in processes:
                process.resume()

    def watcher_says(self) -> str:
        """What the harness, which watches the run's objects, says has become of them since the
        event.
        """
        now = look(self.capture.endpoints, self._watched)
        found = changes(self._watched, self._condition, now)
        again = [f"{server} restarted" for server in found.restarted]
        return "; ".join((*found.gone, *found.disturbed, *again))

    def judge(self) -> list[MoveOutcome]:
        """With the load held: each pipeline has come to the source's state, or has stopped by
        name, or neither. All are watched at the same time, for each may need to be given up.
        """
        with self.load.held(), ThreadPoolExecutor(len(self.pipelines)) as pool:
            return list(pool.map(self._judged, self.pipelines))

    def _judged(self, pipeline: MovedPipeline) -> MoveOutcome:
        source, rows = self.source.rows(), pipeline.rows()
        said, trouble = self.watcher_says(), pipeline.trouble()  # waits for a platform that starts
        until_s, still_s = time.monotonic() + EQUAL_S, time.monotonic()
        while True:
            if trouble:
                return MoveOutcome(pipeline.name, "stopped", trouble)
            if not (differs := difference(source, rows)) and not (lost := self._lost(pipeline)):
                return MoveOutcome(pipeline.name, "followed")
            now_s = time.monotonic()
            if now_s > until_s or now_s - still_s > (NAMED_S if said else STILL_S):
                break
            time.sleep(POLL_S)
            trouble = pipeline.trouble()
            if (found := pipeline.rows()) != rows:
                rows, still_s = found, time.monotonic()
        what = differs or lost
        if said := said or self.watcher_says():
            return MoveOutcome(pipeline.name, "stopped", f"the harness: {said} [{what}]")
        return MoveOutcome(pipeline.name, "silent", what)

    def _lost(self, pipeline: MovedPipeline) -> str:
        """What the ledger of the pipeline's topic says is lost."""
        tap = self.reader.tap if pipeline is self.reader else self.capture.tap
        found = audit(1, self.load.outcomes(), tap.record.arrivals(), fenced=True)
        if not found.lost and not found.phantom:
            return ""
        return f"the ledger: {found.findings}, of {found.sent}"

    def close(self) -> None:
        """End everything; the server goes with whoever made it."""
        self._undo.close()
