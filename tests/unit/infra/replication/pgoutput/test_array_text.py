"""Arrays and ranges as PostgreSQL writes them: every text comes back, and nothing else is read."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.replication.pgoutput.array_text import DEEPEST, read_array, read_range

#: What must be quoted or escaped, and what only looks so.
texts = st.text(st.sampled_from('ab{}(),[]"\\ =NUL\n\u00e4\u2028'), max_size=6)


def written(value: Any) -> str:
    """As array_out writes it: quoted wherever it could be taken for something else."""
    if value is None:
        return "NULL"
    if isinstance(value, list):
        return "{" + ",".join(map(written, value)) + "}"
    plain = value and value.upper() != "NULL" and not set(value) & set('{},"\\ \n')
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return value if plain else f'"{escaped}"'


def bound(text: str | None) -> str:
    """As range_out writes it: quotes and backslashes doubled."""
    if text is None:
        return ""
    doubled = text.replace("\\", "\\\\").replace('"', '""')
    return f'"{doubled}"'


@given(st.recursive(st.lists(st.one_of(st.none(), texts), min_size=1, max_size=4), st.lists))
def test_texts_of_any_characters_come_back(value: list[Any]) -> None:
    if _depth(value) > DEEPEST or _holds_empty(value):
        return
    assert read_array(written(value), str) == value


def _depth(value: Any) -> int:
    return 1 + max(map(_depth, value), default=0) if isinstance(value, list) else 0


def _holds_empty(value: Any) -> bool:
    """PostgreSQL has no array of empty arrays."""
    return isinstance(value, list) and (not value or any(map(_holds_empty, value)))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{}", []),
        ("{a}", ["a"]),
        ('{""}', [""]),
        ("{NULL}", [None]),
        ('{"NULL"}', ["NULL"]),
        ("{null}", ["null"]),
        ("{NULLS}", ["NULLS"]),
        ('{"a,b","c}d"}', ["a,b", "c}d"]),
        ("[2:3]={a,b}", ["a", "b"]),
        ("[-1:0][5:5]={{a},{b}}", [["a"], ["b"]]),
        ('{"[1:2]={x}"}', ["[1:2]={x}"]),
        ("{" * 6 + "a" + "}" * 6, [[[[[["a"]]]]]]),
    ],
)
def test_an_array_is_read_as_it_is_meant(text: str, value: list[Any]) -> None:
    assert read_array(text, str) == value


@pytest.mark.parametrize(
    "text",
    [
        "a",
        "NULL",
        "{}{}",
        "{a}b",
        "{a}}",
        "{{a}",
        "{a,,b}",
        "{a,}",
        "{,}",
        '{"a',
        '{"a"b}',
        '{a"b"}',
        '{"a\\"}',
        "[1:2]",
        "[1:2={a}",
        "[1]={a}",
        " {a}",
        "{" * 7 + "a" + "}" * 7,
        "{" * 100_000,
    ],
    ids=lambda text: text[:12],
)
def test_what_is_no_array_is_an_error_and_no_guess(text: str) -> None:
    with pytest.raises(ValueError, match=r"array|element"):
        read_array(text, str)


def test_every_element_is_converted_but_a_null() -> None:
    assert read_array('{1,NULL,"2"}', int) == [1, None, 2]
    with pytest.raises(ValueError, match="invalid literal"):
        read_array("{1,x}", int)


@given(st.one_of(st.none(), texts), st.one_of(st.none(), texts))
def test_bounds_of_any_characters_come_back(lower: str | None, upper: str | None) -> None:
    assert read_range(f"[{bound(lower)},{bound(upper)})") == (lower, upper)


@pytest.mark.parametrize(
    ("text", "bounds"),
    [
        ("empty", None),
        ("(,)", (None, None)),
        ("[1,2]", ("1", "2")),
        ('["",a)', ("", "a")),
        ("(-infinity,infinity)", ("-infinity", "infinity")),
        ('["2026-01-01 00:00:00",)', ("2026-01-01 00:00:00", None)),
        ('[empty,"empty"]', ("empty", "empty")),
    ],
)
def test_a_range_is_read_as_it_is_meant(
    text: str, bounds: tuple[str | None, str | None] | None
) -> None:
    assert read_range(text) == bounds


@pytest.mark.parametrize(
    "text", ["", "Empty", "[]", "[1]", "1,2", "[1,2", "[1,2,3)", "[1,2)x", '["a,b)', " [1,2)", "{}"]
)
def test_what_is_no_range_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match="is no range"):
        read_range(text)
