"""Debezium's own metrics, as Prometheus text: how far it is behind its source, and how full its
queue is (Debezium documentation, "Monitoring the PostgreSQL connector").

The JMX exporter decides the start of a metric's name, so metrics are recognised by the end of their
names, in any case.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Mapping
from threading import Event, Thread

import requests
from prometheus_client.parser import text_string_to_metric_families

from cdc_users.observe.message import DebeziumSample
from cdc_users.observe.settings import DebeziumSettings
from cdc_users.observe.tap import end_thread
from infra.client import http

INTERVAL_S = 1.0
TIMEOUT_S = 5.0
BEHIND, REMAINING = "millisecondsbehindsource", "queueremainingcapacity"
_NAMES = (BEHIND, REMAINING)
#: Metrics of a connector's task, by the label that names the connector.
_OWNERS = ("server", "name", "database")
#: The value of a connector that has had no event yet.
_UNKNOWN = -1.0
#: One figure of a connector: the end of its name, its connector, and its value.
ConnectorFigure = tuple[str, str, float]


def read_metrics(text: str, topics: Iterable[str] = ()) -> DebeziumSample:
    """The figures of the connector that writes these topics, or of all connectors if no prefix
    matches; of several connectors the worst value. Pure; raises ValueError for other text.
    """
    found = list(_figures(text))
    own = [one for one in found if any(topic.startswith(f"{one[1]}.") for topic in topics)]
    values: Mapping[str, list[float]] = {
        name: [value for end, _, value in own or found if end == name and _is_known(value)]
        for name in _NAMES
    }
    if not found:
        return DebeziumSample(error="there is nothing of Debezium's")
    return DebeziumSample(
        behind_ms=max(values[BEHIND], default=None),
        queue_remaining=min(values[REMAINING], default=None),
    )


def _is_known(value: float) -> bool:
    """Whether an exporter knows a value; NaN, which exporters write for none, compares with
    nothing.
    """
    return value != _UNKNOWN and math.isfinite(value)


def _figures(text: str) -> Iterator[ConnectorFigure]:
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            end = next((name for name in _NAMES if sample.name.lower().endswith(name)), None)
            # A snapshot has its own queue, which does not matter once changes are streamed.
            if end is not None and sample.labels.get("context", "streaming") == "streaming":
                owner = next((sample.labels[x] for x in _OWNERS if x in sample.labels), "")
                yield end, owner, sample.value


class DebeziumGauge:
    """Asks once a second, in a thread of its own, because an exporter may be slow."""

    def __init__(self, settings: DebeziumSettings) -> None:
        self._settings = settings
        self._last = DebeziumSample(error="it has not answered yet")
        self._stop = Event()
        self._thread = Thread(target=self._run, name="Debezium's metrics", daemon=True)
        self._thread.start()

    def read(self) -> DebeziumSample:
        """The last answer."""
        return self._last

    def _run(self) -> None:
        due_s = time.monotonic()
        while not self._stop.wait(max(0.0, due_s - time.monotonic())):
            self._last = self._look()
            due_s = max(due_s + INTERVAL_S, time.monotonic())

    def _look(self) -> DebeziumSample:
        try:
            answer = http.get(self._settings.url, timeout=TIMEOUT_S)
            answer.raise_for_status()
            return read_metrics(answer.text, self._settings.topics)
        except requests.RequestException as error:
            return DebeziumSample(error=http.reason(error))
        except ValueError as error:
            return DebeziumSample(error=f"it is no text of Prometheus': {error}")

    def close(self) -> None:
        """End."""
        end_thread(self._stop, self._thread)
