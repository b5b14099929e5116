"""How the processes of a pipeline are started: the platform's command line, and the observer's
settings.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from cdc_users.measure.clock import Anchor
from cdc_users.observe.message import FinalSide, TapPlace
from cdc_users.observe.settings import (
    DebeziumSettings,
    GaugeSettings,
    GroupSettings,
    ObserverSettings,
    OwnTableSettings,
    ProcessSettings,
    SlotSettings,
    TableSettings,
    TapSettings,
    TopicSettings,
)
from cdc_users.pipeline.declaration import (
    Arguments,
    CaptureDeclaration,
    SinkDeclaration,
    asks_aws,
    captures,
    feeds_consumer,
    is_direct,
    sinks,
    sources,
    transports,
)
from cdc_users.pipeline.outlets.sink_tap import LAST, beside, sink_taps
from cdc_users.pipeline.prepared import Prepared
from cdc_users.scenario import own_arguments, platform_arguments
from cdc_users.users.target import LaneTarget
from infra.client.environment import for_python, module_command
from infra.stack.cloud import EMULATED_PROJECT

#: Under load the topic tap checks the columns of one row in this many; the final comparison checks
#: all rows.
CHECK_EVERY = 20
#: Arguments of the platform that do not depend on its sink.
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
    def capture(self) -> CaptureDeclaration:
        """The declaration of what reads the database's log."""
        return captures().by_name[self.pipeline.capture]

    @property
    def sink(self) -> SinkDeclaration:
        """The declaration of what the platform writes to."""
        return sinks().by_name[self.pipeline.sink]

    @property
    def ready_s(self) -> float:
        """The longest time that a platform instance may take to become ready."""
        return self.capture.ready_s if self.direct else self.sink.ready_s

    @property
    def foreign(self) -> bool:
        """Whether software other than ours writes to the place that our tap watches."""
        if self.direct:
            return not self.capture.is_ours
        return bool(self.pipeline.sink_tap) or not self.sink.is_ours

    @property
    def outlet(self) -> str:
        """Where events come out, in one word."""
        to_transport = self.direct or self.sink.is_ours
        label = transports().by_name[self.pipeline.transport].label
        return self.pipeline.sink_tap or (label if to_transport else self.pipeline.sink)

    @property
    def target(self) -> LaneTarget:
        """Where the lanes write."""
        return sources().by_name[self.pipeline.source].target(self)

    @property
    def environment(self) -> dict[str, str]:
        """The environment of one of this pipeline's processes: the clock's anchor, and the
        variables of this process that it may need.
        """
        return for_python(os.environ, aws=asks_aws(self.pipeline)) | self.anchor.environment()

    def platform_command(self, *, held: bool, tap: TapPlace) -> list[str]:
        """The command of one platform instance; `tap` is what the sink's tap reports about
        itself.
        """
        common = {"run": self.run, "held": "yes" if held else "no"}
        arguments = {**common, **(self._reader(tap) if self.direct else self._consumer(tap))}
        module = self.capture.module if self.direct else self.sink.module
        own = shlex.split(self.pipeline.platform) or module_command(module)
        return [*own, *(f"--{name}={value}" for name, value in arguments.items())]

    def capture_command(self) -> list[str]:
        """The command of a reader that writes to Kafka for the consumer; empty if there is none."""
        feeds = self.capture.feeds
        if feeds is None or not feeds_consumer(self.pipeline):
            return []
        arguments = feeds(self)
        told = [f"--{name}={value}" for name, value in arguments.items()]
        return [*module_command("infra.platform.wal"), *told]

    def _reader(self, tap: TapPlace) -> Arguments:
        names = self.names
        transport = transports().by_name[self.pipeline.transport]
        return {
            "dsn": names.mariadb or self.endpoints.postgres_dsn,
            "slot": names.slot,
            "publication": names.publication,
            "transport": self.pipeline.transport,
            "endpoint": names.kafka_relayed or names.stream.get("endpoint", ""),
            "project": names.stream.get("project", EMULATED_PROJECT),
            "stream": names.stream.get("name", ""),
            "partitions": self.pipeline.partitions,
            "max-buffered-messages": self.pipeline.max_buffered_messages,
            **own_arguments(transport.options, self.pipeline),
            **transport.arguments(self, tap),
        }

    def _consumer(self, tap: TapPlace) -> Arguments:
        sink, names = self.sink, self.names
        told = platform_arguments(self.pipeline)
        return {
            "bootstrap": names.kafka_relayed or self.endpoints.kafka_bootstrap,
            "schema-registry": names.registry_relayed or self.endpoints.schema_registry_url,
            "topic": ",".join(names.topics),
            "group": names.group,
            "dead-letter-topic": names.dead_letter,
            **({"probe-column": names.plans[0].probe} if names.plans else {}),
            **{name: told[name] for name in (*EVERY_SINK, *sink.takes)},
            **own_arguments(sink.options, self.pipeline),
            **sink.arguments(self, tap),
        }

    def observer_settings(self, *, smoke: bool) -> ObserverSettings:
        """The observer's settings: the taps in the order in which events pass them, and the
        gauges.
        """
        dsn, names = self.endpoints.postgres_dsn, self.names
        slot = SlotSettings(dsn=dsn, slot=names.slot) if names.slot else None
        every = 1 if smoke else CHECK_EVERY
        return ObserverSettings(
            run=self.run,
            anchor=self.anchor,
            taps=tuple(replace(tap, check_every=every, own=self._own()) for tap in self._taps()),
            gauges=GaugeSettings(
                slot=slot,
                group=self._group(),
                processes=self._processes(),
                debezium=self._debezium(),
            ),
        )

    def _processes(self) -> ProcessSettings:
        """The run's process, and the stack's supervisor if the stack's servers are
        processes here.
        """
        return ProcessSettings(harness=os.getpid(), supervisor=self.endpoints.supervisor_pid)

    def _debezium(self) -> DebeziumSettings | None:
        url = self.endpoints.connect_metrics
        if not url or not self.capture.is_debezium or self.direct:
            return None
        return DebeziumSettings(url=url, topics=self.names.topics)

    def _group(self) -> GroupSettings | None:
        names, pipeline = self.names, self.pipeline
        # A platform that runs already has its own group, which only the user can name.
        group = pipeline.group if pipeline.platform == "none" else names.group
        if not group or self.direct:
            return None
        return GroupSettings(
            bootstrap=self.endpoints.kafka_bootstrap, group=group, topics=names.topics
        )

    def _taps(self) -> list[TapSettings]:
        watched = self._sink_taps()
        if self.direct:
            return watched
        topic = TopicSettings(
            name="topic",
            bootstrap=self.endpoints.kafka_bootstrap,
            topics=self.names.topics,
            schema_registry_url=self.endpoints.schema_registry_url,
            # Events that were in the user's own topic before are not the run's.
            from_end=bool(self.pipeline.topic),
        )
        return [topic, *watched]

    @property
    def ends(self) -> Mapping[str, str]:
        """The taps where events come out, by name, each with its place in one word."""
        found = {tap.name: f"{tap.kind}:{tap.place}" for tap in sink_taps(self.pipeline.sink_tap)}
        return found or {LAST: self.outlet}

    @property
    def end(self) -> str:
        """The name of the tap whose figures are the run's."""
        return list(self.ends)[-1]

    @property
    def beside(self) -> Mapping[str, frozenset[str]]:
        """By tap: earlier taps that its events do not pass."""
        return beside(sink_taps(self.pipeline.sink_tap))

    def _sink_taps(self) -> list[TapSettings]:
        """The taps where events come out of the platform one by one; none if only the platform sees
        them.
        """
        if taps := sink_taps(self.pipeline.sink_tap):
            return [
                replace(
                    tap.outlet.tap(self, tap.place),
                    name=tap.name,
                    probe_path=self.pipeline.probe_path,
                )
                for tap in taps
            ]
        if self.direct:
            found = transports().by_name[self.pipeline.transport].tap(self)
        else:
            found = self.sink.tap(self)
            if found is None and self.pipeline.watched:
                found = self.sink.watch(self)
        return [] if found is None else [replace(found, name=LAST)]

    def finals(self) -> Mapping[str, Sequence[tuple[FinalSide | None, FinalSide]]]:
        """The pairs of tables that are compared at the end, by tap: each source table with the
        sink's. The source is None if it has no table of its own for that sink's. A tap whose sink
        keeps no contents is left out.
        """
        taps = sink_taps(self.pipeline.sink_tap)
        found = {tap.name: self._pairs(tap.outlet.finals(self, tap.place)) for tap in taps}
        if not any(found.values()):
            transport = transports().by_name[self.pipeline.transport]
            kept = self.sink.final(self)
            whole = [] if kept is None else [kept]
            found = {self.end: self._pairs(transport.finals(self) if self.direct else whole)}
        return {name: pairs for name, pairs in found.items() if pairs}

    def _pairs(self, kept: Sequence[FinalSide]) -> list[tuple[FinalSide | None, FinalSide]]:
        written = sources().by_name[self.pipeline.source].finals(self)
        if len(kept) != len(written):
            return [(None, side) for side in kept[:1]]
        return [
            (self._as_own(source, number), self._as_own(sink, number))
            for number, (source, sink) in enumerate(zip(written, kept, strict=True))
        ]

    def _as_own(self, side: FinalSide, number: int) -> FinalSide:
        """The side with the columns of the user's own table, if it is one."""
        if not self.names.plans or not isinstance(side, TableSettings):
            return side
        return replace(side, own=self._own()[number : number + 1])

    def _own(self) -> tuple[OwnTableSettings, ...]:
        return tuple(
            OwnTableSettings(
                table=plan.full_name, key=plan.key, probe=plan.probe, columns=plan.compared
            )
            for plan in self.names.plans
        )
