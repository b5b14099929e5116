"""Volumes and open loops: lanes are the same all through a run, or their numbers would overlap
between processes.
"""

from __future__ import annotations

import pytest

from cdc_users.measure.ledger.probe import LANES_PER_STEP
from cdc_users.options.options import resolve, texts
from cdc_users.run.assignment import Sharing
from cdc_users.scenario import Step, checked
from cdc_users.shapes.volume import VolumeShape
from locustfiles.latency import LatencyShape
from locustfiles.throughput import ThroughputShape

pytestmark = pytest.mark.gevent


def steps(shape: type[VolumeShape | LatencyShape], **given: str) -> tuple[Step, ...]:
    return checked(shape.steps(resolve(texts(given, shape.scenario.defaults))))


@pytest.mark.parametrize(
    ("shape", "given"),
    [
        (ThroughputShape, {"rows": "500,10000", "rows_per_transaction": "100", "lanes": "100"}),
        (ThroughputShape, {"stages": "1/s:5s,100/s:10s", "lanes": "100"}),
        (LatencyShape, {"sinks": "counting,slow", "records": "100000", "lanes": "100"}),
    ],
)
def test_no_two_processes_have_a_lane_number_in_common_in_any_step(
    shape: type[VolumeShape | LatencyShape], given: dict[str, str]
) -> None:
    found = steps(shape, **given)
    up = max(step.lanes for step in found)

    for step in found:
        first, second = Sharing(step.schedule, step.lanes).begin(["a", "b"]).values()
        assert first.first_lane + up <= second.first_lane <= LANES_PER_STEP - up


def test_no_more_lanes_are_up_than_the_largest_step_has_arrivals() -> None:
    assert [step.lanes for step in steps(ThroughputShape, rows="3,5", lanes="8")] == [5, 5]
