"""Java is given plain paths alone, and a link where a path is none."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from infra.stack.error import StackConfigError
from infra.stack.servers.plain_path import is_plain, link, meeting_place


@pytest.mark.parametrize(
    ("path", "plain"),
    [
        ("/home/a/x-y_z.1+2@3=4~", True),
        ("relative/a", True),
        ("/home/a b", False),
        ("/home/größe", False),
        ("/a,b", False),
        ("/a:b", False),
        ("/a;b", False),
        ("/a#b", False),
        ("/a%20b", False),
        ("/a\\b", False),
        ("/a$b", False),
        ("/a\n", False),
        ("/a\nb", False),
        ("/a'b", False),
        ("/a*b", False),
    ],
)
def test_a_path_is_plain_where_it_means_the_same_everywhere(path: str, plain: bool) -> None:
    assert is_plain(Path(path)) is plain


def test_places_are_reached_by_links_of_plain_names(tmp_path: Path) -> None:
    run, cache = tmp_path / "mit Umlauten: größe" / "run", tmp_path / "a,b#c"
    cache.mkdir()
    (cache / "kept").write_text("kept", encoding="utf-8")

    links = link(tmp_path / "meet", run=run, cache=cache)

    assert links == [tmp_path / "meet" / "run", tmp_path / "meet" / "cache"]
    assert (links[1] / "kept").read_text(encoding="utf-8") == "kept"
    (links[0] / "new").write_text("new", encoding="utf-8")
    assert (run / "new").exists()
    assert (tmp_path / "meet").stat().st_mode & 0o777 == 0o700


def test_a_place_that_is_there_already_is_not_trusted(tmp_path: Path) -> None:
    with pytest.raises(FileExistsError):
        link(tmp_path, run=tmp_path / "run")


def test_no_two_stacks_meet_in_one_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    assert meeting_place() != meeting_place()
    assert meeting_place().parent == tmp_path
    assert list(tmp_path.iterdir()) == []


def test_a_temporary_directory_that_is_no_plain_path_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/tmp/a b")

    with pytest.raises(StackConfigError) as told:
        meeting_place()

    assert "'/tmp/a b' can be given to Java" in str(told.value)
    assert str(told.value).endswith("; set TMPDIR to another directory")
