"""What the processes of a pipeline are told: the platform's command line, and what the observer is
to watch.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cdc_users.measure.clock import Anchor
from cdc_users.scenario import Pipeline
from infra.client.environment import module_command
from infra.stack.cloud import EMULATED_PROJECT
from infra.stack.endpoints import Endpoints

#: Under load the topic tap checks the columns of one row in so many; the final state is checked in
#: full.
CHECK_EVERY = 20


@dataclass(frozen=True, slots=True)
class Names:
    """What the steward has created for one pipeline; empty where the pipeline has no such thing.

    `partitions` is how many partitions, shards or ordering keys there are over all topics or
    streams, so that a fence can pass each. `topics` are Kafka's; a `stream` is what the direct
    reader publishes to: its endpoint and name, and a project where there are any (cloud_stream).
    `channels` is what producers must know of the topics (channel.Channel).
    """

    schema: str
    tables: Sequence[str]
    partitions: int = 1
    topics: Sequence[str] = ()
    channels: Sequence[Mapping[str, Any]] = ()
    group: str = ""
    dead_letter: str = ""
    publication: str = ""
    slot: str = ""
    stream: Mapping[str, str] = field(default_factory=dict)
    sink_table: str = ""
    warehouse: str = ""


@dataclass(frozen=True, slots=True)
class Wiring:
    """One pipeline with all its names, for one run."""

    endpoints: Endpoints
    pipeline: Pipeline
    names: Names
    run: str
    anchor: Anchor

    @property
    def direct(self) -> bool:
        """Whether the direct reader is the system under test."""
        return self.pipeline.source == "postgres" and self.pipeline.capture == "wal"

    @property
    def target(self) -> Mapping[str, Any]:
        """What the lanes are told of where they write, plain data."""
        endpoints, names = self.endpoints, self.names
        if self.pipeline.source == "topic":
            return {
                "bootstrap": endpoints.kafka_bootstrap,
                "schema_registry_url": endpoints.schema_registry_url,
                "channels": list(names.channels),
            }
        return {
            "dsn": endpoints.postgres_dsn,
            "schema": names.schema,
            "table": names.tables[0],
            "tables": list(names.tables),
        }

    def platform_command(self, *, held: bool, webhook_url: str) -> list[str]:
        """How one instance of the platform is started."""
        common = {"run": self.run, "held": "yes" if held else "no"}
        arguments = common | (self._reader() if self.direct else self._consumer(webhook_url))
        module = "infra.platform.wal" if self.direct else "infra.platform"
        own = shlex.split(self.pipeline.platform) or module_command(module)
        return [*own, *(f"--{name}={value}" for name, value in arguments.items())]

    def _reader(self) -> dict[str, Any]:
        names = self.names
        return {
            "dsn": self.endpoints.postgres_dsn,
            "slot": names.slot,
            "publication": names.publication,
            "transport": self.pipeline.transport,
            "endpoint": names.stream["endpoint"],
            "project": names.stream.get("project", EMULATED_PROJECT),
            "stream": names.stream["name"],
            "partitions": self.pipeline.partitions,
            "max-buffered-messages": self.pipeline.max_buffered_messages,
        }

    def _consumer(self, webhook_url: str) -> dict[str, Any]:
        pipeline, names = self.pipeline, self.names
        arguments: dict[str, Any] = {
            "bootstrap": self.endpoints.kafka_bootstrap,
            "schema-registry": self.endpoints.schema_registry_url,
            "topic": ",".join(names.topics),
            "group": names.group,
            "dead-letter-topic": names.dead_letter,
            "sink": pipeline.sink,
            "sink-delay-ms": round(pipeline.sink_delay_s * 1000),
            "batch-size": pipeline.batch_size,
            "max-buffered-messages": pipeline.max_buffered_messages,
        }
        own: dict[str, dict[str, Any]] = {
            "webhook": {"webhook-url": webhook_url},
            "postgres": {
                "postgres-dsn": self.endpoints.postgres_dsn,
                "postgres-table": names.sink_table,
            },
            "iceberg": {
                "iceberg-warehouse": names.warehouse,
                "iceberg-table": names.sink_table,
                "iceberg-mode": pipeline.iceberg_mode,
                "iceberg-commit-interval-ms": round(pipeline.iceberg_commit_interval_s * 1000),
            },
        }
        return arguments | own.get(pipeline.sink, {})

    def observer_config(self, *, smoke: bool) -> dict[str, Any]:
        """What the observer watches: the taps in the order in which events pass them, and the
        gauges.
        """
        gauges: dict[str, Any] = {}
        if self.names.slot:
            gauges["slot"] = {"dsn": self.endpoints.postgres_dsn, "slot": self.names.slot}
        if self.names.group and not self.direct and not self.pipeline.sink_tap:
            group = {"bootstrap": self.endpoints.kafka_bootstrap, "group": self.names.group}
            gauges["group"] = {**group, "topics": list(self.names.topics)}
        taps = self._taps(1 if smoke else CHECK_EVERY)
        return {"run": self.run, "anchor": self.anchor.to_json(), "taps": taps, "gauges": gauges}

    def _taps(self, check_every: int) -> list[dict[str, Any]]:
        if self.direct:
            return [{"name": "sink", "check_every": check_every, **self._stream_tap()}]
        kafka = {"bootstrap": self.endpoints.kafka_bootstrap, "topics": list(self.names.topics)}
        registry = {"schema_registry_url": self.endpoints.schema_registry_url}
        topic = {"name": "topic", "kind": "topic", "check_every": check_every, **kafka, **registry}
        sink = self._sink_tap()
        return (
            [topic]
            if sink is None
            else [topic, {"name": "sink", "check_every": check_every, **sink}]
        )

    def _stream_tap(self) -> dict[str, Any]:
        stream = self.names.stream
        if self.pipeline.transport == "kinesis":
            return {"kind": "kinesis", "endpoint": stream["endpoint"], "stream": stream["name"]}
        if self.pipeline.transport == "pubsub":
            place = {"endpoint": stream["endpoint"], "project": stream["project"]}
            return {"kind": "pubsub", **place, "subscription": stream["name"]}
        return {"kind": "json-topic", "bootstrap": stream["endpoint"], "topic": stream["name"]}

    def _sink_tap(self) -> dict[str, Any] | None:
        """Where events come out of the platform and can be seen one by one;

        None where only the platform says so.
        """
        kind, _, place = self.pipeline.sink_tap.partition(":")
        if kind == "webhook":
            return {"kind": "webhook", "port": int(place)}
        if kind == "postgres":
            return {"kind": "postgres", "dsn": self.endpoints.postgres_dsn, "table": place}
        if kind == "topic":
            return {
                "kind": "json-topic",
                "bootstrap": self.endpoints.kafka_bootstrap,
                "topic": place,
            }
        if self.pipeline.sink == "webhook":
            return {"kind": "webhook", "port": 0}
        if self.pipeline.sink == "iceberg" and self.pipeline.iceberg_mode == "append":
            return {
                "kind": "iceberg",
                "warehouse": self.names.warehouse,
                "table": self.names.sink_table,
            }
        return None

    def final_source(self) -> dict[str, Any] | None:
        """The source table as one side of the final comparison;

        None where there is none, or there are several.
        """
        if self.pipeline.source != "postgres" or len(self.names.tables) > 1:
            return None
        table = f"{self.names.schema}.{self.names.tables[0]}"
        return {
            "kind": "postgres",
            "dsn": self.endpoints.postgres_dsn,
            "table": table,
            "check": False,
        }

    def final_sink(self) -> dict[str, Any] | None:
        """The sink's contents as the other side; None where the sink keeps none."""
        kind, _, place = self.pipeline.sink_tap.partition(":")
        if kind == "postgres" or self.pipeline.sink == "postgres":
            return {
                "kind": "postgres",
                "dsn": self.endpoints.postgres_dsn,
                "table": place or self.names.sink_table,
            }
        if self.pipeline.sink == "iceberg":
            mode = self.pipeline.iceberg_mode
            return {
                "kind": "iceberg",
                "warehouse": self.names.warehouse,
                "table": self.names.sink_table,
                "mode": mode,
            }
        return None
