"""What the observer of a pipeline is to watch and to compare."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cdc_users.measure.clock import new_anchor
from cdc_users.observe.settings import DebeziumSettings, PostgresSideSettings, TopicSettings
from cdc_users.pipeline.prepared import Names
from cdc_users.pipeline.process.commands import Wiring
from cdc_users.scenario import Pipeline
from infra.stack.endpoints import Endpoints

ENDPOINTS = Endpoints(
    kind="external",
    postgres_dsn="host=127.0.0.1 dbname=shop",
    kafka_bootstrap="127.0.0.1:9092",
    schema_registry_url="http://127.0.0.1:8081",
    connect_url="http://127.0.0.1:8083",
    connect_metrics="http://127.0.0.1:9404/metrics",
)


def wiring(pipeline: Pipeline, endpoints: Endpoints = ENDPOINTS) -> Wiring:
    names = Names("cdc_abc", ("customers",), topics=("cdc.cdc_abc.customers",))
    return Wiring(endpoints, pipeline, names, "abcd1234", new_anchor())


def test_a_place_with_a_comma_in_its_name_is_one_place() -> None:
    own = Pipeline(source="topic", platform="none", sink_tap="postgres:public.odd,name")
    ((_, side),) = wiring(own).finals()
    assert isinstance(side, PostgresSideSettings)
    assert side.table == "public.odd,name"


def test_the_metrics_of_connects_debezium_are_a_gauge_where_they_are_named() -> None:
    found = wiring(Pipeline(capture="debezium")).observer_settings(smoke=False)
    url, topics = "http://127.0.0.1:9404/metrics", ("cdc.cdc_abc.customers",)
    assert found.gauges.debezium == DebeziumSettings(url=url, topics=topics)


@pytest.mark.parametrize(
    ("pipeline", "endpoints"),
    [
        (Pipeline(capture="debezium"), replace(ENDPOINTS, connect_metrics="")),
        (Pipeline(capture="wal", transport="kafka", sink="webhook"), ENDPOINTS),
    ],
)
def test_another_capture_has_no_gauge_of_debeziums(
    pipeline: Pipeline, endpoints: Endpoints
) -> None:
    assert wiring(pipeline, endpoints).observer_settings(smoke=False).gauges.debezium is None


def test_the_topic_is_watched_before_the_sink() -> None:
    own = Pipeline(platform="none", sink_tap="webhook:8080")
    taps = wiring(own).observer_settings(smoke=True).taps
    assert [tap.name for tap in taps] == ["topic", "sink"]
    assert isinstance(taps[0], TopicSettings)
