"""What a package and installed distributions offer by name."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from cdc_users.pipeline import declaration
from infra.platform.sinks.plugin import GROUP, SinkPlugin, sinks
from infra.platform.transports.plugin import transports
from infra.plugin import lacking, offered
from tests.toy_distribution import NAME, install

SINK = """
from infra.platform.sinks.counting import CountingSink
from infra.platform.sinks.plugin import SinkPlugin

TOY = SinkPlugin("toy", make=lambda _: CountingSink())
TAKEN = SinkPlugin("webhook", make=lambda _: CountingSink())
OTHER = 7
"""


def found(site: Path, monkeypatch: pytest.MonkeyPatch, value: str) -> tuple[list[str], list[str]]:
    """Names and mistakes with one more sink by entry point."""
    name = f"toy_{site.name.replace('-', '_')}"
    install(site, {name: SINK}, {GROUP: {"toy": value.replace("MODULE", name)}})
    monkeypatch.syspath_prepend(str(site))
    offer = offered("infra.platform.sinks", SinkPlugin, GROUP, lambda sink: (sink.name,))
    return list(offer.by_name), list(offer.mistakes)


def test_a_sink_is_found_by_the_file_that_declares_it() -> None:
    assert list(sinks().by_name) == ["counting", "slow", "iceberg", "postgres", "webhook"]
    assert sinks().mistakes == ()


def test_so_is_a_transport() -> None:
    assert list(transports().by_name) == ["kafka", "kinesis", "pubsub", "null"]


def test_an_installed_distribution_adds_a_sink(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names, mistakes = found(tmp_path, monkeypatch, "MODULE:TOY")

    assert names == ["counting", "iceberg", "postgres", "slow", "toy", "webhook"]
    assert mistakes == []


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("nowhere_to_be_found:TOY", "cannot be imported"),
        ("MODULE:NOTHING", "cannot be imported"),
        ("MODULE:OTHER", "which is of type int and no SinkPlugin"),
        ("MODULE:TAKEN", "the name 'webhook' is taken"),
    ],
)
def test_a_plugin_that_cannot_be_used_is_told_and_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str, said: str
) -> None:
    names, (mistake,) = found(tmp_path, monkeypatch, value)

    assert "toy" not in names
    assert NAME in mistake
    assert said in mistake


LOADED = "import json, sys; {statement}; print(json.dumps(sorted(sys.modules)))"


def loaded(statement: str) -> list[str]:
    """The modules that a fresh process has loaded after a statement."""
    done = subprocess.run(
        [sys.executable, "-c", LOADED.format(statement=statement)],
        capture_output=True,
        text=True,
        check=True,
    )
    modules: list[str] = json.loads(done.stdout)
    return modules


def test_declarations_bring_in_no_library_of_any_sink_or_transport() -> None:
    modules = loaded(
        "from infra.platform.sinks.plugin import sinks; sinks();"
        "from infra.platform.transports.plugin import transports; transports()"
    )

    assert "infra.platform.sinks.iceberg.plugin" in modules
    heavy = {"pyiceberg", "pyarrow", "aiohttp", "psycopg2", "boto3", "google.cloud.pubsub_v1"}
    assert heavy.intersection(modules) <= {"psycopg2"}  # infra.validate reads a DSN with it


def test_nor_do_those_of_the_harness() -> None:
    modules = loaded(
        "from cdc_users.pipeline.declaration import plugin_mistakes; plugin_mistakes()"
    )

    assert "cdc_users.pipeline.transports.kinesis" in modules
    heavy = {"locust", "gevent", "requests", "confluent_kafka", "boto3", "pyiceberg"}
    assert heavy.isdisjoint(modules)


def test_both_sides_know_the_same_sinks_and_transports() -> None:
    ours = [name for name, one in declaration.sinks().by_name.items() if one.is_ours]
    assert ours == list(sinks().by_name)
    services = {
        name
        for name, one in declaration.transports().by_name.items()
        if one.provision is None and not one.named  # others' captures alone write to a named one
    }
    assert {*services, "null"} == {*transports().by_name}


def test_what_is_not_installed_is_named_with_its_extra_and_how_to_get_it() -> None:
    assert lacking("", "none") is None
    assert lacking("json", "none") is None
    for absent in ("no_such_package", "no_such.part", "json.no_such"):
        told = lacking(absent, "cloud")
        assert told is not None
        assert told.startswith(f"needs {absent}, which is not installed")
        assert "make setup SLIM=" in told
        assert "'.[cloud]'" in told
