"""Files that `init` writes: they can be read again, say what is known, and hold no secret."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.stack.endpoints import Endpoints
from infra.stack.pipeline_file.read import read_pipeline
from infra.stack.pipeline_file.section import SECTIONS
from infra.stack.pipeline_file.template import (
    commented,
    of_connector,
    of_server,
    read_java_properties,
    unknown,
    with_servers,
)

CONNECTOR = {
    "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
    "database.hostname": "db.example",
    "database.port": "5433",
    "database.user": "debezium",
    "database.password": "hush",
    "database.dbname": "shop",
    "topic.prefix": "shop",
    "table.include.list": r"public\.orders,public.items",
    "slot.name": "shop_slot",
    "value.converter.schema.registry.url": "http://registry:8081",
}
SERVER = """
# Debezium Server
debezium.sink.type=http
debezium.sink.http.url = http://127.0.0.1:9999/events
debezium.source.database.hostname: db.example
debezium.source.database.user=debezium
debezium.source.database.password=hush
debezium.source.database.dbname=shop
debezium.source.topic.prefix=shop
debezium.source.table.include.list=\\
    public.orders
"""


def test_a_file_of_nothing_known_is_all_remarks() -> None:
    text = commented({})

    assert tomllib.loads(text) == {}
    assert all(f"[{name}]" in text for name in SECTIONS)


def test_a_file_has_every_key_with_what_it_is_for() -> None:
    text = commented({})

    for kind in SECTIONS.values():
        assert all(f"# {key} = " in text for key in kind.__struct_fields__)


def test_what_a_connector_says_can_be_read_again(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text(commented(of_connector("shop", CONNECTOR, "http://c:8083")), encoding="utf-8")
    data = tomllib.loads(path.read_text(encoding="utf-8"))

    assert data["source"] == {
        "dsn": "host=db.example port=5433 user=debezium dbname=shop",
        "table": "public.orders",
    }
    assert data["capture"]["connector"] == "shop"
    assert data["capture"]["slot"] == "shop_slot"
    assert data["kafka"]["topic"] == "shop.public.orders"
    assert data["registry"]["url"] == "http://registry:8081"
    assert data["connect"]["url"] == "http://c:8083"


def test_debezium_servers_properties_become_a_source_and_a_tap(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text(commented(of_server(read_java_properties(SERVER))), encoding="utf-8")

    found = read_pipeline(path)

    assert found.source is not None
    assert found.source.dsn == "host=db.example user=debezium dbname=shop"
    assert found.source.table == "public.orders"
    assert (found.kafka, found.connect) == (None, None)
    assert [(tap.kind, tap.place) for tap in found.tap] == [("webhook", "9999")]


def test_debezium_servers_kafka_sink_becomes_a_topic() -> None:
    properties = read_java_properties(
        SERVER.replace("type=http", "type=kafka")
        + "debezium.sink.kafka.producer.bootstrap.servers=k:9092\n"
    )

    assert of_server(properties)["kafka"] == {"bootstrap": "k:9092", "topic": "shop.public.orders"}


@pytest.mark.parametrize("text", [SERVER])
def test_no_password_is_written(text: str) -> None:
    assert "hush" not in commented(of_server(read_java_properties(text)))
    assert "hush" not in commented(of_connector("shop", CONNECTOR, "http://c:8083"))


TEXTS = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=20)


@settings(max_examples=40)
@given(TEXTS, TEXTS)
def test_any_value_can_be_read_again(place: str, topic: str) -> None:
    text = commented({"kafka": {"bootstrap": place, "topic": topic}})

    assert tomllib.loads(text)["kafka"] == {"bootstrap": place, "topic": topic}


def test_what_a_connector_does_not_tell_is_asked_for_or_known_of_its_stack() -> None:
    config = {"table.include.list": "public.orders", "topic.prefix": "shop"}
    known = of_connector("shop", config, "http://127.0.0.1:8083")
    assert unknown(known) == [("source", "dsn"), ("kafka", "bootstrap")]

    stack = Endpoints(
        kind="process",
        postgres_dsn="host=127.0.0.1 user=bench",
        kafka_bootstrap="127.0.0.1:9092",
        schema_registry_url="http://127.0.0.1:8081",
    )
    found = with_servers(known, stack)

    assert unknown(found) == []
    assert found["source"] == {"dsn": "host=127.0.0.1 user=bench", "table": "public.orders"}
    assert found["kafka"] == {"bootstrap": "127.0.0.1:9092", "topic": "shop.public.orders"}
    assert found["registry"] == {"url": "http://127.0.0.1:8081"}
    assert found["connect"] == {"url": "http://127.0.0.1:8083"}
