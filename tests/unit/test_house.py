"""The house stays as docs/architecture.md draws it: small rooms, one way in, one name a thing."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.house import (
    MOST_ENTRIES,
    MOST_LOOSE,
    Source,
    circles,
    comments,
    entries,
    import_graph,
    long_files,
    loose,
    meanings,
    signatures,
    sources,
)

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def house() -> list[Source]:
    return sources(ROOT)


def test_no_folder_is_crowded(house: list[Source]) -> None:
    assert {name: count for name, count in entries(house).items() if count > MOST_ENTRIES} == {}


def test_no_file_is_longer_than_a_reader_likes(house: list[Source]) -> None:
    assert long_files(house) == {}


def test_no_module_imports_itself_by_way_of_others(house: list[Source]) -> None:
    assert circles(import_graph(house)) == []


def test_a_public_class_or_alias_has_one_meaning(house: list[Source]) -> None:
    assert meanings(house) == {}


def test_what_a_function_takes_can_be_kept_apart(house: list[Source]) -> None:
    assert signatures(house) == {}


def test_dictionaries_of_anything_stand_only_where_a_foreign_format_is_opened(
    house: list[Source],
) -> None:
    assert loose(house) <= MOST_LOOSE


def test_parameters_are_counted_without_self_and_with_keywords() -> None:
    text = """
class Thing:
    def five(self, a, b, c, *, d, e): ...
    def six(self, a, /, b, c, d, e, *, f): ...

def seven(a, b, c, d, e, f, g, *rest, **more): ...
"""
    found = [Source("infra/one.py", text), Source("tests/one.py", text)]

    assert signatures(found) == {"infra/one.py:six": 6, "infra/one.py:seven": 7}


def test_circles_and_several_meanings_are_found_where_they_are() -> None:
    found = [
        Source("infra/one.py", "import infra.two\n\nclass Thing: ...\n"),
        Source("infra/two.py", "from infra import one\n\nThing = int\n"),
        Source("infra/three.py", "from infra.one import Thing  # taken over, not made again\n"),
    ]

    assert circles(import_graph(found)) == [["infra.one", "infra.two"]]
    assert meanings(found) == {"Thing": ["infra.one", "infra.two"]}
    assert entries(found)["infra"] == 3
    assert comments(found) == pytest.approx(100 / 5)
