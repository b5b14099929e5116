"""The options of the pipeline that is loaded, and of its sink."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from cdc_users.measure.schedule.plan import parse_duration
from cdc_users.options import parse
from cdc_users.options.conflict import pipeline as conflict
from cdc_users.options.parse import SINKS, WAIT_MS, WAITING, WAITING_BATCH
from cdc_users.options.table.load import A_TIME
from cdc_users.options.table.record import CAPACITY, PER_SINK, PRESSURE, SCALING, VOLUME, option
from cdc_users.pipeline.declaration import captures, sources, transports


@dataclass(frozen=True)
class PipelineOptions:
    """What stands between source and sink."""

    TITLE: ClassVar = "Pipeline"

    source: str = option(
        parse.choice(*sources().by_name),
        "Where events enter: postgres or mariadb (INSERT, then capture), or topic (straight to"
        " Kafka).",
        default="postgres",
    )
    capture: tuple[str, ...] = option(
        parse.Alternatives(tuple(captures().by_name)),
        "What reads the database's log: debezium (in Kafka Connect), wal (the direct reader),"
        " debezium-server, subscription (PostgreSQL's own), or none (yours runs already); several"
        " where a scenario compares.",
        default="debezium",
        rules=(
            conflict.direct_reader_has_a_database,
            conflict.capture_reads_the_source,
            conflict.nothing_is_captured_here,
        ),
    )
    transport: str = option(
        parse.choice(*transports().by_name),
        f"What a capture without Connect publishes to: {parse.either(*transports().by_name)}.",
        default="kafka",
        rules=(conflict.capture_publishes_there,),
    )
    partitions: tuple[int, ...] = option(
        parse.Counts(1000),
        "Partitions of the topic; several where a scenario compares.",
        default="1",
    )
    instances: tuple[int, ...] = option(
        parse.Counts(100),
        "Processes of the platform in one consumer group; several where a scenario compares.",
        default="1",
        rules=(conflict.instances_have_partitions, conflict.a_slot_has_one_reader),
    )
    batch_size: int = option(
        parse.Count(1_000_000),
        "Most events in one write of the sink.",
        default="500",
        direct=False,
    )
    max_buffered_messages: int = option(
        parse.Count(10_000_000),
        "Most events that the platform may hold in memory.",
        default="10000",
        rules=(conflict.buffer_holds_a_batch,),
    )
    tuning: Literal["latency", "throughput"] = option(
        parse.choice("latency", "throughput"),
        "Debezium for latency or for throughput (docs/stack.md has the cost).",
        default="latency",
        direct=False,
    )


@dataclass(frozen=True)
class SinkOptions:
    """The place where events end, and its behaviour."""

    TITLE: ClassVar = "Sink"

    sink: str = option(
        parse.choice(*SINKS),
        f"The sink: {parse.either(*SINKS)}. The reference platform writes to all of them but"
        " iceberg-connect, which is Apache Iceberg's own.",
        default="counting",
        not_in={PER_SINK: "use --sinks", SCALING: "use --sinks"},
        rules=(conflict.the_stream_is_the_end,),
    )
    sinks: tuple[str, ...] = option(
        parse.Choices("sink", (*SINKS, WAITING)),
        f"Latency, partitions: the sinks that are measured in turn; partitions also has {WAITING}"
        f" (slow by {WAIT_MS:g} ms a write of at most {WAITING_BATCH} events).",
        default="webhook,postgres,iceberg",
        only_in=(PER_SINK, SCALING),
        not_in={VOLUME: "use --sink", CAPACITY: "use --sink", PRESSURE: "use --sink-delay"},
    )
    sink_delay: tuple[float, ...] = option(
        parse.durations,
        "What the slow sink sleeps in each write; several where a scenario compares.",
        default="50ms",
        takes="times in ms, s, m or h, several by comma",
        not_in={SCALING: "its waiting sink has a delay of its own"},
        sink="slow",
        direct=False,
    )
    iceberg_mode: str = option(
        parse.choice("append", "upsert"),
        "append (every change) or upsert (the current state).",
        default="append",
        sink="iceberg",
        direct=False,
    )
    iceberg_commit_interval: float = option(
        parse_duration,
        "How often the Iceberg sink commits.",
        default="1s",
        takes=A_TIME,
        sink="iceberg,iceberg-connect",
        direct=False,
    )
