"""A pipeline file: what is read from it, and every mistake at once."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from infra.client.environment import ROOT
from infra.stack.error import StackConfigError
from infra.stack.pipeline_file.read import read_pipeline
from infra.stack.pipeline_file.section import PipelineFile


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "pipeline.toml"
    path.write_text(text, encoding="utf-8")
    return path


def mistakes(tmp_path: Path, text: str) -> str:
    with pytest.raises(StackConfigError) as caught:
        read_pipeline(written(tmp_path, text))
    assert caught.value.exit_code == 2
    return str(caught.value)


def test_a_file_has_the_sections_that_the_pipeline_has(tmp_path: Path) -> None:
    text = '[source]\ndsn = "host=db"\n[[tap]]\nkind = "webhook"\nplace = "8080"\n'

    found = read_pipeline(written(tmp_path, text))

    assert found.source is not None
    assert (found.source.dsn, found.kafka, found.registry) == ("host=db", None, None)
    assert [(tap.kind, tap.place) for tap in found.tap] == [("webhook", "8080")]


def test_the_pages_example_is_a_pipeline_file(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "pipeline.md").read_text(encoding="utf-8")
    example = re.search(r"```toml\n(.*?)```", page, re.DOTALL)
    assert example is not None

    found = read_pipeline(written(tmp_path, example[1]))

    assert all(getattr(found, name) for name in PipelineFile.__struct_fields__)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('[kafkaa]\nbootstrap = "h:1"', r"\[kafkaa\] is no section \(did you mean kafka\?\)"),
        ('[source]\ndns = "host=db"', r"\[source\] has no key 'dns' \(did you mean dsn\?\)"),
        ("[source]\n", r"\[source\] lacks dsn"),
        ("[source]\ndsn = 5", r"\[source\] dsn is a number; write text in quotes"),
        ('[kafka]\nbootstrap = ""', r"\[kafka\] bootstrap is empty"),
        ('source = "host=db"', r"\[source\] is text and no section"),
        ('[tap]\nkind = "webhook"', r"write \[\[tap\]\]"),
        ('[[tap]]\nkind = "webhook"', r"\[\[tap\]\] 1 lacks place"),
        ('options = "rate"', r"write \[options\]"),
        ("[options]\nrate = [1]", r"\[options\] rate is a list"),
    ],
)
def test_a_mistake_names_its_section_and_the_remedy(tmp_path: Path, text: str, told: str) -> None:
    assert re.search(told, mistakes(tmp_path, text))


def test_all_mistakes_are_told_together_one_a_line(tmp_path: Path) -> None:
    told = mistakes(tmp_path, "[source]\ndns = 1\n[connect]\nurl = 5\n[kafkaa]\n")

    assert len(told.splitlines()) == 4


def test_a_value_of_the_wrong_kind_is_not_repeated(tmp_path: Path) -> None:
    assert "hush" not in mistakes(tmp_path, '[source]\ndsn = ["password=hush"]')


def test_taps_of_one_kind_share_their_server_and_its_login(tmp_path: Path) -> None:
    one = '[[tap]]\nkind = "redis"\nplace = "a"\nurl = "redis://one"\n'
    two = one.replace("one", "two")

    assert "taps of kind redis have different url" in mistakes(tmp_path, one + two)


def test_watched_tables_are_in_one_database(tmp_path: Path) -> None:
    one = '[[tap]]\nkind = "postgres"\nplace = "a.b"\ndsn = "host=one"\n'
    two = one.replace('"postgres"', '"postgres-log"').replace("one", "two")

    assert "taps have different dsn" in mistakes(tmp_path, one + two)


def test_several_taps_may_differ_in_everything_else(tmp_path: Path) -> None:
    webhook = '[[tap]]\nkind = "webhook"\nplace = "8080"\nname = "search"\ncertificate = "c"\n'
    stream = '[[tap]]\nkind = "redis"\nplace = "a"\nurl = "redis://one"\nbehind = true\n'
    path = tmp_path / "both.toml"
    path.write_text(webhook + stream)

    assert [(tap.name, tap.behind) for tap in read_pipeline(path).tap] == [
        ("search", False),
        ("", True),
    ]


def test_a_taps_name_is_a_plain_word(tmp_path: Path) -> None:
    tap = '[[tap]]\nkind = "webhook"\nplace = "8080"\nname = "My Tap"\n'

    assert "name 'My Tap' is no plain word" in mistakes(tmp_path, tap)


@pytest.mark.parametrize("text", ["[source", "a ="])
def test_what_is_no_toml_is_said_to_be_none(tmp_path: Path, text: str) -> None:
    assert "is not TOML" in mistakes(tmp_path, text)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(StackConfigError, match=r"nowhere\.toml cannot be read"):
        read_pipeline(tmp_path / "nowhere.toml")
