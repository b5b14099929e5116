"""What the observer of a pipeline is to watch and to compare."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from cdc_users.measure.clock import new_anchor
from cdc_users.observe.message import TapPlace
from cdc_users.observe.settings import DebeziumSettings, PostgresSideSettings, TopicSettings
from cdc_users.pipeline.prepared import Names
from cdc_users.pipeline.process.commands import CHECK_EVERY, Wiring
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
    ((_, side),) = wiring(own).finals()["sink"]
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


def arguments(command: list[str]) -> dict[str, str]:
    """The arguments of a command, by name; each is there once."""
    told = [part[2:].partition("=") for part in command if part.startswith("--")]
    found = {name: value for name, _, value in told}
    assert len(found) == len(told)
    return found


PLACE = TapPlace()


def test_the_reference_platform_is_told_where_to_read_and_what_it_is() -> None:
    pipeline = Pipeline(sink="counting", batch_size=7, max_buffered_messages=99)

    command = wiring(pipeline).platform_command(held=True, tap=PLACE)

    told = arguments(command)
    assert "infra.platform" in command
    assert (told["run"], told["held"], told["sink"]) == ("abcd1234", "yes", "counting")
    assert (told["bootstrap"], told["topic"]) == ("127.0.0.1:9092", "cdc.cdc_abc.customers")
    assert (told["batch-size"], told["max-buffered-messages"]) == ("7", "99")
    assert "probe-column" not in told
    assert "sink-delay-ms" not in told


def test_a_sink_of_others_is_started_in_place_of_the_reference_platform() -> None:
    made = wiring(Pipeline(sink="iceberg-connect", iceberg_commit_interval_s=2.0))

    command = made.platform_command(held=False, tap=PLACE)

    assert "infra.pipelines.iceberg_connect" in command
    assert arguments(command)["iceberg-commit-interval-ms"] == "2000"
    assert made.ready_s > wiring(Pipeline()).ready_s
    assert [tap.name for tap in made.observer_settings(smoke=True).taps] == ["topic", "sink"]


def test_a_slow_sink_is_told_its_delay_in_milliseconds() -> None:
    pipeline = Pipeline(sink="slow", sink_delay_s=0.25)

    told = arguments(wiring(pipeline).platform_command(held=False, tap=PLACE))

    assert (told["held"], told["sink-delay-ms"]) == ("no", "250")


def test_a_platform_of_the_users_own_is_started_as_a_shell_reads_it() -> None:
    pipeline = Pipeline(platform="env A='b c' \"/opt/größe\" --mode=x")

    command = wiring(pipeline).platform_command(held=False, tap=PLACE)

    assert command[:4] == ["env", "A=b c", "/opt/größe", "--mode=x"]
    assert arguments(command[4:])["bootstrap"] == "127.0.0.1:9092"


def test_kafka_and_the_registry_are_reached_through_their_relays_where_there_are_any() -> None:
    made, url = wiring(Pipeline()), "http://127.0.0.1:7/apis"
    names = replace(made.names, kafka_relayed="127.0.0.2:9092", registry_relayed=url)
    relayed = replace(made, names=names)

    told = arguments(relayed.platform_command(held=False, tap=PLACE))

    assert (told["bootstrap"], told["schema-registry"]) == ("127.0.0.2:9092", url)
    taps = relayed.observer_settings(smoke=True).taps
    assert isinstance(taps[0], TopicSettings)
    assert taps[0].bootstrap == "127.0.0.1:9092"
    assert taps[0].schema_registry_url == made.endpoints.schema_registry_url


def test_the_direct_reader_is_told_of_the_log_and_of_no_topic_to_read() -> None:
    made = wiring(Pipeline(capture="wal", transport="kafka", partitions=3))
    made = replace(made, names=replace(made.names, slot="slot_1", publication="pub_1"))

    command = made.platform_command(held=False, tap=PLACE)

    told = arguments(command)
    assert "infra.platform.wal" in command
    assert made.direct
    assert (told["slot"], told["publication"], told["partitions"]) == ("slot_1", "pub_1", "3")
    assert told["dsn"] == "host=127.0.0.1 dbname=shop"
    assert not {"group", "topic", "sink"} & set(told)


def test_a_run_of_smoke_size_checks_every_row() -> None:
    made = wiring(Pipeline())

    for smoke, every in ((True, 1), (False, CHECK_EVERY)):
        taps = made.observer_settings(smoke=smoke).taps
        assert {tap.check_every for tap in taps} == {every}


@pytest.mark.parametrize(
    ("pipeline", "group"),
    [
        (Pipeline(), "run-group"),
        (Pipeline(platform="none", group="theirs", sink_tap="webhook:1"), "theirs"),
        (Pipeline(platform="none", sink_tap="webhook:1"), None),
        (Pipeline(platform="./own", group="theirs"), "run-group"),
        (Pipeline(capture="wal", transport="kafka"), None),
    ],
)
def test_a_groups_lag_is_that_of_who_reads(pipeline: Pipeline, group: str | None) -> None:
    made = wiring(pipeline)
    stream = {"endpoint": "127.0.0.1:9092", "name": "stream"}
    made = replace(made, names=replace(made.names, group="run-group", stream=stream))

    found = made.observer_settings(smoke=True).gauges.group

    assert (None if found is None else found.group) == group


@pytest.mark.parametrize("slot", ["", "slot_1"])
def test_a_slot_is_watched_where_one_is_known(slot: str) -> None:
    made = wiring(Pipeline())
    made = replace(made, names=replace(made.names, slot=slot))

    found = made.observer_settings(smoke=True).gauges.slot

    assert (None if found is None else found.slot) == (slot or None)


@pytest.mark.parametrize(
    ("pipeline", "foreign", "outlet"),
    [
        (Pipeline(), False, "kafka"),
        (Pipeline(sink_tap="webhook:8080"), True, "webhook:8080"),
        (Pipeline(sink="iceberg-connect"), True, "iceberg-connect"),
    ],
)
def test_where_events_come_out_is_told_in_a_word(
    pipeline: Pipeline, foreign: bool, outlet: str
) -> None:
    made = wiring(pipeline)

    assert made.foreign is foreign
    assert made.outlet.lower() == outlet


def test_a_process_of_the_run_has_its_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hush")
    made = wiring(Pipeline())

    found = made.environment

    assert {**made.anchor.environment()}.items() <= found.items()
    assert "AWS_SECRET_ACCESS_KEY" not in found


def test_a_sink_without_contents_is_compared_with_nothing() -> None:
    assert wiring(Pipeline(sink="counting")).finals() == {}


SEVERAL = "topic:enriched > search=webhook:8080; postgres:copy.orders"


def test_several_taps_are_watched_in_their_order_and_each_is_an_end() -> None:
    made = wiring(Pipeline(platform="none", sink_tap=SEVERAL, probe_path="record.note"))
    taps = made.observer_settings(smoke=True).taps

    assert [tap.name for tap in taps] == ["topic", "topic-2", "search", "sink"]
    assert [tap.probe_path for tap in taps] == ["", *["record.note"] * 3]
    assert made.ends == {
        "topic-2": "topic:enriched",
        "search": "webhook:8080",
        "sink": "postgres:copy.orders",
    }
    assert made.end == "sink"
    assert made.beside["search"] == frozenset()
    assert list(made.finals()) == ["sink"]


def test_a_pipeline_of_the_users_own_from_the_table_on_may_have_several_taps() -> None:
    own = Pipeline(capture="none", transport="none", platform="none", sink_tap=SEVERAL)

    taps = wiring(own).observer_settings(smoke=True).taps

    assert [tap.name for tap in taps] == ["topic-2", "search", "sink"]
    assert list(wiring(own).finals()) == ["sink"]


def test_sink_tables_are_compared_with_the_source_tables_in_their_order() -> None:
    own = Pipeline(platform="none", sink_tap="postgres-log:copy.a,copy.b; postgres:one.all")
    made = wiring(own)
    made = replace(made, names=replace(made.names, tables=("x", "y")))

    pairs: Mapping[str, Any] = made.finals()

    assert [(left.table, right.table) for left, right in pairs["postgres-log"]] == [
        ("cdc_abc.x", "copy.a"),
        ("cdc_abc.y", "copy.b"),
    ]
    assert [(left, right.table) for left, right in pairs["sink"]] == [(None, "one.all")]
