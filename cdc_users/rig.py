"""Everything between source and sink during some steps: the run's own topic and connector, and the platform."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cdc_users.child import Child, start
from cdc_users.error import HarnessError
from cdc_users.measure.clock import VARIABLE, Anchor
from cdc_users.scenario import Pipeline
from cdc_users.steward_client import StewardClient
from infra.stack.endpoints import Endpoints

TABLE = "customers"


@dataclass(slots=True)
class Rig:
    """One pipeline, prepared. `schema` holds the source table, `topic` its events, `group` reads them."""

    endpoints: Endpoints
    pipeline: Pipeline
    schema: str
    topic: str
    group: str
    platforms: list[Child] = field(default_factory=list)

    @property
    def telemetry(self) -> Sequence[str]:
        """Base URLs of the platform's instances."""
        return [str(child.ready["telemetry"]) for child in self.platforms]

    def start_platform(self, run: str, anchor: Anchor, logs: Path) -> None:
        """Start the platform's instances; raises TargetError when one does not become ready."""
        for number in range(1, self.pipeline.instances + 1):
            name = f"platform-{number}"
            environment = {VARIABLE: json.dumps(anchor.to_json())}
            self.platforms.append(start(name, self._command(run), logs / f"{self.schema}-{name}.log", environment))

    def _command(self, run: str) -> list[str]:
        arguments = {
            "bootstrap": self.endpoints.kafka_bootstrap,
            "schema-registry": self.endpoints.schema_registry_url,
            "topic": self.topic,
            "group": self.group,
            "sink": self.pipeline.sink,
            "sink-delay-ms": round(self.pipeline.sink_delay_s * 1000),
            "batch-size": self.pipeline.batch_size,
            "max-buffered-messages": self.pipeline.max_buffered_messages,
            "run": run,
        }
        return [sys.executable, "-m", "infra.platform", *(f"--{name}={value}" for name, value in arguments.items())]

    def dead(self) -> str | None:
        """What of the system under test has died, if anything."""
        return next((message for child in self.platforms if (message := child.dead()) is not None), None)

    def stop(self) -> list[str]:
        """Stop the platform; returns what was wrong about its end."""
        codes = [(child, child.stop()) for child in self.platforms]
        return [f"{child.name} ended with {code} when asked to stop; log {child.log}" for child, code in codes if code]


def prepare(
    run: str,
    number: int,
    steward: StewardClient,
    endpoints: Endpoints,
    pipeline: Pipeline,
    tuning: str,
    anchor: Anchor,
    logs: Path,
) -> Rig:
    """Have one pipeline's objects created and start the platform on them."""
    name = f"cdc_{run}" if number == 1 else f"cdc_{run}_{number}"
    names = steward.prepare(name=name, table=TABLE, partitions=pipeline.partitions, tuning=tuning)
    rig = Rig(endpoints, pipeline, names["schema"], names["topic"], names["group"])
    try:
        rig.start_platform(run, anchor, logs)
    except HarnessError:
        rig.stop()
        raise
    return rig
