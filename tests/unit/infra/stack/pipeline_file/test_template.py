"""Files that `init` writes: they can be read again, say what is known, and hold no secret."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from psycopg.conninfo import conninfo_to_dict

from infra.stack.endpoints import Endpoints
from infra.stack.pipeline_file.read import read_pipeline
from infra.stack.pipeline_file.section import SECTIONS
from infra.stack.pipeline_file.template import (
    COLUMNS,
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


@pytest.mark.parametrize(
    ("sink", "transport"), [("http", "http"), ("nats-jetstream", "nats"), ("milvus", "http")]
)
def test_properties_of_mariadb_become_a_pipeline_of_the_runs_own(
    tmp_path: Path, sink: str, transport: str
) -> None:
    text = (
        "debezium.source.connector.class=io.debezium.connector.mariadb.MariaDbConnector\n"
        "debezium.source.database.hostname=db.example\ndebezium.source.database.port=3307\n"
        "debezium.source.database.user=bench\ndebezium.source.database.password=s3cret\n"
        f"debezium.source.table.include.list=shop.orders\ndebezium.sink.type={sink}\n"
    )
    known = of_server(read_java_properties(text))
    path = tmp_path / "own.toml"
    path.write_text(commented(known), encoding="utf-8")
    found = read_pipeline(path)

    assert found.source is not None
    assert (found.source.kind, found.source.table) == ("mariadb", "")
    assert found.source.dsn == "mysql://bench@db.example:3307"
    assert found.capture is not None
    assert found.capture.kind == "debezium-server"
    assert found.options == {"transport": transport}
    assert (found.tap, unknown(known)) == ((), [])
    assert "s3cret" not in path.read_text(encoding="utf-8")
    assert with_servers(known, Endpoints("process", "host=127.0.0.1")) == known


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


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a=1\nb: 2\nc 3\nd\n", {"a": "1", "b": "2", "c": "3", "d": ""}),
        ("# path C:\\\na=1\n", {"a": "1"}),
        ("! remark\\\n  # another\na=1", {"a": "1"}),
        ("a=1\\\n   #2\n", {"a": "1#2"}),
        ("place=C:\\\\\nb=2\n", {"place": "C:\\", "b": "2"}),
        ("a=x\\\n   y\\\n\tz", {"a": "xyz"}),
        ("a=x\\", {"a": "x"}),
        ("url=http\\://h\\:80/?a\\=b", {"url": "http://h:80/?a=b"}),
        ("a\\:b\\=c\\ d = e", {"a:b=c d": "e"}),
        ("a=\\u00fc\\t\\z", {"a": "ü\tz"}),
        ("a=b=c:d e", {"a": "b=c:d e"}),
        ("   a   =   b  \r\n\r\nc=d\r", {"a": "b", "c": "d"}),
        ("a=x\u2028y", {"a": "x\u2028y"}),
        ("", {}),
        ("a=1\na=2", {"a": "2"}),
    ],
)
def test_properties_are_read_as_java_reads_them(text: str, found: dict[str, str]) -> None:
    assert read_java_properties(text) == found


def test_a_pattern_of_tables_is_the_table_in_a_connector_and_in_a_file_of_properties() -> None:
    text = "debezium.source.table.include.list=public\\\\.orders, public.items\n"

    assert of_server(read_java_properties(text))["source"]["table"] == "public.orders"


@pytest.mark.parametrize(
    ("listed", "table"),
    [
        ("public[.]orders", "public.orders"),
        ("public.*", None),
        (r"public\..*", None),
        ("public.(orders|items)", None),
        ("public.orders_[0-9]+", None),
        ("public.orders_.", None),
        (r"public\.t\d{1,2}", None),
        (r"public\.o.*, public\.größe", "public.größe"),
        ("orders", None),
        ("", None),
    ],
)
def test_a_pattern_that_fits_several_tables_names_none(listed: str, table: str | None) -> None:
    config = {**CONNECTOR, "table.include.list": listed}
    found = of_connector("shop", config, "http://c:8083")

    assert found["source"].get("table") == table
    assert found.get("kafka", {}).get("topic") == (table and f"shop.{table}")


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("shop", "shop"),
        ("my shop", "'my shop'"),
        ("tab\there", "'tab\there'"),
        ("it's", "'it\\'s'"),
        ("back\\slash", "'back\\\\slash'"),
        ("größe#1:2", "größe#1:2"),
    ],
)
def test_a_dsn_is_quoted_so_that_libpq_reads_it_back(name: str, written: str) -> None:
    dsn = of_connector("c", {"database.dbname": name}, "http://c")["source"]["dsn"]

    assert dsn == f"dbname={written}"
    assert conninfo_to_dict(dsn) == {"dbname": name}


def test_the_brokers_that_a_connectors_producer_is_given_are_known() -> None:
    config = {**CONNECTOR, "producer.override.bootstrap.servers": "k:9092,l:9092"}

    assert of_connector("shop", config, "http://c")["kafka"] == {
        "bootstrap": "k:9092,l:9092",
        "topic": "shop.public.orders",
    }
    no_table = {"producer.override.bootstrap.servers": "k:9092"}
    assert of_connector("shop", no_table, "http://c")["kafka"] == {"bootstrap": "k:9092"}


def test_a_connector_of_no_table_has_no_topic_and_debeziums_own_names() -> None:
    known = of_connector("shop", {}, "http://c")

    assert "kafka" not in known
    assert known["source"] == {"dsn": ""}
    assert known["capture"] == {
        "kind": "debezium",
        "connector": "shop",
        "slot": "debezium",
        "publication": "dbz_publication",
    }


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("http://h:9999/events", "9999"),
        ("http://h:9999", "9999"),
        ("http://h/events", "8080"),
        ("", "8080"),
        ("https://[::1]:7000/x", "7000"),
    ],
)
def test_a_webhooks_port_is_that_of_its_url(url: str, place: str) -> None:
    known = of_server({"debezium.sink.type": "http", "debezium.sink.http.url": url})

    assert known["tap"] == {"kind": "webhook", "place": place}


def test_another_sink_of_debezium_server_is_left_to_its_owner() -> None:
    assert set(of_server({"debezium.sink.type": "pulsar"})) == {"source", "capture"}


def test_a_remark_says_what_a_key_is_for_within_the_width_of_a_page() -> None:
    lines = commented({}).splitlines()

    assert max(map(len, lines)) <= COLUMNS
    assert "#   SCHEMA.TABLE to write to; without it the run makes tables." in lines
    assert '# dsn = "host=127.0.0.1 port=5432 user=bench dbname=shop"' in lines
    assert '# table = ""' in lines


def test_what_is_known_stands_and_what_is_not_is_a_remark() -> None:
    lines = commented({"tap": {"kind": "webhook"}}).splitlines()

    assert {"[[tap]]", 'kind = "webhook"', '# place = "8080"'} <= set(lines)
    assert {"# [source]", "# [options]", "# rate = 500"} <= set(lines)
