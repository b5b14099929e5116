"""The pipelines behind the source: Debezium and a platform for each sink, and the direct reader."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import requests
from typing_extensions import override

from cdc_users.measure.clock import new_anchor
from cdc_users.observe.settings import JsonTopicSettings, TopicSettings
from cdc_users.observe.tap import Tap
from cdc_users.observe.taps.json_topic import JsonTopicTap
from cdc_users.observe.taps.topic import TopicTap
from cdc_users.pipeline.provision import kafka_topics
from infra.client.http import ask_connect
from infra.stack.debezium.connector import (
    DebeziumConnector,
    create_connector,
    delete_connector,
    wait_until_committed,
    wait_until_streaming,
)
from infra.stack.endpoints import Endpoints
from infra.stack.servers.settings import TOPIC_PREFIX
from tests.moves.place import SinkPlace, TopicPlace
from tests.moves.row import Rows
from tests.moves.source import RUN, MovedSource
from tests.platform_process import PlatformProcess
from tests.wal_process import WalProcess

STREAMING_S = 60.0


class MovedPipeline(Protocol):
    """A pipeline as it is judged."""

    name: str

    def trouble(self) -> str:
        """Why it has stopped, in its own words; empty while it goes on."""

    def rows(self) -> Rows:
        """What its end has."""

    def close(self) -> None:
        """End it, and remove what it had."""


class Capture:
    """Debezium on the source, and the tap on its topic."""

    def __init__(self, stack: Endpoints, source: MovedSource) -> None:
        self.source = source
        self.endpoints = replace(
            stack,
            postgres_dsn=source.postgres.dsn,
            postgres_from_connect=None,
            postgres_user_from_connect=None,
            postgres_secret_from_connect=None,
            postgres_ca_from_connect=None,
        )
        self.topic = f"{TOPIC_PREFIX}.{source.name}.customers"
        self.connector = ""
        self._number = 0
        kafka_topics.create_topic(stack.kafka_bootstrap, self.topic, 1)
        self.tap = TopicTap(
            TopicSettings(
                bootstrap=stack.kafka_bootstrap,
                topic=self.topic,
                schema_registry_url=stack.schema_registry_url,
            ),
            RUN,
            new_anchor(),
        )
        self.tap.start()
        self.connect()

    def connect(self) -> None:
        """Begin with a new connector, which knows of no earlier position."""
        self._number += 1
        name = self.source.name
        self.connector = f"{name.replace('_', '-')}-{self._number}"
        connector = DebeziumConnector(
            self.connector, self.source.slots[0], name, TOPIC_PREFIX, (f"{name}.customers",)
        )
        create_connector(self.endpoints, connector)
        wait_until_streaming(self.endpoints, connector, STREAMING_S)

    def await_position(self) -> None:
        """Wait until Connect knows how far the connector has come; rows must have been written.

        A connector that is restarted before begins where the log ends then.
        """
        wait_until_committed(self.endpoints, self.connector, STREAMING_S)

    def disconnect(self) -> None:
        """Remove the connector."""
        delete_connector(self.endpoints, self.connector)

    def trouble(self) -> str:
        """Why the connector has failed."""
        url = f"{self.endpoints.connect_url}/connectors/{self.connector}/status"
        answer = ask_connect("GET", url, timeout=STREAMING_S)
        if answer.status_code != requests.codes.ok:
            return ""
        status = answer.json()
        failed = [p for p in (status["connector"], *status["tasks"]) if p["state"] == "FAILED"]
        return f"connector {self.connector}: {failed[0].get('trace', '')[:600]}" if failed else ""

    def close(self) -> None:
        """Remove connector, topic and subjects."""
        with ExitStack() as undo:
            undo.callback(
                kafka_topics.delete_subjects, self.endpoints.schema_registry_url, self.topic
            )
            undo.callback(kafka_topics.delete_topics, self.endpoints.kafka_bootstrap, [self.topic])
            undo.callback(self.tap.stop)
            undo.callback(self.disconnect)


class SinkPipeline(MovedPipeline):
    """Debezium's topic, one platform, one sink."""

    def __init__(self, name: str, capture: Capture, place: SinkPlace, directory: Path) -> None:
        self.name = f"Debezium -> {name}"
        self.group = f"{capture.topic}-{name.replace(' ', '-')}"
        self.place = place
        self._capture = capture
        self._log = directory / f"{self.group}.log"
        self.platform = self._started()

    def _started(self) -> PlatformProcess:
        options = {"group": self.group, "run": RUN, "batch-size": 50, **self.place.options}
        return PlatformProcess(self._capture.endpoints, self._capture.topic, self._log, options)

    def restart(self) -> None:
        """Begin again after `platform` has ended."""
        self.platform = self._started()

    @override
    def trouble(self) -> str:
        if not self.platform.alive:
            return f"the platform ended with {self.platform.wait()}: {self.platform.output[-600:]}"
        try:
            errors = self.platform.get("/healthz")["errors"]
        except requests.ConnectionError:
            return ""  # it ends just now
        return f"the platform: {errors}" if errors else self._capture.trouble()

    @override
    def rows(self) -> Rows:
        return self.place.rows()

    @override
    def close(self) -> None:
        with ExitStack() as undo:
            undo.callback(
                kafka_topics.delete_groups, self._capture.endpoints.kafka_bootstrap, [self.group]
            )
            undo.callback(self.place.close)
            undo.callback(self.platform.stop)


class ReaderPipeline(MovedPipeline):
    """The direct reader to a topic of Kafka."""

    name = "direct reader -> Kafka"

    def __init__(self, stack: Endpoints, source: MovedSource, directory: Path) -> None:
        self._bootstrap = stack.kafka_bootstrap
        self.topic = f"{source.name}.reader"
        place = directory / self.topic
        place.mkdir()
        kafka_topics.create_topic(self._bootstrap, self.topic, 1)
        settings = JsonTopicSettings(bootstrap=self._bootstrap, topic=self.topic)
        self.tap: Tap = JsonTopicTap(settings, RUN, new_anchor())
        self.tap.start()
        self._place = TopicPlace(self._bootstrap, self.topic)
        options = (
            *("--dsn", source.postgres.dsn, "--slot", source.slots[1]),
            *("--publication", source.name, "--run", RUN, "--transport", "kafka"),
            *("--endpoint", self._bootstrap, "--stream", self.topic),
            *("--state", str(place / "state.json")),
        )
        self._process = WalProcess(*options, directory=place).await_ready()

    @override
    def trouble(self) -> str:
        if self._process.code is not None:
            log = self._process.log.read_text(encoding="utf-8")
            return f"the reader ended with {self._process.code}: {log[-600:]}"
        try:
            errors = self._process.snapshot()["consumer"]["errors"]
        except OSError:
            return ""  # it ends just now
        return f"the reader: {errors}" if errors else ""

    @override
    def rows(self) -> Rows:
        return self._place.rows()

    @override
    def close(self) -> None:
        with ExitStack() as undo:
            undo.callback(kafka_topics.delete_topics, self._bootstrap, [self.topic])
            undo.callback(self.tap.stop)
            undo.callback(self._place.close)
            undo.callback(self._process.close)
