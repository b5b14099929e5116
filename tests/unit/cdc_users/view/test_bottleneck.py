"""The narrow stage is named, with the sentence that says why."""

from __future__ import annotations

from typing import Any

import pytest

from cdc_users.view import bottleneck
from tests.unit.made_run import moment

pytestmark = pytest.mark.gevent


def seconds(**changes: Any) -> list[Any]:
    return [moment(second, **changes) for second in range(1, 6)]


def slow(**stages_ms: float) -> dict[str, float]:
    return {
        "mean_ms": sum(stages_ms.values()),
        **{f"{name}_ms": value for name, value in stages_ms.items()},
    }


def test_a_quick_pipeline_has_no_bottleneck() -> None:
    found = bottleneck.bottleneck(seconds())

    assert found.stage is None
    assert found.words.startswith(
        "The pipeline keeps up. Its longest stage is capture: 5.0 of 10.0 ms"
    )


@pytest.mark.parametrize(
    ("part", "paused", "stage"),
    [
        ("commit", 0, "source"),
        ("capture", 0, "capture"),
        ("fetch", 0, "platform"),
        ("fetch", 2, "sink"),
        ("queue", 0, "sink"),
        ("sink_write", 0, "sink"),
    ],
)
def test_the_stage_that_makes_events_wait_is_named(part: str, paused: int, stage: str) -> None:
    means = {
        "commit": 1.0,
        "capture": 1.0,
        "fetch": 1.0,
        "queue": 1.0,
        "sink_write": 1.0,
        part: 500.0,
    }
    found = bottleneck.bottleneck(seconds(paused_partitions=paused, **slow(**means)))

    assert found.stage == stage
    assert "500.0 of 504.0 ms end to end (99%)" in found.words


def test_a_growing_backlog_makes_even_a_quick_stage_the_bottleneck() -> None:
    found = bottleneck.bottleneck([moment(second, backlog=50 * second) for second in range(1, 6)])

    assert found.stage == "capture"
    assert "the backlog of 250 events grows" in found.words


def test_a_backlog_that_falls_again_does_not_grow() -> None:
    assert not bottleneck.grows(
        [moment(second, backlog=backlog) for second, backlog in enumerate((0, 90, 300, 120), 1)]
    )


def test_nothing_arriving_is_said() -> None:
    assert "Nothing has arrived" in bottleneck.bottleneck(seconds(mean_ms=None)).words
    assert "Nothing has arrived" in bottleneck.bottleneck([]).words
