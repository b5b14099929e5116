"""The servers that a pipeline file names, and those that it does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.stack.endpoints import Endpoints
from infra.stack.error import StackConfigError
from infra.stack.find.external import external, source
from infra.stack.find.locate import hosts

SOURCE = '[source]\ndsn = "host=127.0.0.1 port=5432 dbname=shop"\n'


def environment(tmp_path: Path, text: str) -> dict[str, str]:
    path = tmp_path / "pipeline.toml"
    path.write_text(text, encoding="utf-8")
    return {"CDC_PIPELINE": str(path)}


def test_a_pipeline_of_a_source_alone_has_no_other_server(tmp_path: Path) -> None:
    found = external(environment(tmp_path, SOURCE))

    assert found is not None
    assert hosts(found, {}) == ["127.0.0.1:5432"]
    assert (found.kind, found.kafka_bootstrap, found.connect_url) == ("external", "", "")


def test_every_server_of_a_file_is_one_that_must_be_allowed(tmp_path: Path) -> None:
    text = (
        '[kafka]\nbootstrap = "a.example:9092,b.example:9093"\n'
        '[registry]\nurl = "https://r.example/apis/ccompat/v7"\n'
        '[connect]\nurl = "http://c.example:8083"\n'
    )
    found = external(environment(tmp_path, SOURCE + text))

    assert found is not None
    assert hosts(found, {})[1:] == [
        "a.example:9092",
        "b.example:9093",
        "r.example:443",
        "c.example:8083",
    ]


def test_a_file_without_servers_means_those_of_this_checkout(tmp_path: Path) -> None:
    environ = environment(tmp_path, '[[tap]]\nkind = "webhook"\nplace = "8080"\n')

    assert external(environ) is None
    assert source(environ) is None


def test_a_pipeline_file_goes_before_the_older_ways(tmp_path: Path) -> None:
    environ = {**environment(tmp_path, SOURCE), "CDC_STACK": "nowhere.toml"}

    assert external(environ) is not None
    assert source(environ) == "CDC_PIPELINE"


def test_connect_may_reach_the_source_in_its_own_way(tmp_path: Path) -> None:
    text = (
        '[connect]\nurl = "http://127.0.0.1:8083"\npostgres = "db:5432"\n'
        'postgres_user = "debezium"\npostgres_secret = "${file:/etc/secrets:bench}"\n'
    )
    found = external(environment(tmp_path, SOURCE + text))

    assert found is not None
    assert found.postgres_from_connect == "db:5432"
    assert found.postgres_user_from_connect == "debezium"
    assert found.postgres_secret_from_connect == "${file:/etc/secrets:bench}"


def test_an_address_that_leads_nowhere_is_refused_with_the_files_name(tmp_path: Path) -> None:
    with pytest.raises(StackConfigError, match=r"pipeline\.toml: kafka_bootstrap 'nowhere'"):
        external(environment(tmp_path, '[kafka]\nbootstrap = "nowhere"\n'))


def test_commands_for_servers_of_ones_own_go_with_their_addresses(tmp_path: Path) -> None:
    text = '[kafka]\nbootstrap = "127.0.0.1:9092"\n[commands]\nschema_registry = "true registry"\n'
    found = external(environment(tmp_path, text))

    assert found is not None
    assert found.commands == {"schema-registry": "true registry"}
    assert Endpoints.from_json(found.to_json()) == found


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('[commands]\nkafka = "true"\n', "the file names none"),
        (
            '[kafka]\nbootstrap = "127.0.0.1:9092"\n[commands]\nkafka = "no-such-program-here"\n',
            "there is no program 'no-such-program-here' for kafka",
        ),
        ('[kafka]\nbootstrap = "127.0.0.1:9092"\n[commands]\nkafak = "true"\n', "mean kafka"),
    ],
)
def test_commands_that_can_act_on_nothing_are_refused(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(StackConfigError, match=told):
        external(environment(tmp_path, text))
