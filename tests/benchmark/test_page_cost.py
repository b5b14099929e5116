"""What an open page takes of its master: processor time for each second of a run, at one look a
second.

Unit of work: one second of a run of 1,000 events/s that has lasted a day, counted into the heat map
and told to a page that knows all seconds but the last. Beside it the same of a run that has lasted
a minute. Run by `make bench-micro`, or by itself; no server is needed.
"""

from __future__ import annotations

import time

import orjson
import pytest

from cdc_users.measure.latency.heat_map import HeatMap
from cdc_users.measure.latency.histogram import LatencyHistogram
from cdc_users.view.web.state import state
from tests.unit.made_run import MadeRun, moment

pytestmark = pytest.mark.micro

MINUTE_S, DAY_S = 60, 86_400
LOOKS = 200
#: Of one core, at one look a second.
MOST_SHARE = 0.02
#: How much more the same look may cost after a day.
MOST_GROWTH = 3.0


def arrived() -> LatencyHistogram:
    """The latencies of one second's events."""
    latencies = LatencyHistogram()
    for event in range(1000):
        latencies.record_us(5000 + 37 * event)
    return latencies


def run_of(seconds: int, latencies: LatencyHistogram) -> MadeRun:
    heat = HeatMap()
    for second in range(0, seconds, max(1, seconds // 1000)):
        heat.add(float(second), latencies)
    return MadeRun(moments=[moment(second) for second in range(1, seconds + 1)], heat=heat)


def share(run: MadeRun, latencies: LatencyHistogram) -> float:
    """Seconds of processor time that a second of this run takes."""
    known, at_s = len(run.moments) - 1, float(len(run.moments))
    began_s = time.process_time()
    for _ in range(LOOKS):
        run.heat.add(at_s, latencies)
        orjson.dumps(state(run, run.id, known))
    return (time.process_time() - began_s) / LOOKS


def test_a_page_on_a_run_of_a_day_takes_less_than_two_percent_of_a_core() -> None:
    latencies = arrived()
    minute, day = run_of(MINUTE_S, latencies), run_of(DAY_S, latencies)
    told = state(day, day.id, DAY_S - 1)
    of_minute, of_day = share(minute, latencies), share(day, latencies)
    print(
        f"\none look a second takes {of_minute:.2%} of a core after a minute, {of_day:.2%} after a"
        f" day ({of_day / of_minute:.2f} times as much); {len(orjson.dumps(told)):,} bytes"
    )

    assert (told["first"], told["count"]) == (DAY_S - 1, DAY_S)
    assert of_day < MOST_SHARE
    assert of_day / of_minute < MOST_GROWTH
