"""A result directory is new, whole, and free of what is not its run's."""

from __future__ import annotations

import csv
import errno
import json
import math
import os
import shutil
import stat
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pytest

from cdc_users.error import ResultError
from cdc_users.measure.latency.heat_map import HeatMap
from cdc_users.measure.latency.recorder import Recorder
from cdc_users.pipeline.samples import COLUMNS
from cdc_users.report import directory as directories
from cdc_users.report.directory import (
    RunTime,
    copy_locust_files,
    directory,
    environment,
    link_report,
    when,
    write_beside,
    write_heat,
    write_histograms,
    write_json,
    write_result,
    write_samples,
    write_timeline,
)
from cdc_users.report.remake import read
from tests.unit.made_result import result
from tests.unit.made_run import moment

NOON = datetime(2026, 3, 1, 12, 0, 5, tzinfo=timezone(timedelta(hours=2)))


def test_a_directory_says_when_by_utc_what_and_which_run(tmp_path: Path) -> None:
    place = directory(tmp_path / "new" / "größe", "throughput", "abcd1234", NOON)

    assert place == tmp_path / "new" / "größe" / "20260301T100005Z-throughput-abcd1234"
    assert [path.name for path in place.iterdir()] == ["logs"]


def test_no_run_writes_into_the_directory_of_another(tmp_path: Path) -> None:
    directory(tmp_path, "throughput", "abcd1234", NOON)

    with pytest.raises(ResultError, match=r"File exists; name another place with --results"):
        directory(tmp_path, "throughput", "abcd1234", NOON)


def test_a_place_that_is_a_file_is_told_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine", encoding="utf-8")

    with pytest.raises(ResultError) as told:
        directory(tmp_path / "file", "throughput", "abcd1234", NOON)

    assert str(told.value) == (
        f"results cannot be written to {tmp_path / 'file'}: Not a directory; name another place"
        " with --results"
    )
    assert told.value.exit_code == 2


