"""What Debezium Server is told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import pkcs12
from hypothesis import given
from hypothesis import strategies as st

from infra.pipelines.debezium_server.configuration import (
    SINKS,
    DebeziumServerSettings,
    as_text,
    configuration,
)
from infra.pipelines.debezium_server.mariadb import write_trust_store
from infra.stack.servers.secured.certificate import make_certificates

RUN = Path("/run")
SETTINGS = DebeziumServerSettings(
    dsn="host=127.0.0.1 port=5433 user=bench dbname=shop passfile=/secrets/pgpass",
    slot="cdc_abc",
    publication="cdc_abc",
    transport="http",
    endpoint="http://127.0.0.1:8080/events",
    tables=("cdc_abc.customers", "cdc_abc.customers_2"),
)
ENDPOINTS = {
    "http": "http://127.0.0.1:8080/events",
    "postgres": "host=127.0.0.1 port=5434 user=writer dbname=copy",
    "kafka": "127.0.0.1:9092",
    "redis": "redis://127.0.0.1:6379/2",
    "nats": "nats://127.0.0.1:4222",
    "kinesis": "http://127.0.0.1:4567",
    "pubsub": "127.0.0.1:8085",
}
#: What upstream calls a sink where that is not what its transport is called here.
TYPES = {"postgres": "jdbc", "nats": "nats-jetstream"}
#: Services in which one stream is written to.
STREAMS = ("redis", "nats", "kinesis", "pubsub")


def told(transport: str) -> dict[str, str]:
    settings = replace(
        SETTINGS,
        transport=transport,
        endpoint=ENDPOINTS[transport],
        stream="cdc_abc",
        project="p",
        region="r",
    )
    return configuration(settings, RUN)


@pytest.mark.parametrize("transport", SINKS)
def test_it_reads_the_runs_slot_and_publication_and_makes_none(transport: str) -> None:
    found = told(transport)
    assert found["debezium.source.slot.name"] == "cdc_abc"
    assert found["debezium.source.publication.name"] == "cdc_abc"
    assert found["debezium.source.publication.autocreate.mode"] == "disabled"
    assert found["debezium.source.snapshot.mode"] == "no_data"
    assert found["debezium.sink.type"] == TYPES.get(transport, transport)


@pytest.mark.parametrize("transport", SINKS)
def test_no_secret_and_no_place_of_one_is_in_the_file(transport: str) -> None:
    assert "pass" not in as_text(told(transport))


@pytest.mark.parametrize("transport", SINKS)
def test_it_listens_on_loopback_alone(transport: str) -> None:
    assert told(transport)["quarkus.http.host"] == "127.0.0.1"


def test_where_the_source_is_comes_from_the_dsn() -> None:
    found = told("http")
    names = ("hostname", "port", "user", "dbname")
    assert [found[f"debezium.source.database.{name}"] for name in names] == [
        "127.0.0.1",
        "5433",
        "bench",
        "shop",
    ]


def test_a_tables_dot_means_itself() -> None:
    listed = told("http")["debezium.source.table.include.list"]
    assert listed == "cdc_abc[.]customers,cdc_abc[.]customers_2"


def test_a_copy_is_written_by_key_into_tables_that_are_there() -> None:
    found = told("postgres")
    assert found["debezium.sink.jdbc.connection.url"] == "jdbc:postgresql://127.0.0.1:5434/copy"
    assert found["debezium.sink.jdbc.insert.mode"] == "upsert"
    assert found["debezium.sink.jdbc.delete.enabled"] == "true"
    assert found["debezium.sink.jdbc.schema.evolution"] == "none"
    assert "debezium.source.decimal.handling.mode" not in found


@pytest.mark.parametrize("transport", STREAMS)
def test_all_tables_go_into_the_runs_stream(transport: str) -> None:
    found = told(transport)
    assert found["debezium.transforms.route.regex"] == ".*"
    assert found["debezium.transforms.route.replacement"] == "cdc_abc"


def test_each_service_is_where_the_run_says() -> None:
    sink = "debezium.sink."
    assert told("redis")[f"{sink}redis.address"] == "127.0.0.1:6379"
    assert told("redis")[f"{sink}redis.db.index"] == "2"
    assert told("nats")[f"{sink}nats-jetstream.url"] == "nats://127.0.0.1:4222"
    assert told("nats")[f"{sink}nats-jetstream.create-stream"] == "false"
    assert told("kinesis")[f"{sink}kinesis.endpoint"] == "http://127.0.0.1:4567"
    assert told("kinesis")[f"{sink}kinesis.region"] == "r"
    assert told("pubsub")[f"{sink}pubsub.address"] == "127.0.0.1:8085"
    assert told("pubsub")[f"{sink}pubsub.project.id"] == "p"


def test_a_redis_with_tls_is_asked_with_tls() -> None:
    settings = replace(SETTINGS, transport="redis", endpoint="rediss://redis.example")
    found = configuration(settings, RUN)
    assert found["debezium.sink.redis.address"] == "redis.example:6379"
    assert found["debezium.sink.redis.ssl.enabled"] == "true"


@pytest.mark.parametrize("transport", ["http", "kafka", *STREAMS])
def test_json_needs_no_schema_to_be_read(transport: str) -> None:
    found = told(transport)
    assert found["debezium.format.value.schemas.enable"] == "false"
    assert found["debezium.source.decimal.handling.mode"] == "string"


def test_topics_of_kafka_keep_their_names() -> None:
    assert not any("transforms" in name for name in told("kafka"))


TEXTS = st.text(st.sampled_from("ab=\\\n:# \u00e4\u20ac"), max_size=30)


@given(st.dictionaries(st.from_regex(r"[a-z.]{1,20}", fullmatch=True), TEXTS))
def test_each_property_is_one_line(properties: dict[str, str]) -> None:
    lines = as_text(properties).split("\n")
    assert len(lines) == len(properties) + 1
    for line, (name, value) in zip(lines, properties.items(), strict=False):
        read = line.partition("=")[2].replace("\\\\", "\0").replace("\\n", "\n").replace("\0", "\\")
        assert (line.partition("=")[0], read) == (name, value)


@pytest.mark.parametrize(
    ("host", "place"), [("::1", "[::1]:5434"), ("db.example", "db.example:5434")]
)
def test_an_ipv6_address_of_a_copy_stands_in_brackets(host: str, place: str) -> None:
    endpoint = f"host={host} port=5434 user=writer dbname=copy"
    found = configuration(replace(SETTINGS, transport="postgres", endpoint=endpoint), RUN)

    assert found["debezium.sink.jdbc.connection.url"] == f"jdbc:postgresql://{place}/copy"


ENCRYPTED = "host=db port=5432 user=u dbname=copy sslmode=verify-full sslrootcert='/my ca.pem'"
LIBPQ = {"PGSSLMODE": "verify-ca", "PGSSLROOTCERT": "/b.pem"}


@pytest.mark.parametrize(
    ("dsn", "environ", "mode", "root"),
    [
        (SETTINGS.dsn, {}, "prefer", None),
        (SETTINGS.dsn, LIBPQ, "verify-ca", "/b.pem"),
        (ENCRYPTED, {}, "verify-full", "/my ca.pem"),
    ],
)
def test_the_source_is_asked_with_tls_as_its_dsn_says(
    dsn: str, environ: dict[str, str], mode: str, root: str | None
) -> None:
    found = configuration(replace(SETTINGS, dsn=dsn, environ=environ), RUN)

    assert found["debezium.source.database.sslmode"] == mode
    assert found.get("debezium.source.database.sslrootcert") == root


def test_a_copy_is_asked_with_tls_as_its_dsn_says() -> None:
    found = configuration(replace(SETTINGS, transport="postgres", endpoint=ENCRYPTED), RUN)

    assert found["debezium.sink.jdbc.connection.url"] == (
        "jdbc:postgresql://db:5432/copy?sslmode=verify-full&sslrootcert=/my+ca.pem"
    )


def test_of_mariadb_the_runs_own_database_is_read_without_a_lock_and_without_a_snapshot() -> None:
    url = "mysql://bench@127.0.0.1:3307/cdc_abc?password_file=%2Fsecrets%2Fmariadb"
    settings = replace(SETTINGS, dsn=url, slot="", publication="")
    found = configuration(settings, RUN)
    source = {
        name.removeprefix("debezium.source."): text
        for name, text in found.items()
        if name.startswith("debezium.source.")
    }

    assert int(source.pop("database.server.id")) > 2**30 - 1
    assert source == {
        "connector.class": "io.debezium.connector.mariadb.MariaDbConnector",
        "database.hostname": "127.0.0.1",
        "database.port": "3307",
        "database.user": "bench",
        "database.include.list": "cdc_abc",
        "snapshot.locking.mode": "none",
        "include.schema.changes": "false",
        "schema.history.internal": "io.debezium.storage.file.history.FileSchemaHistory",
        "schema.history.internal.file.filename": "/run/history.dat",
        "snapshot.mode": "no_data",
        "topic.prefix": "cdc",
        "table.include.list": "cdc_abc[.]customers,cdc_abc[.]customers_2",
        "offset.storage.file.filename": "/run/offsets.dat",
        "offset.flush.interval.ms": "0",
        "decimal.handling.mode": "string",
    }
    assert "secrets" not in as_text(found)


def test_a_mariadb_whose_authority_is_named_must_show_its_certificate(tmp_path: Path) -> None:
    authority = make_certificates(tmp_path, "s3cret").authority
    url = f"mysql://bench@127.0.0.1:3307/cdc_abc?ca={authority}"
    found = configuration(replace(SETTINGS, dsn=url, slot="", publication=""), tmp_path)
    write_trust_store(url, tmp_path)

    told = {name: text for name, text in found.items() if ".ssl." in name}
    assert told == {
        "debezium.source.database.ssl.mode": "verify-full",
        "debezium.source.database.ssl.truststore": str(tmp_path / "trust.p12"),
        "debezium.source.database.ssl.truststore.password": "public",
    }
    stored = pkcs12.load_pkcs12((tmp_path / "trust.p12").read_bytes(), b"public")
    assert stored.key is None
    assert len(stored.additional_certs) == 1


def test_a_mariadb_without_an_authority_has_no_store(tmp_path: Path) -> None:
    write_trust_store("mysql://bench@127.0.0.1:3307/cdc_abc", tmp_path)

    assert list(tmp_path.iterdir()) == []
