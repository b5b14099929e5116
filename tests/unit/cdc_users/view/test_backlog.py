"""What waits at each stage, in words with units."""

from __future__ import annotations

import dataclasses

import pytest

from cdc_users.view import backlog
from tests.unit.made_run import moment

pytestmark = pytest.mark.gevent


def test_events_before_the_topic_are_captures_backlog() -> None:
    held = {"queue_depth": 10, "in_flight": 10}
    now = moment(
        1, sent=100, delivered=40, backlog=60, **held, consumer_lag=20, slot_lag_bytes=2_500_000
    )

    assert backlog.backlog([now])["capture"] == "20 events, 2.5 MB"


def test_delivered_events_that_are_not_committed_do_not_wait_in_the_topic() -> None:
    assert (
        backlog.backlog([moment(1, backlog=3, in_flight=1, consumer_lag=66)])["topic"] == "2 events"
    )
    assert backlog.backlog([moment(1, backlog=0, consumer_lag=66)])["topic"] == "0 events"


def test_a_backlog_has_a_word_for_each_stage() -> None:
    now = moment(
        1,
        offered=2_500,
        completed=1_000,
        failed=100,
        sent=1_000,
        delivered=400,
        backlog=600,
        queue_depth=200,
        in_flight=50,
        consumer_lag=300,
        paused_partitions=2,
        slot_lag_bytes=None,
    )

    assert backlog.backlog([moment(0), now]) == {
        "source": "1,400 arrivals",
        "capture": "50 events",
        "topic": "300 events",
        "platform": "200 events, 2 paused",
        "sink": "50 events",
    }


def test_nothing_waits_where_figures_cross_on_their_way() -> None:
    """GIVEN answers of one second that do not fit each other: more is held than was sent."""
    now = moment(1, offered=5, completed=6, failed=0, sent=3, delivered=2, backlog=1)
    ahead = dataclasses.replace(now, queue_depth=9, in_flight=3, consumer_lag=4)

    assert backlog.waiting(ahead) == 0
    told = backlog.backlog([ahead])
    assert (told["source"], told["topic"]) == ("0 arrivals", "0 events")
    assert told["capture"].startswith("0 events")


def test_what_is_not_known_is_not_called_nothing() -> None:
    dark = moment(1, queue_depth=None, in_flight=None, consumer_lag=None, slot_lag_bytes=None)

    assert backlog.held(dark) == 0
    assert backlog.waiting(dark) is None
    assert backlog.positions(dark) == {
        "source": 100,
        "capture": None,
        "topic": None,
        "platform": None,
        "sink": 100,
    }
    assert backlog.positions(moment(1, consumer_lag=None)) | {"capture": None} == {
        "source": 100,
        "capture": None,
        "topic": None,
        "platform": 100,
        "sink": 100,
    }
    assert backlog.backlog([dark]) | {"source": ""} == dict.fromkeys(
        ("capture", "topic", "platform", "sink"), "–"
    ) | {"source": ""}


def test_before_the_first_second_nothing_is_known_of_any_stage() -> None:
    assert set(backlog.backlog([]).values()) == {"–"}


def test_a_queue_alone_is_held_too() -> None:
    assert backlog.held(moment(1, queue_depth=3, in_flight=None)) == 3
    assert backlog.held(moment(1, queue_depth=None, in_flight=4)) == 4
