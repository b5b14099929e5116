"""Rates through the stages follow from conservation, and means sum."""

from __future__ import annotations

import pytest

from cdc_users.view import backlog, stages
from tests.unit.made_result import result
from tests.unit.made_run import MadeRun, moment

pytestmark = pytest.mark.gevent


def test_rates_follow_from_what_each_stage_has_passed_on() -> None:
    first = moment(
        1, sent=100, delivered=50, backlog=50, queue_depth=10, in_flight=10, consumer_lag=20
    )
    last = moment(
        3, sent=300, delivered=150, backlog=150, queue_depth=30, in_flight=10, consumer_lag=60
    )

    assert stages.flow([first, last]) == {
        "source": 100.0,
        "capture": 80.0,
        "topic": 80.0,
        "platform": 60.0,
        "sink": 50.0,
    }


def test_what_is_not_known_has_no_rate_and_no_backlog() -> None:
    dark = [
        moment(second, queue_depth=None, in_flight=None, consumer_lag=None) for second in (1, 2)
    ]

    assert stages.flow(dark)["platform"] is None
    assert backlog.backlog(dark)["topic"] == "–"


def test_the_split_comes_from_the_sink_and_then_from_the_result() -> None:
    run = MadeRun()
    running = dict(stages.split_ms(run))["step-1"]
    run.result = result()

    assert (
        running
        == dict(stages.split_ms(run))["step-1"]
        == {"commit": 2.0, "capture": 5.0, "fetch": 1.0, "queue": 1.0, "sink_write": 1.0}
    )
