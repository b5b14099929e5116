"""What the processes of a pipeline are told: the platform's command line, and what the observer is
to watch.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cdc_users.measure.clock import Anchor
from cdc_users.pipeline.declaration import is_direct, outlets, sinks, sources, transports
from cdc_users.pipeline.prepared import Prepared
from cdc_users.scenario import platform_arguments
from infra.client.environment import module_command
from infra.stack.cloud import EMULATED_PROJECT

#: Under load the topic tap checks the columns of one row in so many; the final state is checked in
#: full.
CHECK_EVERY = 20
#: Arguments of the platform whatever its sink is.
EVERY_SINK = ("sink", "batch-size", "max-buffered-messages")


@dataclass(frozen=True, slots=True)
class Wiring(Prepared):
    """One pipeline with all its names, for one run."""

    run: str
    anchor: Anchor

    @property
    def direct(self) -> bool:
        """Whether the direct reader is the system under test."""
        return is_direct(self.pipeline)

    @property
    def target(self) -> Mapping[str, Any]:
        """What the lanes must know of where they write, plain data."""
        return sources().by_name[self.pipeline.source].target(self)

    def platform_command(self, *, held: bool, tap: Mapping[str, Any]) -> list[str]:
        """How one instance of the platform is started; `tap` is what the sink's tap says of
        itself.
        """
        common = {"run": self.run, "held": "yes" if held else "no"}
        arguments = {**common, **(self._reader(tap) if self.direct else self._consumer(tap))}
        module = "infra.platform.wal" if self.direct else "infra.platform"
        own = shlex.split(self.pipeline.platform) or module_command(module)
        return [*own, *(f"--{name}={value}" for name, value in arguments.items())]

    def _reader(self, tap: Mapping[str, Any]) -> Mapping[str, Any]:
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
            **transports().by_name[self.pipeline.transport].arguments(self, tap),
        }

    def _consumer(self, tap: Mapping[str, Any]) -> Mapping[str, Any]:
        sink, names = sinks().by_name[self.pipeline.sink], self.names
        told = platform_arguments(self.pipeline)
        return {
            "bootstrap": self.endpoints.kafka_bootstrap,
            "schema-registry": self.endpoints.schema_registry_url,
            "topic": ",".join(names.topics),
            "group": names.group,
            "dead-letter-topic": names.dead_letter,
            **{name: told[name] for name in (*EVERY_SINK, *sink.takes)},
            **sink.arguments(self, tap),
        }

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
            watched = transports().by_name[self.pipeline.transport].tap(self)
            return [{"name": "sink", "check_every": check_every, **watched}]
        kafka = {"bootstrap": self.endpoints.kafka_bootstrap, "topics": list(self.names.topics)}
        registry = {"schema_registry_url": self.endpoints.schema_registry_url}
        topic = {"name": "topic", "kind": "topic", "check_every": check_every, **kafka, **registry}
        sink = self._sink_tap()
        return (
            [topic]
            if sink is None
            else [topic, {"name": "sink", "check_every": check_every, **sink}]
        )

    def _sink_tap(self) -> Mapping[str, Any] | None:
        """Where events come out of the platform and can be seen one by one;

        None where only the platform says so.
        """
        kind, _, place = self.pipeline.sink_tap.partition(":")
        if kind:
            return outlets().by_name[kind].tap(self, place)
        return sinks().by_name[self.pipeline.sink].tap(self)

    def final_source(self) -> Mapping[str, Any] | None:
        """The source table as one side of the final comparison;

        None where there is none, or there are several.
        """
        return sources().by_name[self.pipeline.source].final(self)

    def final_sink(self) -> Mapping[str, Any] | None:
        """The sink's contents as the other side; None where the sink keeps none."""
        kind, _, place = self.pipeline.sink_tap.partition(":")
        if kind and (final := outlets().by_name[kind].final(self, place)) is not None:
            return final
        return sinks().by_name[self.pipeline.sink].final(self)
