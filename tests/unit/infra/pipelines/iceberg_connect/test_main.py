"""The process of Iceberg's sink: its options, and servers that it cannot use."""

from __future__ import annotations

import pytest

from infra.client.access import KAFKA_PROPERTIES
from infra.pipelines.iceberg_connect.__main__ import main, parser, settings_of
from infra.stack.error import StackError

ARGUMENTS = {
    "bootstrap": "127.0.0.1:9092",
    "schema-registry": "http://127.0.0.1:8081/apis/ccompat/v7",
    "topic": "one,two",
    "group": "cdc-abc",
    "control-topic": "cdc-abc-control",
    "iceberg-warehouse": "/run/warehouse",
    "iceberg-table": "cdc_abc.customers",
}


def told(**others: str) -> list[str]:
    given = {**ARGUMENTS, **{name.replace("_", "-"): text for name, text in others.items()}}
    return [f"--{name}={text}" for name, text in given.items()]


def test_options_that_the_run_gives_every_platform_are_taken() -> None:
    options, others = parser().parse_known_args([*told(), "--run=abcdefgh", "--sink=x"])
    settings = settings_of(options, {})

    assert others == ["--run=abcdefgh", "--sink=x"]
    assert settings.topics == ("one", "two")
    assert settings.registry == "http://127.0.0.1:8081"


def test_a_registry_other_than_apicurios_is_refused() -> None:
    assert main(told(schema_registry="http://127.0.0.1:8081")) == 3


def test_a_kafka_with_a_login_is_refused() -> None:
    options, _ = parser().parse_known_args(told())

    with pytest.raises(StackError, match=f"unset {KAFKA_PROPERTIES}"):
        settings_of(options, {KAFKA_PROPERTIES: "kafka.properties"})
