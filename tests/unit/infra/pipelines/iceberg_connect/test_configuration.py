"""What a worker with Iceberg's sink is told."""

from __future__ import annotations

from pathlib import Path

from infra.pipelines.iceberg_connect.configuration import (
    IcebergConnectSettings,
    connector,
    worker,
)
from infra.schemas.warehouse import local_catalog

SETTINGS = IcebergConnectSettings(
    bootstrap="127.0.0.1:9092",
    registry="http://127.0.0.1:8081",
    topics=("cdc.cdc_abc.customers", "cdc.cdc_abc.customers_2"),
    group="cdc-abc",
    control="cdc-abc-control",
    warehouse=Path("/run/warehouse"),
    table="cdc_abc.customers",
    commit_interval_ms=1000,
)


def test_the_worker_listens_on_loopback_and_belongs_to_no_group() -> None:
    found = worker(SETTINGS, 8083, Path("/run"))

    assert found["listeners"] == "http://127.0.0.1:8083"
    assert found["bootstrap.servers"] == "127.0.0.1:9092"
    assert found["offset.storage.file.filename"] == "/run/offsets.dat"
    assert found["plugin.path"] == "/run/plugins"
    assert not [name for name in found if name.startswith(("group.", "config.storage"))]


def test_the_worker_reads_avro_with_the_schemas_of_the_registry() -> None:
    found = worker(SETTINGS, 8083, Path("/run"))

    for side in ("key", "value"):
        url = found[f"{side}.converter.apicurio.registry.url"]
        assert url == "http://127.0.0.1:8081/apis/registry/v2"


def test_the_sink_reads_the_runs_topics_in_the_runs_group() -> None:
    found = connector(SETTINGS)

    assert found["topics"] == "cdc.cdc_abc.customers,cdc.cdc_abc.customers_2"
    assert found["consumer.override.group.id"] == found["iceberg.connect.group-id"] == "cdc-abc"
    assert found["iceberg.control.topic"] == "cdc-abc-control"
    assert found["iceberg.control.group-id-prefix"].startswith("cdc-abc-")
    assert found["iceberg.control.commit.interval-ms"] == "1000"


def test_the_catalog_is_the_one_that_the_tap_opens() -> None:
    found, read = connector(SETTINGS), local_catalog(SETTINGS.warehouse)

    assert found["iceberg.tables"] == "cdc_abc.customers"
    assert found["iceberg.catalog.warehouse"] == read["warehouse"]
    file = found["iceberg.catalog.uri"].removeprefix("jdbc:sqlite:")
    assert read["uri"] == f"sqlite:///{file}"
