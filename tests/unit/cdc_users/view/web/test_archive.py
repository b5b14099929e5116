"""The list of runs survives a restart, and serves the files of runs and nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cdc_users.measure.judgement.result import Result, Verdict
from cdc_users.view.web.archive import MOST_RUNS, Archive
from tests.unit.made_result import result

NAME = "20261124T000000Z-throughput-aaaaaaaa"


def run_in(root: Path, name: str, made: Result | None = None) -> Path:
    place = root / name
    place.mkdir(parents=True)
    if made is not None:
        (place / "result.json").write_text(json.dumps(made.to_json()), encoding="utf-8")
    return place


def test_the_newest_run_comes_first_with_verdict_and_answer(tmp_path: Path) -> None:
    run_in(tmp_path, NAME, result())
    run_in(tmp_path, "20261125T000000Z-wal-bbbbbbbb", result(Verdict.INVALID, scenario="wal"))
    first, second = Archive(tmp_path).runs()

    assert (first["scenario"], first["verdict"]) == ("wal", "INVALID")
    assert second["answer"].startswith("1,000 events reached the sink")
    assert second["began"] == "2026-11-24 00:00:00 UTC"


def test_a_run_that_goes_on_comes_into_the_list_when_it_has_ended(tmp_path: Path) -> None:
    archive, place = Archive(tmp_path), run_in(tmp_path, NAME)
    assert archive.runs() == []

    (place / "result.json").write_text(json.dumps(result().to_json()), encoding="utf-8")
    assert [run["run"] for run in archive.runs()] == ["abcd1234"]


def test_what_cannot_be_read_or_is_no_run_is_left_out(tmp_path: Path) -> None:
    (run_in(tmp_path, NAME) / "result.json").write_text("{", encoding="utf-8")
    run_in(tmp_path, "notes", result())
    (tmp_path / "bench.json").write_text("{}", encoding="utf-8")

    assert Archive(tmp_path).runs() == []
    assert Archive(tmp_path / "nowhere").runs() == []


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("environment.json", "{"),
        ("environment.json", ""),
        ("environment.json", "[]"),
        ("environment.json", '{"took_s": "long"}'),
        ("environment.json", '{"load_average": [1, 2, 3]}'),
        ("result.json", json.dumps({**result().to_json(), "capacity": {}})),
        ("result.json", json.dumps({**result().to_json(), "capacities": "several"})),
        ("result.json", json.dumps({**result().to_json(), "scaling": 5})),
        ("result.json", "[" * 500 + "]" * 500),
    ],
)
def test_a_run_whose_files_are_broken_hides_no_other_one(
    tmp_path: Path, file: str, text: str
) -> None:
    broken = run_in(tmp_path, "20261125T000000Z-broken-bbbbbbbb", result(scenario="broken"))
    (broken / file).write_text(text, encoding="utf-8")
    run_in(tmp_path, NAME, result())

    assert [run["scenario"] for run in Archive(tmp_path).runs()] == [result().scenario]


def test_a_file_of_a_run_that_is_no_text_leaves_its_run_out(tmp_path: Path) -> None:
    (run_in(tmp_path, NAME, result()) / "environment.json").write_bytes(b"\xff\xfe")

    assert Archive(tmp_path).runs() == []


def test_the_list_has_an_end(tmp_path: Path) -> None:
    for number in range(MOST_RUNS + 3):
        run_in(tmp_path, f"20261124T0000{number:02}Z-throughput-aaaaaaaa", result())

    assert len(Archive(tmp_path).runs()) == MOST_RUNS


@pytest.mark.parametrize(
    ("directory", "name"),
    [
        ("..", "secret.txt"),
        (NAME, "../secret.txt"),
        (NAME, ".hidden/../../secret.txt"),
        (NAME, "logs"),
        (NAME, "link.txt"),
        ("20261124T000000Z-link-cccccccc", "secret.txt"),
        ("/", "etc"),
    ],
)
def test_nothing_but_a_runs_own_files_can_be_asked_for(
    tmp_path: Path, directory: str, name: str
) -> None:
    (tmp_path / "secret.txt").write_text("canary", encoding="utf-8")
    root = tmp_path / "results"
    place = run_in(root, NAME, result())
    (place / "logs").mkdir()
    (place / "link.txt").symlink_to(tmp_path / "secret.txt")
    (root / "20261124T000000Z-link-cccccccc").symlink_to(tmp_path)
    archive = Archive(root)

    assert archive.file(directory, name) is None
    assert archive.file(NAME, "result.json") == place / "result.json"
