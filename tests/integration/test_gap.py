"""Records that are gone before they were read, on real servers: named with offsets and count, or
skipped and counted.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import requests
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient

from cdc_users.pipeline.provision import kafka_topics as topics
from infra.stack.endpoints import Endpoints
from tests.change_events import FilledTopic, filled_topic, inserts
from tests.platform_process import PlatformProcess, await_that


@pytest.fixture
def topic(stack: Endpoints) -> Iterator[FilledTopic]:
    with filled_topic(stack, f"cdc_gap_{uuid.uuid4().hex[:8]}", 1) as made:
        yield made


@pytest.fixture
def started(topic: FilledTopic, tmp_path: Path) -> Iterator[Any]:
    running: list[PlatformProcess] = []

    def start(**options: object) -> PlatformProcess:
        given = {name.replace("_", "-"): value for name, value in options.items()}
        log = tmp_path / f"{len(running)}.log"
        running.append(PlatformProcess(topic.endpoints, topic.name, log, given))
        return running[-1]

    yield start
    for process in running:
        process.stop()


def delete_before(topic: FilledTopic, offset: int) -> None:
    admin = AdminClient({"bootstrap.servers": topic.endpoints.kafka_bootstrap})
    for future in admin.delete_records([TopicPartition(topic.name, 0, offset)]).values():
        future.result(30)


def iceberg(directory: Path) -> Mapping[str, object]:
    return {
        "sink": "iceberg",
        "iceberg_warehouse": directory / "warehouse",
        "iceberg_table": "test.customers",
        "iceberg_commit_interval_ms": 100,
    }


def awaited_errors(platform: PlatformProcess) -> str:
    await_that(lambda: bool(platform.get("/healthz")["errors"]), lambda: platform.output)
    return str(platform.get("/healthz")["errors"])


def test_what_retention_took_while_the_platform_was_down_is_an_error(
    topic: FilledTopic, started: Any
) -> None:
    topic.fill(inserts(100))
    first = started()
    first.await_durable(100)
    assert first.stop() == 0
    topic.fill(inserts(900, first=101))
    delete_before(topic, 500)

    second = started()
    errors = awaited_errors(second)

    assert f"{topic.name}[0]: 400 records are lost, offsets 100 to 499" in errors
    assert requests.get(second.url + "/healthz", timeout=30).status_code == 503
    assert second.durable == 0
    assert second.stop() == 1


def test_what_retention_took_is_skipped_and_counted_where_the_option_says_so(
    topic: FilledTopic, started: Any
) -> None:
    topic.fill(inserts(100))
    first = started()
    first.await_durable(100)
    assert first.stop() == 0
    topic.fill(inserts(900, first=101))
    delete_before(topic, 500)

    second = started(on_gap="skip")
    second.await_durable(500)

    metrics = requests.get(second.url + "/metrics", timeout=30).text
    assert "cdc_platform_skipped_records_total 400" in metrics
    assert "offsets 100 to 499" in str(second.get("/snapshot")["consumer"]["gaps"])
    assert "platform.gap.skipped" in second.output
    assert second.stop() == 0


@pytest.mark.parametrize("on_gap", ["stop", "skip"])
def test_what_retention_takes_while_the_sink_is_slow_is_noticed_when_it_is_read(
    topic: FilledTopic, started: Any, on_gap: str
) -> None:
    topic.fill(inserts(3000, text="x" * 5000))
    platform = started(
        sink="slow", sink_delay_ms=50, batch_size=10, max_buffered_messages=20, on_gap=on_gap
    )
    platform.await_durable(20)
    delete_before(topic, 2990)

    if on_gap == "stop":
        errors = awaited_errors(platform)
        assert "records are lost" in errors
        assert "to 2989" in errors
        assert platform.stop() == 1
        return
    await_that(
        lambda: platform.get("/snapshot")["consumer"]["partitions"][f"{topic.name}:0"]["lag"] == 0,
        lambda: platform.output,
    )
    snapshot = platform.get("/snapshot")
    assert snapshot["sink"]["durable_events"] + snapshot["consumer"]["skipped_records"] == 3000
    assert platform.stop() == 0


def test_a_topic_that_is_made_again_while_it_is_read_stops(
    topic: FilledTopic, started: Any
) -> None:
    topic.fill(inserts(100))
    platform = started()
    platform.await_durable(100)

    topics.delete_topics(topic.endpoints.kafka_bootstrap, [topic.name])
    topics.create_topic(topic.endpoints.kafka_bootstrap, topic.name, 1)
    topic.fill(inserts(200, first=1000))

    errors = awaited_errors(platform)
    assert "the topic was deleted" in errors or "the partition ends at" in errors
    assert platform.stop() == 1


def test_a_group_that_a_tool_moved_past_what_the_sink_has_goes_on_where_the_sink_is(
    topic: FilledTopic, started: Any, tmp_path: Path
) -> None:
    topic.fill(inserts(100))
    first = started(**iceberg(tmp_path))
    first.await_durable(100)
    assert first.stop() == 0
    topic.fill(inserts(100, first=1000))
    _commit(topic, 200)

    second = started(**iceberg(tmp_path))
    second.await_durable(100)

    assert second.stop() == 0


def test_an_offset_beyond_the_end_is_an_error(topic: FilledTopic, started: Any) -> None:
    topic.fill(inserts(100))
    _commit(topic, 900)

    platform = started()

    assert "800 records are lost, offsets 100 to 899: the partition ends at 100" in awaited_errors(
        platform
    )
    assert platform.stop() == 1


def _commit(topic: FilledTopic, offset: int) -> None:
    client = Consumer(
        {"bootstrap.servers": topic.endpoints.kafka_bootstrap, "group.id": topic.name}
    )
    client.commit(offsets=[TopicPartition(topic.name, 0, offset)], asynchronous=False)
    client.close()
