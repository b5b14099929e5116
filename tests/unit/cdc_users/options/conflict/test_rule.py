"""What holds for every rule: it is silent where nothing is wrong, and about what could not be
read.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc_users.options.conflict.rule import by_reader, capture_of, is_direct, runs_already
from cdc_users.options.options import BY_NAME, OPTIONS

RULES = [(option.name, rule) for option in OPTIONS for rule in option.rules]


#: What makes other rules look than the defaults do; each is right as a whole.
RIGHT: tuple[dict[str, Any], ...] = (
    {},
    {"rows": None, "rate": 5.0, "duration": 10.0},
    {"table": "public.t", "keep_rows": True, "probe_column": "mark"},
    {"table": "public.t", "topic": "t", "connector": "mine"},
    {"capture": "wal", "transport": "kinesis", "kinesis_endpoint": "http://127.0.0.1:1"},
    {"source": "topic", "evolve_at": 5.0},
    {"platform": "none", "sink_tap": "webhook:8080", "group": "g"},
    {"key_skew": 0.5, "mix": (1, 1, 1)},
)


def right(more: dict[str, Any]) -> dict[str, Any]:
    """The defaults of all options, with a load, as a run without options has them; a capture as
    rules get it, one at a time.
    """
    values = {option.name: option.value(option.default) for option in OPTIONS}
    return {**values, "rows": (100,), "capture": "debezium", **more}


@given(st.sampled_from(RIGHT), st.sets(st.sampled_from(sorted(BY_NAME))))
def test_no_rule_says_a_word_of_values_that_are_missing(
    more: dict[str, Any], missing: set[str]
) -> None:
    """GIVEN options that are right together, some of which could not be read."""
    values = {name: value for name, value in right(more).items() if name not in missing}

    assert [told for _, rule in RULES for told in rule(values)] == []


@pytest.mark.parametrize("name", sorted(BY_NAME))
def test_nor_of_any_single_one(name: str) -> None:
    for more in RIGHT:
        values = right(more)
        del values[name]

        assert [told for _, rule in RULES for told in rule(values)] == []


def test_every_rule_is_silent_where_nothing_could_be_read() -> None:
    assert [told for _, rule in RULES for told in rule({})] == []


@pytest.mark.parametrize(
    ("capture", "transport", "sink", "reader", "direct", "foreign"),
    [
        ("debezium", "kafka", "counting", False, False, False),
        ("wal", "kinesis", "counting", True, True, False),
        ("wal", "kafka", "postgres", True, False, False),
        ("none", "kafka", "counting", True, True, True),
        ("unreadable", "kafka", "counting", False, False, False),
    ],
)
def test_what_a_capture_is(
    capture: str, transport: str, sink: str, reader: bool, direct: bool, foreign: bool
) -> None:
    values = {"capture": capture, "transport": transport, "sink": sink}

    assert (capture_of(values) is None) is (capture == "unreadable")
    assert by_reader(values) is reader
    assert is_direct(values) is direct
    assert runs_already(values) is foreign
