"""What was asked for is read once, and handed on to the run."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

import pytest
from locust import argument_parser

from cdc_users.error import OptionsError
from cdc_users.options.options import OPTIONS
from cdc_users.options.proposal import Proposal, propose
from cdc_users.run.locust import command_line, options
from cdc_users.run.locust.command_line import CommandLine
from locustfiles.latency import LatencyShape
from locustfiles.throughput import ThroughputShape

pytestmark = pytest.mark.gevent


def namespace(**given: Any) -> Namespace:
    return Namespace(**{option.name: "" for option in OPTIONS} | given)


def test_a_run_starts_with_the_steps_that_were_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []

    def counted(shape: Any, source: Any) -> Proposal:
        asked.append(shape)
        return propose(shape, source)

    monkeypatch.setattr(command_line, "propose", counted)
    ours, shape, parsed = CommandLine(), ThroughputShape, namespace(rows="10")

    checked = ours.proposal(shape, parsed)

    assert ours.proposal(shape, parsed) is checked
    assert ours.take(shape, parsed) is checked
    assert len(asked) == 1


def test_the_next_run_is_read_again_and_so_is_one_of_another_scenario() -> None:
    ours = CommandLine()
    ours.take(ThroughputShape, namespace(rows="10"))
    ours.prepare(ThroughputShape, {"rows": "15"})

    assert ours.proposal(LatencyShape, namespace(sinks="counting")).scenario.name == "latency"
    assert ours.take(ThroughputShape, namespace(rows="20")).options.rows == (20,)


def test_options_that_cannot_be_are_told_each_time() -> None:
    ours = CommandLine()

    for _ in range(2):
        with pytest.raises(OptionsError, match="--rate needs --duration"):
            ours.proposal(ThroughputShape, namespace(rate="5"))


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"run_time": 30, "rate": "5"}, []),
        ({"run_time": None}, []),
        ({"run_time": 30}, ["--run-time 30s needs --rate"]),
        ({"run_time": 30, "rate": "5", "duration": "1s"}, ["does nothing beside --duration"]),
        ({"run_time": 30, "stages": "5/s:1s"}, ["does nothing beside --stages"]),
    ],
)
def test_a_run_time_is_the_duration_of_a_rate_that_has_none(
    given: dict[str, Any], told: list[str]
) -> None:
    parsed = namespace(**given)

    found = options.run_time(parsed, "throughput", {})

    assert [part in mistake for part, mistake in zip(told, found, strict=True)] == [True] * len(
        told
    )
    if given == {"run_time": 30, "rate": "5"}:
        assert (parsed.duration, parsed.run_time) == ("30s", None)


def test_an_empty_variable_of_ours_is_none_and_others_are_left_alone() -> None:
    parser = argument_parser.get_parser()

    given = {"CDC_RATE": " ", "CDC_SINK": "slow", "OTHER": ""}

    assert command_line._without_empty(given, OPTIONS) == {"CDC_SINK": "slow", "OTHER": ""}
    parsed = parser.parse_args([])
    assert {getattr(parsed, option.name) for option in OPTIONS} == {""}
