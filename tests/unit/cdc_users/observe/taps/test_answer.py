"""A receiver that a fault has taken hold of answers so, and as it should again afterwards."""

from __future__ import annotations

import pytest
import requests

from cdc_users.observe.taps.answer import ANSWERS
from tests.unit.cdc_users.observe.taps.test_webhook import counts, event, post, receiving


@pytest.mark.parametrize(("how", "status"), [("500", 500), ("429", 429)])
def test_a_refusal_applies_nothing_and_the_retry_does(how: str, status: int) -> None:
    with receiving() as (tap, url):
        tap.answer_as(how)
        assert post(url, [event(1)], "k-1") == status
        assert not tap.record.arrivals().steps

        tap.answer_as("")
        assert post(url, [event(1)], "k-1") == 200

    assert counts(tap) == (1, 0)


def test_too_many_requests_says_when_to_come_again() -> None:
    with receiving() as (tap, url):
        tap.answer_as("429")
        answer = requests.post(url, json=[event(1)], timeout=5)

    assert answer.headers["Retry-After"] == "1"


def test_one_that_hangs_applies_nothing() -> None:
    with receiving() as (tap, url):
        tap.answer_as("hang")
        with pytest.raises(requests.ReadTimeout):
            requests.post(url, json=[event(1)], timeout=0.3)
        assert not tap.record.arrivals().steps


def test_a_lost_answer_has_its_effect_and_the_retry_with_its_key_has_none() -> None:
    with receiving() as (tap, url):
        tap.answer_as("lost")
        with pytest.raises(requests.ConnectionError):
            post(url, [event(1)], "k-1")
        tap.answer_as("")
        assert post(url, [event(1)], "k-1") == 200

    assert counts(tap) == (1, 0)


def test_an_answer_that_is_none_is_refused() -> None:
    with receiving() as (tap, _), pytest.raises(KeyError):
        tap.answer_as("shout")
    assert "" in ANSWERS
