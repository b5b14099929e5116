"""Postgres -> direct reader -> Kinesis, Pub/Sub and Kafka: nothing lost, nothing reordered, read
back by the taps.
"""

from __future__ import annotations

import os
import signal
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from cdc_users.measure.clock import new_anchor
from cdc_users.observe.settings import JsonTopicSettings, KinesisSettings, PubSubSettings
from cdc_users.observe.tap import Tap
from cdc_users.observe.taps.json_topic import JsonTopicTap
from cdc_users.observe.taps.kinesis import KinesisTap
from cdc_users.observe.taps.pubsub import PubSubTap
from cdc_users.pipeline.provision.kafka_topics import create_topic, delete_topics
from infra.stack import cloud
from infra.stack.emulators.emulator import EmulatorUnavailableError
from infra.stack.emulators.kinesis import kinesis_emulator
from infra.stack.emulators.pubsub import pubsub_emulator
from infra.stack.endpoints import Endpoints
from tests.private_postgres import PrivatePostgres, private_postgres
from tests.wal_process import RUN, Customers, WalProcess, await_that

LONG = pytest.param(200_000, marks=pytest.mark.soak)
SIZES = pytest.mark.parametrize("events", [20_000, LONG])
CHECK_EVERY = 7
#: The emulator looks at all that waits whenever it gives out one message a key.
PUBSUB_MOST_AHEAD = 1_000


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivatePostgres]:
    with private_postgres(tmp_path_factory.mktemp("postgres"), {}) as running:
        yield running


@pytest.fixture
def customers(postgres: PrivatePostgres) -> Iterator[Customers]:
    made = Customers(postgres.dsn, f"cdc_wal_{uuid.uuid4().hex[:8]}")
    yield made
    made.remove()


def carry(
    customers: Customers,
    tap: Tap,
    options: list[str],
    directory: Path,
    events: int,
    most_ahead: int | None = None,
) -> None:
    """Write, publish and read back; everything must have come once, in order and as it was written.

    With `most_ahead` the writers wait for the tap when so many events are under way.
    """

    def pace(sent: int) -> None:
        if most_ahead is not None:
            await_that(lambda: sent - tap.record.events < most_ahead, "the tap does not follow")

    with closing(
        WalProcess(*customers.options(*options), directory=directory).await_ready()
    ) as process:
        tap.start()
        try:
            sent = customers.write(events, pace=pace)
            await_that(lambda: tap.record.events >= sent, "not all changes came")
            figures = process.snapshot()
            assert process.end(signal.SIGTERM) == 0, process.log.read_text(encoding="utf-8")
        finally:
            tap.stop()
    audit = customers.audit(tap)
    assert audit.clean, audit
    assert audit.sent == audit.delivered == sent
    assert audit.checked >= sent // CHECK_EVERY - 1
    assert audit.uncheckable == 0
    assert not tap.record.errors
    assert_stages_sum(figures)


def assert_stages_sum(figures: dict[str, object]) -> None:
    """For the reader itself: every event's stages make up its whole latency, so their sums do
    too.
    """
    steps = figures["steps"]
    assert isinstance(steps, dict)
    series = steps["1"]["series"]
    stages = sum(series[name]["sum_us"] for name in ("commit", "read", "queue", "publish"))
    assert stages == series["end_to_end"]["sum_us"]


@SIZES
def test_mixed_changes_reach_kinesis(customers: Customers, tmp_path: Path, events: int) -> None:
    with kinesis_emulator(tmp_path, os.environ) as endpoint:
        cloud.create_stream(endpoint, customers.name, 4)
        tap = KinesisTap(
            KinesisSettings(endpoint=endpoint, stream=customers.name, check_every=CHECK_EVERY),
            RUN,
            new_anchor(),
        )
        options = ["--transport", "kinesis", "--endpoint", endpoint, "--stream", customers.name]
        carry(customers, tap, options, tmp_path, events)
        cloud.delete_stream(endpoint, customers.name)


@SIZES
def test_mixed_changes_reach_kafka(
    customers: Customers, stack: Endpoints, tmp_path: Path, events: int
) -> None:
    bootstrap, topic = stack.kafka_bootstrap, f"cdc.{customers.name.replace('_', '-5f-')}.customers"
    create_topic(bootstrap, topic, 4)
    try:
        tap = JsonTopicTap(
            JsonTopicSettings(bootstrap=bootstrap, topic=topic, check_every=CHECK_EVERY),
            RUN,
            new_anchor(),
        )
        carry(customers, tap, ["--transport", "kafka", "--endpoint", bootstrap], tmp_path, events)
    finally:
        delete_topics(bootstrap, [topic])


@pytest.mark.soak
@pytest.mark.parametrize("events", [20_000, 200_000])
def test_mixed_changes_reach_pubsub(customers: Customers, tmp_path: Path, events: int) -> None:
    try:
        with pubsub_emulator(tmp_path, os.environ) as endpoint:
            project, topic = cloud.EMULATED_PROJECT, customers.name.replace("_", "-")
            cloud.create_topic(endpoint, project, topic, topic)
            place = PubSubSettings(
                endpoint=endpoint, project=project, subscription=topic, check_every=CHECK_EVERY
            )
            tap = PubSubTap(place, RUN, new_anchor())
            options = ["--transport", "pubsub", "--endpoint", endpoint, "--stream", topic]
            carry(customers, tap, options, tmp_path, events, most_ahead=PUBSUB_MOST_AHEAD)
            cloud.delete_topic(endpoint, project, topic, topic)
    except EmulatorUnavailableError as error:
        pytest.skip(str(error))
