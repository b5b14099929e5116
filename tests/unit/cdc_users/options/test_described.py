"""A pipeline file as options: what its sections stand for, and what is no option."""

from __future__ import annotations

from pathlib import Path

import pytest

from cdc_users.options.described import (
    option_mistakes,
    option_texts,
    pipeline_path,
    read_described,
)
from cdc_users.options.options import BY_NAME
from infra.stack.error import StackConfigError
from infra.stack.pipeline_file.section import (
    CaptureSection,
    KafkaSection,
    PipelineFile,
    PlatformSection,
    SourceSection,
    TapSection,
)

WHOLE = PipelineFile(
    source=SourceSection(dsn="host=db", table="public.orders"),
    capture=CaptureSection(kind="debezium", connector="shop"),
    kafka=KafkaSection(bootstrap="h:9092", topic="shop.orders"),
    platform=PlatformSection(command="none"),
    tap=(TapSection(kind="topic", place="copy"),),
    options={"rate": 500, "smoke": True},
)


def test_each_section_stands_for_the_options_of_its_part() -> None:
    assert option_texts(WHOLE) == {
        "table": "public.orders",
        "capture": "debezium",
        "connector": "shop",
        "topic": "shop.orders",
        "platform": "none",
        "sink_tap": "topic:copy",
        "rate": "500",
        "smoke": "yes",
    }


def test_what_a_file_stands_for_are_options() -> None:
    assert set(option_texts(WHOLE)) <= set(BY_NAME)


def test_an_empty_file_gives_no_option() -> None:
    assert option_texts(PipelineFile()) == {}


def test_a_table_and_a_tap_suffice() -> None:
    file = PipelineFile(
        source=SourceSection(dsn="host=db", table="public.orders"),
        tap=(TapSection(kind="webhook", place="8080"),),
    )

    assert option_texts(file) == {
        "table": "public.orders",
        "capture": "none",
        "transport": "none",
        "platform": "none",
        "sink_tap": "webhook:8080",
    }


def test_the_group_of_a_platform_that_runs_is_an_option() -> None:
    file = PipelineFile(platform=PlatformSection(command="none", group="shop-writer"))

    assert option_texts(file) == {"platform": "none", "group": "shop-writer"}


def test_a_platform_behind_a_tap_that_is_not_named_runs_already() -> None:
    file = PipelineFile(tap=(TapSection(kind="webhook", place="8080"),))

    assert option_texts(file) == {"platform": "none", "sink_tap": "webhook:8080"}


def test_what_a_scenario_does_not_read_is_left_out_of_the_sections_alone() -> None:
    found = option_texts(WHOLE, idle=("connector", "table", "rate"))

    assert "connector" not in found
    assert found["rate"] == "500"


def test_what_is_no_option_is_named_with_the_nearest_one() -> None:
    (told,) = option_mistakes(PipelineFile(options={"ratee": 1}))

    assert "ratee is no option (did you mean rate?)" in told


def test_a_file_does_not_name_another_file() -> None:
    (told,) = option_mistakes(PipelineFile(options={"pipeline": "other.toml"}))

    assert "leave it out" in told


def test_mistakes_carry_the_files_name(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text("[options]\nratee = 1\n", encoding="utf-8")

    found = read_described(path)

    assert found.texts == {}
    assert found.mistakes[0].startswith(f"pipeline {path}: [options] ratee")


def test_a_file_that_cannot_be_read_is_one_mistake(tmp_path: Path) -> None:
    found = read_described(tmp_path / "nowhere.toml")

    assert (found.texts, len(found.mistakes)) == ({}, 1)


def test_how_a_receiver_is_guarded_is_told_by_files_beside_the_pipelines(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    tap = '[[tap]]\nkind = "webhook"\nplace = "8443"\ntoken_file = "token"\n'
    path.write_text(tap, encoding="utf-8")

    assert read_described(path).variables == {"CDC_WEBHOOK_TOKEN_FILE": str(tmp_path / "token")}


def test_a_pipeline_is_a_file_or_one_that_comes_with_us(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.touch()

    assert pipeline_path(str(path)) == path
    with pytest.raises(StackConfigError, match="'nothing-of-ours' is no file"):
        pipeline_path("nothing-of-ours")


def test_where_a_watched_stream_is_and_how_it_lets_us_in_goes_by_its_own_variables(
    tmp_path: Path,
) -> None:
    path = tmp_path / "own.toml"
    tap = 'kind = "redis"\nplace = "orders"\nurl = "redis://127.0.0.1"\nuser = "ada"\n'
    path.write_text(f'[[tap]]\n{tap}password_file = "password"\nca = "ca.pem"\n', encoding="utf-8")

    assert read_described(path).variables == {
        "CDC_REDIS_URL": "redis://127.0.0.1",
        "CDC_REDIS_USER": "ada",
        "CDC_REDIS_PASSWORD_FILE": str(tmp_path / "password"),
        "CDC_REDIS_CA": str(tmp_path / "ca.pem"),
    }