def test_what_was_written_stays_whole_when_the_next_write_fails(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    write_json(path, {"steps": []})

    with pytest.raises(TypeError):
        write_json(path, {"steps": {("a", "b"): 1}})

    assert json.loads(path.read_text(encoding="utf-8")) == {"steps": []}


def test_what_json_does_not_know_is_written_as_text(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"place": tmp_path, "größe": 1})

    text = (tmp_path / "a.json").read_text(encoding="utf-8")
    assert json.loads(text) == {"place": str(tmp_path), "größe": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


@pytest.mark.parametrize("name", ["result.json", "timeline.csv", "samples.csv", "a.hgrm"])
def test_a_file_that_cannot_be_written_is_named_with_the_remedy(tmp_path: Path, name: str) -> None:
    gone = tmp_path / "gone"
    recorder = Recorder()
    recorder.record_many_us("end_to_end", np.ones(3, np.int64))
    writes = {
        "result.json": lambda: write_result(gone, result()),
        "timeline.csv": lambda: write_timeline(gone / name, [moment(1)]),
        "samples.csv": lambda: write_samples(gone / name, []),
        "a.hgrm": lambda: write_histograms(gone, "a", recorder),
    }

    with pytest.raises(ResultError, match=r"cannot be written: No such file or directory; make"):
        writes[name]()


def test_a_result_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    made = result(notes=["größe, #1"])

    write_result(tmp_path, made)

    assert read(tmp_path) == made


def test_a_series_without_a_value_has_no_histogram(tmp_path: Path) -> None:
    recorder = Recorder()
    recorder.histogram("capture")
    recorder.record_many_us("end_to_end", np.full(10, 1500, np.int64))

    write_histograms(tmp_path, "100-rows", recorder)

    (path,) = tmp_path.iterdir()
    assert path.name == "100-rows.end_to_end.hgrm"
    assert "Percentile" in path.read_text(encoding="utf-8")


def test_a_heat_map_of_nothing_is_no_file(tmp_path: Path) -> None:
    write_heat(tmp_path / "heat.json", HeatMap())

    assert list(tmp_path.iterdir()) == []


def test_samples_have_all_columns_and_are_empty_where_nothing_is_known(tmp_path: Path) -> None:
    write_samples(tmp_path / "samples.csv", [{"at_us": 1, "process": "gauges"}])

    with (tmp_path / "samples.csv").open(newline="", encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    assert tuple(row) == COLUMNS
    assert {name: text for name, text in row.items() if text} == {"at_us": "1", "process": "gauges"}


def test_nothing_stands_beside_locusts_files_where_they_are_not_asked_for(tmp_path: Path) -> None:
    for prefix in (None, ""):
        write_beside(prefix, result(), [])
    assert list(tmp_path.iterdir()) == []

    write_beside(str(tmp_path / "a"), result(), [moment(1)])
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "a_cdc_stats.csv",
        "a_cdc_timeline.csv",
    ]


@pytest.mark.parametrize("prefix", ["run", "run[1]", "my_cdc_run", "größe*?", "a,b#c"])
def test_locusts_own_files_are_copied_whatever_their_prefix_is(tmp_path: Path, prefix: str) -> None:
    place = tmp_path / "place"
    place.mkdir()
    names = [f"{prefix}_{name}.csv" for name in ("stats", "failures", "cdc_stats")]
    for name in (*names, f"{prefix}x_stats.csv", f"other_{prefix}_stats.csv"):
        (tmp_path / name).write_text(name, encoding="utf-8")

    copy_locust_files(place, str(tmp_path / prefix), None)

    assert {path.name: path.read_text(encoding="utf-8") for path in place.iterdir()} == {
        f"locust-{name}": name for name in names[:2]
    }


def test_a_file_of_locusts_that_finds_no_room_is_told_and_the_others_are_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "place"
    place.mkdir()
    for name in ("run_failures.csv", "run_stats.csv"):
        (tmp_path / name).write_text(name, encoding="utf-8")
    copy = shutil.copy2

    def full(source: Path, copied: Path) -> None:
        copy(source, copied)
        if source.name == "run_failures.csv":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(shutil, "copy2", full)
    copy_locust_files(place, str(tmp_path / "run"), None)

    assert [path.name for path in place.iterdir()] == ["locust-run_stats.csv"]
    assert capsys.readouterr().err == (
        f"{tmp_path / 'run_failures.csv'} cannot be copied to {place}: No space left on device\n"
    )


def test_a_page_of_locusts_stays_whole_if_there_is_no_room_for_the_link(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    html = tmp_path / "locust.html"
    html.write_text("<body>all of it", encoding="utf-8")
    write = Path.write_text

    def full(path: Path, text: str, **how: str) -> int:
        write(path, text[:5], **how)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_text", full)
    link_report(str(html), tmp_path / "place")

    assert html.read_text(encoding="utf-8") == "<body>all of it"
    assert [path.name for path in tmp_path.iterdir()] == ["locust.html"]
    assert "gets no link to the CDC report: No space left on device" in capsys.readouterr().err


def test_a_page_of_locusts_that_is_not_there_is_not_missed(tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.mkdir()

    copy_locust_files(place, None, str(tmp_path / "none.html"))
    link_report(str(tmp_path / "none.html"), place)

    assert list(place.iterdir()) == []
    assert not (tmp_path / "none.html").exists()


def test_locusts_page_leads_to_ours_from_where_it_lies(tmp_path: Path) -> None:
    place, html = tmp_path / "results" / "a b#1", tmp_path / "pages" / "run.html"
    for directory_ in (place, html.parent):
        directory_.mkdir(parents=True)
    html.write_text("<html><body>one<body>two</html>", encoding="utf-8")

    link_report(str(html), place)
    copy_locust_files(place, None, str(html))

    text = html.read_text(encoding="utf-8")
    assert text.count('href="../results/a%20b%231/report.html"') == 1
    assert text.startswith("<html><body>\n<p ")
    assert text.endswith("one<body>two</html>")
    assert (place / "locust-run.html").read_text(encoding="utf-8") == text


def test_when_is_told_by_utc_and_how_busy_it_was() -> None:
    told = when(RunTime(NOON, 12.345, 0.456))

    assert (told["began"], told["took_s"]) == ("2026-03-01 10:00:05 UTC", 12.3)
    load = told["load_average"]
    assert isinstance(load, dict)
    assert load["begin"] == 0.46
    assert math.isfinite(load["end"])


def test_an_environment_names_variables_and_keeps_their_values_to_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PGPASSWORD", "hush-hush")

    told = environment({"kafka": "4"}, {"rate": 5})

    assert "hush-hush" not in json.dumps(told)
    assert told["servers"] == {"kafka": "4"}
    assert told["options"] == {"rate": 5}
    assert "PGPASSWORD" in str(told["variables"])


def test_without_git_there_is_no_revision(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert environment({}, {})["revision"] is None

    git = tmp_path / "git"
    git.write_text("#!/bin/sh\nexit 128\n", encoding="utf-8")
    git.chmod(git.stat().st_mode | stat.S_IXUSR)
    assert environment({}, {})["revision"] is None

    git.write_text("#!/bin/sh\necho abc-dirty\n", encoding="utf-8")
    assert environment({}, {})["revision"] == "abc-dirty"


def test_a_git_that_does_not_answer_keeps_no_result(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    git = tmp_path / "git"
    git.write_text("#!/bin/sh\nexec /bin/sleep 600\n", encoding="utf-8")
    git.chmod(git.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(directories, "REVISION_S", 0.2)

    assert environment({}, {})["revision"] is None


def test_a_run_that_began_in_another_zone_sorts_by_its_moment(tmp_path: Path) -> None:
    later = directory(tmp_path, "a", "2", NOON.astimezone(UTC) + timedelta(seconds=1))

    assert directory(tmp_path, "a", "1", NOON).name < later.name


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A `git` first on PATH that writes down its environment and names a revision."""
    seen = tmp_path / "environment"
    program = tmp_path / "git"
    program.write_text(f"#!/bin/sh\nenv > '{seen}'\necho 0123456789ab\n", encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    return seen


def test_git_is_asked_for_this_checkouts_revision_whatever_the_environment_names(
    asked: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_DIR", "/somewhere/else/.git")
    monkeypatch.setenv("PGPASSWORD", "kept-to-ourselves")
    found = environment({}, {})
    assert found["revision"] == "0123456789ab"
    told = asked.read_text(encoding="utf-8")
    assert "GIT_DIR" not in told
    assert "kept-to-ourselves" not in told
