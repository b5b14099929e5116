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
