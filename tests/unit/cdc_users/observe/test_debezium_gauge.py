"""What is read of Debezium's own metrics, in the forms in which exporters of JMX write them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest

from cdc_users.observe.debezium_gauge import DebeziumGauge, read_metrics
from cdc_users.observe.message import DebeziumSample
from cdc_users.observe.settings import DebeziumSettings

#: As the JMX exporter writes it without any rules.
PLAIN = """\
# HELP debezium_postgres_connector_metrics_MilliSecondsBehindSource x
# TYPE debezium_postgres_connector_metrics_MilliSecondsBehindSource untyped
debezium_postgres_connector_metrics_MilliSecondsBehindSource{context="streaming",server="shop"} 42.0
debezium_postgres_connector_metrics_MilliSecondsBehindSource{context="streaming",server="b"} 7000.0
debezium_postgres_connector_metrics_QueueRemainingCapacity{context="streaming",server="shop"} 8000.0
debezium_postgres_connector_metrics_QueueRemainingCapacity{context="streaming",server="b"} 3.0
debezium_postgres_connector_metrics_QueueRemainingCapacity{context="snapshot",server="shop"} 1.0
jvm_threads_current 40.0
"""
#: By Debezium's own example of rules, in small letters.
RULES = """\
debezium_metrics_millisecondsbehindsource{context="streaming",name="shop",plugin="postgres"} 42.0
debezium_metrics_queueremainingcapacity{context="streaming",name="shop",plugin="postgres"} 8000.0
"""


@pytest.mark.parametrize("text", [PLAIN, RULES])
def test_the_figures_of_the_connector_that_writes_the_topic_are_known(text: str) -> None:
    found = read_metrics(text, ["shop.public.orders"])
    assert found == DebeziumSample(behind_ms=42.0, queue_remaining=8000.0)


def test_where_nobody_is_known_by_the_topics_the_worst_stands_for_all() -> None:
    assert read_metrics(PLAIN) == DebeziumSample(behind_ms=7000.0, queue_remaining=3.0)
    assert read_metrics(PLAIN, ["shopping.orders"]).behind_ms == 7000.0


def test_a_connector_without_an_event_yet_is_not_before_its_source() -> None:
    text = RULES.replace("42.0", "-1.0")
    assert read_metrics(text) == DebeziumSample(behind_ms=None, queue_remaining=8000.0)


@pytest.mark.parametrize("nothing", ["NaN", "+Inf", "-Inf", "-1"])
def test_a_value_that_an_exporter_does_not_know_hides_no_other_one(nothing: str) -> None:
    """GIVEN two connectors, of which one has a value, in either order."""
    for unknown, known in (("shop", "b"), ("b", "shop")):
        text = "".join(
            f'x_{metric}{{context="streaming",server="{name}"}} {value}\n'
            for metric in ("MilliSecondsBehindSource", "QueueRemainingCapacity")
            for name, value in sorted({unknown: nothing, known: "42.0"}.items())
        )
        assert read_metrics(text) == DebeziumSample(behind_ms=42.0, queue_remaining=42.0)
        assert read_metrics(text, [f"{unknown}.orders"]) == DebeziumSample()


def test_metrics_of_something_else_are_told() -> None:
    assert read_metrics("jvm_threads_current 40.0\n").error == "there is nothing of Debezium's"


@contextmanager
def serving(text: str) -> Iterator[str]:
    class Metrics(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Metrics) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/metrics"
        server.shutdown()
        thread.join()


def first_answer(url: str) -> DebeziumSample:
    gauge = DebeziumGauge(DebeziumSettings(url=url))
    deadline_s = time.monotonic() + 10
    try:
        while gauge.read().error == "it has not answered yet":
            assert time.monotonic() < deadline_s
            time.sleep(0.01)
        return gauge.read()
    finally:
        gauge.close()


def test_a_gauge_asks_by_itself_and_says_what_it_cannot_read() -> None:
    with serving(RULES) as url:
        assert first_answer(url).behind_ms == 42.0
    assert first_answer(url).error == "ConnectionError"
    with serving("<html>no metrics</html>") as url:
        assert "no text of Prometheus'" in str(first_answer(url).error)
