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
