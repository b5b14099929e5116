"""Debezium Server's process: its options and its environment."""

from __future__ import annotations

from pathlib import Path

from infra.pipelines.debezium_server.__main__ import environment, main, parser
from infra.pipelines.debezium_server.configuration import (
    JDBC_PASSWORD,
    SOURCE_PASSWORD,
    DebeziumServerSettings,
)

NEEDED = ["--dsn=host=127.0.0.1", "--slot=s", "--publication=p", "--transport=http", "--endpoint=e"]


def settings(passfile: Path, transport: str = "http") -> DebeziumServerSettings:
    dsn = f"host=127.0.0.1 port=5432 user=bench dbname=shop passfile={passfile}"
    return DebeziumServerSettings(dsn, "s", "p", transport, dsn.replace("shop", "copy"))


def secrets(directory: Path) -> Path:
    path = directory / "pgpass"
    path.write_text("127.0.0.1:5432:shop:bench:one\n127.0.0.1:5432:copy:bench:two\n")
    path.chmod(0o600)
    return path


def test_options_that_the_run_gives_every_platform_are_taken() -> None:
    options, others = parser().parse_known_args([*NEEDED, "--run=abcdefgh", "--held=no"])
    assert options.slot == "s"
    assert others == ["--run=abcdefgh", "--held=no"]


def test_passwords_go_by_the_environment(tmp_path: Path) -> None:
    found = environment(settings(secrets(tmp_path), "postgres"), {})
    assert (found[SOURCE_PASSWORD], found[JDBC_PASSWORD]) == ("one", "two")


def test_the_password_of_mariadb_is_in_the_file_that_its_url_names(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("four\n")
    url = f"mysql://bench@127.0.0.1:3306/cdc_a?password_file={tmp_path}/secret"
    found = environment(DebeziumServerSettings(url, "", "", "http", "http://127.0.0.1:1"), {})
    assert found[SOURCE_PASSWORD] == "four"


def test_a_source_without_a_password_gets_none(tmp_path: Path) -> None:
    assert SOURCE_PASSWORD not in environment(settings(tmp_path / "none"), {})


def test_the_users_own_settings_go_before_ours(tmp_path: Path) -> None:
    own = {"DEBEZIUM_SOURCE_POLL_INTERVAL_MS": "10", SOURCE_PASSWORD: "three"}
    found = environment(settings(secrets(tmp_path)), {**own, "QUARKUS_HTTP_HOST": "0.0.0.0"})
    assert {name: found[name] for name in own} == own
    assert "QUARKUS_HTTP_HOST" not in found


def test_only_kinesis_gets_keys_of_aws(tmp_path: Path) -> None:
    given = {"AWS_ACCESS_KEY_ID": "one", "AWS_SECRET_ACCESS_KEY": "two"}
    assert not given.keys() & environment(settings(tmp_path / "none"), given).keys()
    assert given.items() <= environment(settings(tmp_path / "none", "kinesis"), given).items()


def test_a_database_that_does_not_answer_ends_with_3() -> None:
    arguments = [part for part in NEEDED if "dsn" not in part]
    assert main([*arguments, "--dsn=host=127.0.0.1 port=1 user=nobody connect_timeout=2"]) == 3
    assert main([*arguments, "--dsn=mysql://nobody@127.0.0.1:1/cdc_a"]) == 3
