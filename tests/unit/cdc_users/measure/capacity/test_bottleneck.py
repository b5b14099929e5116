"""The stage before which events pile up is named, and the busiest of those that it may be."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc_users.measure.capacity.bottleneck import (
    BEFORE,
    OF_PART,
    STAGES,
    StageFigures,
    limit_of,
    true_rates,
)
from cdc_users.measure.latency.series import PARTS

FIGURES = StageFigures(
    rate_per_s=1000.0,
    growth={"source": 0.0, "slot": 0.0, "capture": 0.0, "topic": 0.0, "queue": 0.0},
    busy={"source": 0.2, "walsender": 0.1, "capture": 0.6, "consumer": 0.4, "sink": 0.3},
    waits_ms={"commit": 2.0, "capture": 5.0, "fetch": 1.0, "queue": 1.0, "sink_write": 1.0},
    broker_answer_ms=2.0,
)


@pytest.mark.parametrize(
    ("place", "busy", "answer_ms", "stage"),
    [
        ("source", {}, 2.0, "source"),
        ("capture", {"capture": 0.9}, 2.0, "capture"),
        ("capture", {"walsender": 0.99, "capture": 0.7}, 2.0, "walsender"),
        ("capture", {}, 2.0, "capture"),
        ("capture", {"capture": 0.9}, 500.0, "broker"),
        ("slot", {"walsender": 0.99}, 2.0, "walsender"),
        ("topic", {"consumer": 0.97, "sink": 0.5}, 2.0, "consumer"),
        ("topic", {"consumer": 0.3, "sink": 0.99}, 2.0, "sink"),
        ("queue", {"sink": 0.99}, 2.0, "sink"),
    ],
)
def test_the_stage_before_which_events_pile_up_is_named(
    place: str, busy: dict[str, float], answer_ms: float, stage: str
) -> None:
    figures = replace(
        FIGURES,
        growth={**FIGURES.growth, place: 0.2},
        busy={**FIGURES.busy, **busy},
        broker_answer_ms=answer_ms,
    )

    found = limit_of(figures)

    assert (found.stage, found.place) == (stage, place)
    assert "200 events/s pile up" in found.words
    assert STAGES[stage] in found.words


def test_a_slot_that_grows_with_the_captures_backlog_is_the_same_backlog() -> None:
    found = limit_of(replace(FIGURES, growth={"slot": 0.9, "capture": 0.2}))

    assert (found.stage, found.place) == ("capture", "capture")


def test_where_nothing_piles_up_the_stage_is_where_events_spend_their_time() -> None:
    found = limit_of(FIGURES)

    assert (found.stage, found.place) == ("capture", None)
    assert "50% of their time" in found.words


@pytest.mark.parametrize(
    ("walsender", "answer_ms", "stage"), [(0.1, 500.0, "broker"), (0.99, 2.0, "walsender")]
)
def test_a_wait_between_commit_and_topic_is_not_always_the_captures(
    walsender: float, answer_ms: float, stage: str
) -> None:
    busy = {**FIGURES.busy, "walsender": walsender}

    found = limit_of(replace(FIGURES, busy=busy, broker_answer_ms=answer_ms))

    assert (found.stage, found.place) == (stage, None)


def test_a_stage_that_is_idle_holds_nothing_up() -> None:
    """GIVEN events that wait longest before a sink that is busy for 1 % of its time."""
    waits = {**FIGURES.waits_ms, "queue": 20.0}
    idle = {**FIGURES.busy, "sink": 0.01}

    found = limit_of(replace(FIGURES, waits_ms=waits, busy=idle))
    nothing = limit_of(replace(FIGURES, waits_ms={"queue": 20.0}, busy=idle))

    assert found.stage == "capture"
    assert (nothing.stage, nothing.words) == (None, "")


def test_where_nothing_is_known_no_stage_is_named() -> None:
    found = limit_of(StageFigures(1000.0, {}, {}, {}))

    assert (found.stage, found.words) == (None, "")


def test_a_machine_that_is_full_is_told_beside_the_stage() -> None:
    found = limit_of(replace(FIGURES, machine=0.99))

    assert "the machine's processors were 99% in use" in found.words
    assert "machine" not in limit_of(replace(FIGURES, machine=0.5)).words


def test_every_place_and_part_leads_to_a_stage() -> None:
    named = {stage for stages in BEFORE.values() for stage in stages}

    assert named == set(STAGES)
    assert set(OF_PART) == set(PARTS)
    assert set(OF_PART.values()) <= set(STAGES)


@given(st.floats(0.01, 1.0), st.floats(1, 1e6))
def test_a_true_rate_is_never_below_what_went_through(busy: float, rate_per_s: float) -> None:
    found = true_rates(StageFigures(rate_per_s, {}, {"sink": busy, "source": 0.0}, {}))

    assert set(found) == {"sink"}
    assert found["sink"] >= rate_per_s * (1 - 1e-9) - 0.1


def test_a_part_that_clocks_took_below_nothing_takes_no_share_from_the_others() -> None:
    """GIVEN 8 ms on the way, and a capture that came out at -4 ms THEN the sink has 6 of 8."""
    waits = {"commit": 1.0, "capture": -4.0, "fetch": 1.0, "queue": 0.0, "sink_write": 6.0}

    found = limit_of(replace(FIGURES, waits_ms=waits))

    assert found.stage == "sink"
    assert "events spend 75% of their time there" in found.words
    assert limit_of(replace(FIGURES, waits_ms={"capture": -4.0})).stage is None


def test_the_sentence_names_stage_use_place_and_machine() -> None:
    figures = replace(
        FIGURES,
        rate_per_s=12_345.0,
        growth={"queue": 0.1},
        busy={"sink": 1.02},
        machine=1.004,
    )

    assert limit_of(figures).words == (
        "The bottleneck is the sink, busy 100% of the time: 1,234 events/s pile up before it;"
        " the machine's processors were 100% in use"
    )


def test_a_stage_whose_use_is_not_known_is_named_without_it() -> None:
    found = limit_of(replace(FIGURES, growth={"source": 0.5}, busy={}))

    assert found.words == (
        "The bottleneck is the source (PostgreSQL's commits): 500 events/s pile up before it"
    )


@pytest.mark.parametrize(("share", "place"), [(0.005, None), (0.0051, "queue")])
def test_what_grows_by_half_a_percent_names_nobody(share: float, place: str | None) -> None:
    assert limit_of(replace(FIGURES, growth={"queue": share})).place == place


def test_a_place_that_no_stage_is_behind_names_nobody() -> None:
    assert limit_of(replace(FIGURES, growth={"elsewhere": 0.9})).place is None


def test_the_place_where_most_piles_up_comes_first() -> None:
    growth = {"source": 0.1, "topic": 0.3, "queue": 0.2}

    assert limit_of(replace(FIGURES, growth=growth)).place == "topic"
    assert limit_of(replace(FIGURES, growth={"slot": 0.9, "topic": 0.01})).place == "topic"
    assert limit_of(replace(FIGURES, growth={"slot": 0.9})).place == "slot"


@pytest.mark.parametrize(("busy", "stage"), [(0.85, "sink"), (0.84, "consumer")])
def test_a_stage_is_full_from_85_percent_on(busy: float, stage: str) -> None:
    figures = replace(FIGURES, growth={"topic": 0.2}, busy={"consumer": 0.5, "sink": busy})

    assert limit_of(figures).stage == stage


@pytest.mark.parametrize(
    ("answer_ms", "stage"), [(None, "capture"), (100.0, "capture"), (100.1, "broker")]
)
def test_a_broker_keeps_everybody_waiting_above_a_tenth_of_a_second(
    answer_ms: float | None, stage: str
) -> None:
    figures = replace(FIGURES, growth={"capture": 0.2}, broker_answer_ms=answer_ms)

    assert limit_of(figures).stage == stage


def test_a_slow_broker_is_not_why_a_sink_is_slow() -> None:
    figures = replace(FIGURES, growth={"queue": 0.2}, broker_answer_ms=900.0)

    assert limit_of(figures).stage == "sink"


@pytest.mark.parametrize(("machine", "told"), [(None, False), (0.949, False), (0.95, True)])
def test_a_machine_is_told_from_95_percent_on(machine: float | None, told: bool) -> None:
    for growth in ({}, {"queue": 0.2}):
        words = limit_of(replace(FIGURES, machine=machine, growth=growth)).words
        assert ("machine" in words) is told


def test_by_latency_the_wait_in_the_topic_is_the_consumers_doing() -> None:
    waits = {"fetch": 6.0, "capture": 2.0, "elsewhere": 100.0}

    found = limit_of(replace(FIGURES, waits_ms=waits))

    assert (found.stage, found.place) == ("consumer", None)
    assert found.words == (
        "The bottleneck is the platform's consumer, busy 40% of the time: events spend 75% of"
        " their time there, and nothing piles up"
    )


def test_true_rates_are_what_went_through_by_the_part_of_the_time() -> None:
    figures = StageFigures(300.0, {}, {"source": 0.5, "sink": 0.9, "capture": 0.0}, {})

    assert true_rates(figures) == {"source": 600.0, "sink": 333.3}
