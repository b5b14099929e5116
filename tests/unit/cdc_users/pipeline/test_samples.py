"""What the platform held in a step is read from its samples: the step's own, and never less than
it was.
"""

from __future__ import annotations

import pytest

from cdc_users.measure.contract import (
    ConsumerTelemetry,
    PartitionTelemetry,
    PlatformTelemetry,
    TelemetrySample,
)
from cdc_users.pipeline.samples import SampleLog
from cdc_users.pipeline.telemetry import advance, merged_snapshot


def samples(*held: int, every_us: int = 100) -> list[TelemetrySample]:
    """Samples that were taken when nothing was held any more;

    `held` is what had been held before each.
    """
    return [
        TelemetrySample(number=number, at_us=every_us * number, high_water=most)
        for number, most in enumerate(held, start=1)
    ]


@pytest.mark.parametrize(
    ("start_us", "end_us", "most"),
    [
        (0, 200, 7),
        (250, 400, 3),
        # A step may begin and end between two samples.
        (410, 420, 9),
        # A sample at the very end is of the time before it.
        (210, 300, 3),
        (600, 700, None),
    ],
)
def test_a_step_has_the_most_that_was_held_in_it(
    start_us: int, end_us: int, most: int | None
) -> None:
    log = SampleLog(platform={"one": samples(5, 7, 3, 1, 9)})

    assert log.high_water(start_us, end_us) == most


def test_instances_are_bounded_each_for_itself() -> None:
    assert SampleLog(platform={"one": samples(5), "two": samples(8)}).high_water(0, 100) == 8
    assert SampleLog().high_water(0, 100) is None


def test_what_a_platform_of_the_users_own_does_not_tell_is_what_its_samples_saw() -> None:
    seen = [TelemetrySample(number=1, at_us=100, queue_depth=4, in_flight=2)]

    assert SampleLog(platform={"own": seen}).high_water(0, 100) == 6


def test_a_span_is_sampled_when_every_instance_has_a_later_sample() -> None:
    log = SampleLog(platform={"one": samples(5, 7), "two": samples(5), "silent": []})

    assert log.reaches(["one", "silent", "unheard"], 200)
    assert not log.reaches(["one", "two"], 200)


def test_a_steps_events_are_how_far_its_partitions_came() -> None:
    def positions(**durable: int | None) -> dict[str, int]:
        partitions = {name: PartitionTelemetry(durable=count) for name, count in durable.items()}
        consumer = ConsumerTelemetry(partitions=partitions)
        return merged_snapshot([PlatformTelemetry(steps={}, consumer=consumer)]).positions

    assert advance(positions(a=10, b=None), positions(a=25, b=4, c=1)) == [15, 4, 1]
    assert advance(None, positions(a=1)) == advance(positions(a=1), None) == []
