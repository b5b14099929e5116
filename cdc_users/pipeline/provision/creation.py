"""Creates the objects of one pipeline, each noted in the run's journal first."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path

from cdc_users.pipeline.declaration import captures, sinks, sources, transports
from cdc_users.pipeline.outlets.sink_tap import sink_taps
from cdc_users.pipeline.prepared import Names
from cdc_users.pipeline.provision import cloud_streams, kafka_topics
from cdc_users.pipeline.provision.allow_list import check_addresses
from cdc_users.pipeline.provision.cleanup.removal import connect
from cdc_users.pipeline.provision.cloud_streams import CloudStreams
from cdc_users.pipeline.provision.condition import RunObjects
from cdc_users.pipeline.provision.ground import Ground, OwnTables, consumer_group
from cdc_users.pipeline.provision.message import PreparePipeline
from cdc_users.scenario import Pipeline, listed
from cdc_users.users.workload.workload import OPERATIONS
from infra.faults.fault import has_standby
from infra.postgres.table import Table
from infra.stack.endpoints import Endpoints
from infra.stack.servers.settings import TOPIC_PREFIX
from infra.stack.supervise.state import state_of
from infra.validate import endpoint_address


def fetch_files(pipeline: Pipeline, endpoints: Endpoints) -> None:
    """Download the files of a pipeline's processes, once for each user; this may take long."""
    source = sources().by_name[pipeline.source]
    source.fetch(endpoints)
    if source.database:
        captures().by_name[pipeline.capture].fetch()
    sinks().by_name[pipeline.sink].fetch()


@dataclass(slots=True)
class Creation:
    """Makes one pipeline's objects; `note(kind, name)` writes an object down and returns
    its name.
    """

    run: str
    endpoints: Endpoints
    checkout: Path
    allowed: tuple[str, ...]
    note: Callable[[str, str], str]
    #: The emulators of the run, which outlive a single pipeline.
    clouds: list[CloudStreams] = field(default_factory=list)
    #: The connector that was created, if any.
    connector: str = ""
    #: The run's own topics, which were created empty.
    topics: tuple[str, ...] = ()

    def create(self, request: PreparePipeline) -> Names:
        """Create all of it; returns the names."""
        pipeline, name, tables = request.pipeline, request.name, request.tables
        source = sources().by_name[pipeline.source]
        if source.database:
            source.check(self.endpoints, pipeline)
        topics = listed(pipeline.topic) or tuple(
            f"{TOPIC_PREFIX}.{name}.{table}" for table in listed(pipeline.table) or tables
        )
        names = Names(name, tables, pipeline.partitions, topics)
        if transports().by_name[pipeline.transport].of_kafka:
            # The user's own topic may have lost its beginning long before.
            self.topics = () if pipeline.topic else topics
            names = self._kafka(names, pipeline.partitions)
        ground = self._ground(request, topics)
        names = replace(names, **source.provision(ground))
        if source.database:
            capture = captures().by_name[pipeline.capture]
            names = replace(names, **capture.provision(ground))
            self.connector = "" if pipeline.connector else capture.connector(name)
        if taps := sink_taps(pipeline.sink_tap):
            for tap in taps:
                made = tap.outlet.provision(ground, tap.place)
                names = replace(names, sink_slots=names.sink_slots | made.get("sink_slots", {}))
            return names
        return replace(names, **sinks().by_name[pipeline.sink].provision(ground))

    def objects(self, pipeline: Pipeline, names: Names) -> RunObjects:
        """The pipeline's objects that are looked at during the run."""
        return RunObjects(
            slot=names.slot,
            connector=pipeline.connector or self.connector,
            publication=names.publication,
            topics=names.topics if transports().by_name[pipeline.transport].of_kafka else (),
            tables=names.source_tables if pipeline.source == "postgres" else (),
            mariadb=names.mariadb,
        )

    def _kafka(self, names: Names, partitions: int) -> Names:
        bootstrap = self.endpoints.kafka_bootstrap
        for wanted in self.topics:
            self.note("subjects", wanted)
            kafka_topics.create_topic(bootstrap, self.note("topic", wanted), partitions)
        dead_letter = self.note("topic", f"{TOPIC_PREFIX}.{names.schema}.dead-letter")
        kafka_topics.create_topic(bootstrap, dead_letter, 1)
        return replace(
            names,
            group=self.note("group", consumer_group(names.schema)),
            dead_letter=dead_letter,
            partitions=kafka_topics.count_partitions(bootstrap, names.topics),
        )

    def _ground(self, request: PreparePipeline, topics: tuple[str, ...]) -> Ground:
        pipeline, dsn = request.pipeline, self.endpoints.postgres_dsn
        return Ground(
            name=request.name,
            run=self.run,
            tables=request.tables,
            topics=topics,
            partitions=pipeline.partitions,
            tuning=request.tuning,
            transport=pipeline.transport,
            transport_endpoint=pipeline.transport_endpoint,
            connector=pipeline.connector,
            endpoints=self.endpoints,
            checkout=self.checkout,
            note=self.note,
            postgres=lambda: closing(connect(dsn)),
            sink=lambda: closing(connect(self.endpoints.sink)),
            service=lambda transport, given: self._service(request.name, transport, given),
            server=lambda source: self._emulators().server(source),
            source=pipeline.source,
            own=_own_tables(request),
            failover=has_standby(pipeline.prepared_for),
        )

    def _emulators(self) -> CloudStreams:
        if not self.clouds:
            logs = self.note(
                "directory", str(state_of(self.checkout).runs / f"{self.run}-emulators")
            )
            self.clouds.append(CloudStreams(Path(logs)))
        return self.clouds[0]

    def _service(self, name: str, transport: str, given: str) -> str:
        """The endpoint of a transport's service; an emulator is started if none is named."""
        endpoint = self._emulators().endpoint(transport, given)
        if cloud_streams.own_endpoint(transport, given):
            check_addresses([endpoint_address(endpoint)], self.allowed)
            self.note(transport, f"{endpoint} {name}")
        return endpoint


def _own_tables(request: PreparePipeline) -> OwnTables:
    pipeline = request.pipeline
    done = dict(zip(OPERATIONS, request.mix, strict=True))
    capture = captures().by_name[pipeline.capture]
    return OwnTables(
        tables=tuple(Table(*name.rsplit(".", 1)) for name in listed(pipeline.table)),
        probe=pipeline.probe_column,
        add_probe=pipeline.add_probe,
        keep_rows=pipeline.keep_rows,
        custom=request.custom_rows,
        changes=frozenset(name for name in ("update", "delete") if done[name]),
        seed=request.seed,
        published=not (pipeline.connector or capture.runs_already),
        by_debezium=capture.is_debezium,
    )
