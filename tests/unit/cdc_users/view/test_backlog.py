"""What waits at each stage, in words with units."""

from __future__ import annotations

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
