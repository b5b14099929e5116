"""`python -m cdc_users.pipeline`: what it prints and what it ends with; servers are not needed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cdc_users.pipeline.__main__ import main, rendered
from infra.stack.pipeline_file.coverage import Coverage
from infra.stack.pipeline_file.found import PartFound, PartTrouble, PipelineFound


def written(tmp_path: Path, text: str) -> str:
    path = tmp_path / "own.toml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_the_table_marks_what_is_to_be_mended() -> None:
    part = PartFound("Kafka", "h:9092", ["1 broker(s)"], [PartTrouble("no topic")])
    text = rendered(PipelineFound([part]), [Coverage("slot lag", False, "no slot")])

    assert "Kafka            h:9092" in text
    assert "! no topic" in text
    assert "no   slot lag: no slot" in text
    assert text.endswith("1 problem(s), marked !")


def test_all_mistakes_of_a_file_come_before_any_server_is_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = '[[tap]]\nkind = "webhok"\nplace = "1"\n[options]\nratee = 1\n'

    assert main(["check", written(tmp_path, text)]) == 2

    told = capsys.readouterr().err
    assert "ratee is no option" in told
    assert "'webhok' is not one of" in told


def test_a_server_elsewhere_is_asked_only_where_it_is_allowed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", written(tmp_path, '[kafka]\nbootstrap = "k.example:9092"\n')]) == 2
    assert "--allow-target k.example:9092" in capsys.readouterr().err


def test_parts_that_do_not_answer_end_with_3(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = '[source]\ndsn = "host=127.0.0.1 port=1 user=a dbname=a"\n'

    assert main(["check", written(tmp_path, text)]) == 3
    assert "1 problem(s)" in capsys.readouterr().out


def test_init_writes_a_file_and_never_over_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "new.toml"

    assert main(["init", str(path)]) == 0
    before = path.read_text(encoding="utf-8")
    assert main(["init", str(path)]) == 2
    assert path.read_text(encoding="utf-8") == before
    assert "exists already" in capsys.readouterr().err


def test_the_schema_is_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema"]) == 0
    assert "PipelineFile" in json.loads(capsys.readouterr().out)["$defs"]
