"""What the options of the pipeline need and exclude."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from cdc_users.options.conflict import pipeline
from cdc_users.options.conflict.rule import Rule

WAL = {"capture": "wal", "transport": "kinesis", "sink": "counting"}
CONNECT = {"capture": "debezium", "transport": "kafka", "sink": "counting"}
ELSEWHERE = {"capture": "none", "transport": "kafka", "sink": "counting"}


@pytest.mark.parametrize(
    ("rule", "values", "said"),
    [
        (
            pipeline.buffer_holds_a_batch,
            {"max_buffered_messages": 9, "batch_size": 10},
            "--max-buffered-messages 9 is below --batch-size 10",
        ),
        (pipeline.buffer_holds_a_batch, {"max_buffered_messages": 10, "batch_size": 10}, ""),
        (
            pipeline.instances_have_partitions,
            {"partitions": (4, 2), "instances": (1, 3)},
            "--instances 3 is more than --partitions 2; 1 would idle",
        ),
        (pipeline.instances_have_partitions, {"partitions": (3,), "instances": (3,)}, ""),
        (
            pipeline.direct_reader_has_a_database,
            {**WAL, "source": "topic"},
            "--capture wal needs --source postgres",
        ),
        (pipeline.direct_reader_has_a_database, {**WAL, "source": "postgres"}, ""),
        (
            pipeline.capture_reads_the_source,
            {**CONNECT, "source": "mariadb"},
            "--source mariadb is not possible with --capture debezium, which reads postgres; use"
            " --capture debezium-server",
        ),
        (
            pipeline.capture_reads_the_source,
            {"capture": "debezium-server", "source": "mariadb"},
            "",
        ),
        (pipeline.capture_reads_the_source, {**CONNECT, "source": "topic"}, ""),
        (
            pipeline.capture_publishes_there,
            {**CONNECT, "transport": "kinesis"},
            "--transport kinesis is not possible with --capture debezium",
        ),
        (pipeline.capture_publishes_there, WAL, ""),
        (
            pipeline.the_reader_is_the_platform,
            {**WAL, "platform": "none"},
            "--platform none is not possible with --capture wal",
        ),
        (pipeline.the_reader_is_the_platform, {**CONNECT, "platform": "none"}, ""),
        (
            pipeline.nothing_is_captured_here,
            {**ELSEWHERE, "platform": "reference", "table": "t", "sink_tap": "webhook:1"},
            "--capture none is a pipeline of yours that runs already",
        ),
        (
            pipeline.nothing_is_captured_here,
            {**ELSEWHERE, "platform": "none", "table": "t", "sink_tap": "webhook:1"},
            "",
        ),
        (
            pipeline.nothing_is_captured_here,
            {
                **ELSEWHERE,
                "platform": "none",
                "table": "t",
                "sink_tap": "postgres:x",
                "mix": (1, 1, 0),
            },
            "--sink-tap postgres sees a table's rows and not each change",
        ),
        (
            pipeline.the_stream_is_the_end,
            {**WAL, "sink": "postgres"},
            "--sink postgres is not possible with --capture wal",
        ),
        (pipeline.the_stream_is_the_end, {**WAL, "transport": "kafka", "sink": "postgres"}, ""),
        (pipeline.a_slot_has_one_reader, {**WAL, "instances": (1, 2)}, "--instances 2 is not"),
        (pipeline.a_slot_has_one_reader, {**WAL, "instances": (1,)}, ""),
    ],
)
def test_a_pipeline_that_cannot_be_is_named_with_its_remedy(
    rule: Rule, values: Mapping[str, object], said: str
) -> None:
    found = rule(values)

    assert len(found) == bool(said)
    assert not said or found[0].startswith(said)
