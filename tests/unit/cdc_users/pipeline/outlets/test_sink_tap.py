"""Several places where events come out of the user's own pipeline."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc_users.options.described import sink_tap_text
from cdc_users.pipeline.outlets.sink_tap import LAST, TAKEN, beside, checked, readable, sink_taps
from infra.stack.pipeline_file.section import TapSection

KINDS = st.sampled_from(
    [
        ("webhook", "80"),
        ("redis", "a;b > c"),
        ("topic", "t"),
        ("postgres", "a.b,c.d"),
        ("nats", "N"),
    ]
)


def test_one_tap_is_the_sink_whatever_signs_are_in_its_place() -> None:
    (tap,) = sink_taps(checked("redis:a; b > c"))
    assert (tap.name, tap.kind, tap.place, tap.behind) == (LAST, "redis", "a; b > c", False)


def test_the_last_tap_is_the_sink_and_the_others_are_named_by_their_kind() -> None:
    taps = sink_taps(checked("webhook:1; webhook:2; topic:t; webhook:3"))
    assert [tap.name for tap in taps] == ["webhook", "webhook-2", "topic-2", "sink"]


def test_a_name_that_the_user_gives_is_kept() -> None:
    taps = sink_taps(checked("sink=webhook:1;copy=postgres-log:a.b,c.d"))
    assert [(tap.name, tap.place) for tap in taps] == [("sink", "1"), ("copy", "a.b,c.d")]
    assert [tap.name for tap in sink_taps("sink=webhook:1; webhook:2")] == ["sink", "webhook"]


def test_events_pass_a_tap_only_on_their_own_way() -> None:
    taps = sink_taps(checked("topic:a > webhook:1; copy=postgres:x.y > redis:r"))
    assert beside(taps) == {
        "topic-2": frozenset(),
        "webhook": frozenset(),
        "copy": frozenset({"topic-2", "webhook"}),
        "sink": frozenset({"topic-2", "webhook"}),
    }


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("nowhere:x", "'nowhere:x' is not one of"),
        ("webhook:1; nats:", "'nats:' is not one of"),
        ("webhook:1; webhook:1", "webhook:1 is named 2 times"),
        ("a=webhook:1; a=webhook:2", "2 taps are named 'a'"),
        ("topic=webhook:1", "a tap named 'topic' is the run's own"),
        ("> webhook:1", "begins with a tap that is behind another"),
        ("webhook:1; postgres:x", "'x' is not SCHEMA.TABLE"),
        ("postgres:a.b,a.b", "names a table twice"),
        ("iceberg:p.s.a,q.s.b", "names two catalogs"),
    ],
)
def test_a_text_that_names_no_taps_is_refused(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        checked(text)


def test_what_can_be_read_of_a_wrong_text_is_read() -> None:
    assert [tap.kind for tap in readable("webhook:1; nats:")] == ["webhook"]
    assert readable("nonsense") == []


@given(
    st.lists(st.tuples(KINDS, st.booleans(), st.sampled_from(["", "n"])), min_size=1, max_size=5)
)
def test_a_file_and_a_command_line_mean_the_same_taps(
    told: list[tuple[tuple[str, str], bool, str]],
) -> None:
    sections = [
        TapSection(kind=kind, place=place, behind=behind and number > 0, name=name and f"n{number}")
        for number, ((kind, place), behind, name) in enumerate(told)
    ]
    taps = sink_taps(sink_tap_text(sections))

    assert [(tap.kind, tap.place, tap.behind) for tap in taps] == [
        (one.kind, one.place, one.behind) for one in sections
    ]
    assert all(one.name in ("", tap.name) for one, tap in zip(sections, taps, strict=True))
    assert len({*TAKEN, *(tap.name for tap in taps)}) == len(TAKEN) + len(taps)
