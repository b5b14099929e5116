"""Everything between source and sink during some steps: the run's own topic and connector, and the platform."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cdc_users.child import Child, launch, stop
from cdc_users.error import TargetError
from cdc_users.measure.clock import VARIABLE, Anchor
from cdc_users.measure.ledger import Arrivals
from cdc_users.scenario import Pipeline
from cdc_users.steward_client import StewardClient
from cdc_users.telemetry import Look, Progress, begin, read_ledger, read_progress, read_snapshot
from infra.postgres.table import table_names
from infra.stack.endpoints import Endpoints

TABLE = "customers"
PLATFORM_GRACE_S = 10.0
#: What of a pipeline decides which objects it needs.
ASKED = ("source", "capture", "transport", "sink", "partitions", "topic", "connector", "table")


@dataclass(frozen=True, slots=True)
class Names:
    """What the steward has created for one pipeline; empty where the pipeline has no such thing."""

    schema: str
    tables: Sequence[str]
    topics: Sequence[str] = ()
    channels: Sequence[Mapping[str, Any]] = ()
    group: str = ""
    dead_letter: str = ""
    publication: str = ""
    slot: str = ""
    sink_table: str = ""
    warehouse: str = ""


@dataclass(slots=True)
class Rig:
    """One pipeline, prepared: what it is made of, and its processes."""

    endpoints: Endpoints
    pipeline: Pipeline
    names: Names
    run: str
    anchor: Anchor
    logs: Path
    platforms: list[Child] = field(default_factory=list)

    @property
    def target(self) -> Mapping[str, Any]:
        """What the lanes are told of where they write, plain data."""
        if self.pipeline.source == "topic":
            return {
                "bootstrap": self.endpoints.kafka_bootstrap,
                "schema_registry_url": self.endpoints.schema_registry_url,
                "channels": list(self.names.channels),
            }
        names = self.names
        return {
            "dsn": self.endpoints.postgres_dsn,
            "schema": names.schema,
            "table": names.tables[0],
            "tables": list(names.tables),
        }

    def start_platform(self, *, held: bool) -> None:
        """Start the platform's instances, all at once; raises TargetError when one does not become ready.

        `held` ones take their partitions and wait for `begin`.
        """
        environment = {VARIABLE: json.dumps(self.anchor.to_json())}
        launched = []
        for number in range(1, self.pipeline.instances + 1):
            name = f"platform-{number}"
            log = self.logs / f"{self.names.schema}-{name}.log"
            launched.append(launch(name, self._command(held=held), log, environment))
        try:
            self.platforms = [child.await_ready() for child in launched]
        except TargetError:
            for child in launched:
                stop(child.process, PLATFORM_GRACE_S)
            raise

    def begin(self) -> None:
        """Let held instances start to read."""
        begin(self._telemetry)

    def shared_out(self) -> bool:
        """Whether every partition has its instance; a group of several needs a moment for that."""
        snapshot = read_snapshot(self._telemetry)
        return snapshot.partitions == self.pipeline.partitions * len(self.names.topics)

    def _command(self, *, held: bool) -> list[str]:
        arguments = {
            "bootstrap": self.endpoints.kafka_bootstrap,
            "schema-registry": self.endpoints.schema_registry_url,
            "topic": ",".join(self.names.topics),
            "group": self.names.group,
            "sink": self.pipeline.sink,
            "sink-delay-ms": round(self.pipeline.sink_delay_s * 1000),
            "batch-size": self.pipeline.batch_size,
            "max-buffered-messages": self.pipeline.max_buffered_messages,
            "run": self.run,
            "held": "yes" if held else "no",
        }
        return [sys.executable, "-m", "infra.platform", *(f"--{name}={value}" for name, value in arguments.items())]

    def look(self) -> Look:
        """Everything about the pipeline now; raises TargetError."""
        snapshot = read_snapshot(self._telemetry)
        return Look(sink=snapshot, platform=snapshot)

    def progress(self) -> Mapping[str, Progress]:
        """How far every tap has come, first to last; raises TargetError."""
        return {"sink": read_progress(self._telemetry)}

    def arrivals(self) -> Mapping[str, Arrivals]:
        """Every tap's ledger, first to last; raises TargetError."""
        return {"sink": read_ledger(self._telemetry)}

    @property
    def _telemetry(self) -> Sequence[str]:
        return [str(child.ready["telemetry"]) for child in self.platforms]

    def dead(self) -> str | None:
        """What of the system under test has died, if anything."""
        return next((message for child in self.platforms if (message := child.dead()) is not None), None)

    def stop(self) -> list[str]:
        """Stop the platform; returns what was wrong about its end."""
        codes = [(child, child.stop()) for child in self.platforms]
        return [f"{child.name} ended with {code} when asked to stop; log {child.log}" for child, code in codes if code]


def prepare(
    run: str, number: int, steward: StewardClient, endpoints: Endpoints, pipeline: Pipeline, tuning: str, **place: Any
) -> Rig:
    """Have one pipeline's objects created; nothing runs on them yet. `place` is the rig's anchor and logs."""
    names = steward.prepare(
        name=f"cdc_{run}" if number == 1 else f"cdc_{run}_{number}",
        tables=list(table_names(pipeline.tables)),
        tuning=tuning,
        **{name: getattr(pipeline, name) for name in ASKED},
    )
    return Rig(endpoints, pipeline, Names(**names), run, **place)
