"""Everything between source and sink during some steps: the run's topics and connector, the platform, the observer."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cdc_users.child import Child, start
from cdc_users.error import TargetError
from cdc_users.measure.clock import Anchor
from cdc_users.observe.client import ObserverClient
from cdc_users.options import Options
from cdc_users.scenario import Capture, Pipeline
from cdc_users.steward_client import StewardClient
from infra.stack.endpoints import Endpoints

PLATFORM_GRACE_S = 20.0


@dataclass(slots=True)
class Rig:
    """One pipeline, prepared and watched. `names` are what the steward created: schema, topics, group, slot."""

    run: str
    endpoints: Endpoints
    pipeline: Pipeline
    names: Mapping[str, Any]
    tables: Sequence[str]
    logs: Path
    anchor: Anchor
    observer_child: Child
    observer: ObserverClient
    platforms: list[Child] = field(default_factory=list)

    def start_platforms(self) -> None:
        """Start the platform's instances and have the observer watch them."""
        for number in range(1, self.pipeline.instances + 1):
            name = f"platform-{number}"
            child = start(name, self._platform_command(), self.logs / f"{name}.log", self._environment())
            self.platforms.append(child)
            self.observer.watch(platforms=[str(child.ready["telemetry"])], pids={name: child.process.pid})

    def _environment(self) -> dict[str, str]:
        return {"CDC_ANCHOR": json.dumps(self.anchor.to_json())}

    def _platform_command(self) -> list[str]:
        pipeline, endpoints = self.pipeline, self.endpoints
        arguments: dict[str, object] = {
            "bootstrap": endpoints.kafka_bootstrap,
            "schema-registry": endpoints.schema_registry_url,
            "topic": ",".join(self.names["topics"]),
            "group": self.names["group"],
            "sink": pipeline.sink,
            "batch-size": pipeline.batch_size,
            "max-buffered-messages": pipeline.max_buffered_messages,
            "telemetry-port": 0,
            "run": self.run,
        }
        if pipeline.sink == "slow":
            arguments["sink-delay-ms"] = round(pipeline.sink_delay_s * 1000)
        if pipeline.sink == "webhook":
            arguments["webhook-url"] = self.observer_child.ready["webhook"]
        return [sys.executable, "-m", "infra.platform", *(f"--{name}={value}" for name, value in arguments.items())]

    def dead(self) -> tuple[str, int] | None:
        """What has died and what that means for the exit code: the platform 1, the observer 2, the stack 3."""
        for child in self.platforms:
            if (message := child.dead()) is not None:
                return f"the system under test died: {message}", 1
        if (message := self.observer_child.dead()) is not None:
            return f"the observer died: {message}", 2
        return None

    def stop(self) -> list[str]:
        """Stop platform and observer; returns what was wrong about it."""
        problems = []
        for child in self.platforms:
            code = child.stop(PLATFORM_GRACE_S)
            if code != 0:
                problems.append(f"{child.name} ended with {code} when asked to stop; log {child.log}")
        self.observer_child.stop()
        return problems


def prepare(
    run: str,
    number: int,
    steward: StewardClient,
    endpoints: Endpoints,
    pipeline: Pipeline,
    capture: Capture,
    options: Options,
    anchor: Anchor,
    logs: Path,
) -> Rig:
    """Create one pipeline's objects, start the observer on them, and the platform unless records come first."""
    name = f"cdc_{run}" if number == 1 else f"cdc_{run}_{number}"
    tables = ["customers", *(f"customers_{extra}" for extra in range(2, options.tables + 1))]
    names = steward.prepare(
        name=name, tables=tables, partitions=pipeline.partitions, capture=capture, tuning=options.tuning
    )
    observer_child = _start_observer(run, endpoints, names, anchor, logs / f"observer-{number}.log", logs)
    observer = ObserverClient(str(observer_child.ready["url"]))
    rig = Rig(run, endpoints, pipeline, names, tables, logs, anchor, observer_child, observer)
    try:
        if not pipeline.preload:
            rig.start_platforms()
    except TargetError:
        rig.stop()
        raise
    return rig


def _start_observer(
    run: str, endpoints: Endpoints, names: Mapping[str, Any], anchor: Anchor, log: Path, directory: Path
) -> Child:
    config = {
        "run": run,
        "kafka_bootstrap": endpoints.kafka_bootstrap,
        "schema_registry_url": endpoints.schema_registry_url,
        "postgres_dsn": endpoints.postgres_dsn,
        "slot": names["slot"],
        "group": names["group"],
        "taps": [{"kind": "topic", "name": "topic", "topics": names["topics"]}],
    }
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / "observer.json"
    path.write_text(json.dumps(config, indent=2), encoding="utf-8")
    command = [sys.executable, "-m", "cdc_users.observe", "--config-file", str(path)]
    return start("observer", command, log, {"CDC_ANCHOR": json.dumps(anchor.to_json())})
