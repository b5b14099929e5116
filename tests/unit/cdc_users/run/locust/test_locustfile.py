"""Which locustfile is refused before Locust reads it, and when nothing is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from cdc_users.run.locust.locustfile import is_locust, mistakes


@pytest.mark.parametrize(
    ("words", "locust"),
    [
        (["python", "/x/bin/locust", "-f", "a.py"], True),
        (["/x/bin/python", "-m", "locust"], True),
        (["python", "-m", "pytest", "tests/locust"], False),
        (["python", "-m", "cdc_users.bench"], False),
        (["python", "bench.py", "a", "locust"], False),
    ],
)
def test_only_locust_itself_is_looked_at(words: list[str], locust: bool) -> None:
    assert is_locust(words) is locust


@pytest.mark.parametrize(
    "words", ["-f a.py", "-f a", "-f folder", "-fa.py", "--locustfile=a.py,folder", "-f -"]
)
def test_a_locustfile_that_is_there_is_none_of_our_business(words: str, tmp_path: Path) -> None:
    (tmp_path / "a.py").touch()
    (tmp_path / "folder").mkdir()

    assert mistakes(words.split(), {}, tmp_path) == []


@pytest.mark.parametrize("words", ["-f b.py", "-f notes.md", "--locustfile a.py,b.py", "-fb"])
def test_one_that_is_not_is_told_with_those_that_could_be_named(words: str, tmp_path: Path) -> None:
    (tmp_path / "a.py").touch()
    (tmp_path / "notes.md").touch()

    (told,) = mistakes(words.split(), {}, tmp_path)

    assert "is no locustfile" in told
    assert "throughput.py" in told


def test_none_at_all_is_told_unless_it_may_be_named_elsewhere(tmp_path: Path) -> None:
    assert mistakes(["--headless"], {}, tmp_path)[0].startswith("no locustfile is named")
    assert "b.py is no" in mistakes([], {"LOCUST_LOCUSTFILE": "b.py"}, tmp_path)[0]
    for elsewhere in ("--help", "-V", "--config=x.conf", "--worker"):
        assert mistakes([elsewhere], {}, tmp_path) == []
    (tmp_path / "pyproject.toml").write_text("[tool.locust]\nlocustfile = 'x.py'\n")
    assert mistakes([], {}, tmp_path) == []


def test_a_user_of_whom_nothing_is_known_has_no_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(_: int) -> None:
        raise KeyError

    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr("pwd.getpwuid", unknown)

    assert mistakes(["--headless"], {}, tmp_path)[0].startswith("no locustfile is named")


@pytest.mark.parametrize("name", ["locust.conf", ".locust.conf", "locustfile.py"])
@pytest.mark.parametrize("at_home", [True, False])
def test_what_locust_looks_for_by_itself_is_left_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, at_home: bool
) -> None:
    home, here = tmp_path / "home", tmp_path / "here"
    for place in (home, here):
        place.mkdir()
    monkeypatch.setenv("HOME", str(home))
    ((home if at_home else here) / name).touch()

    told = mistakes(["--headless"], {}, here)

    assert bool(told) is (at_home and name == "locustfile.py")


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (b"[tool.locust]\n", True),
        (b"[tool.ruff]\n", False),
        (b"# caf\xe9\n[tool.locust]\n", True),
        (b"", False),
    ],
)
def test_a_project_may_name_its_locustfile_in_whatever_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: bytes, named: bool
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "nowhere"))
    (tmp_path / "pyproject.toml").write_bytes(text)

    assert bool(mistakes([], {}, tmp_path)) is not named


def test_the_environment_is_asked_only_where_the_command_line_says_nothing(tmp_path: Path) -> None:
    (tmp_path / "größe, 1.py").touch()
    (tmp_path / "a.py").touch()

    assert mistakes(["-f", "a.py"], {"LOCUST_LOCUSTFILE": "none.py"}, tmp_path) == []
    assert mistakes([], {"LOCUST_LOCUSTFILE": " a.py , https://h/b.py"}, tmp_path) == []
