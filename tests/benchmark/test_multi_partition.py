"""Scaling over partitions:

1, 4 and 8, one worker each; waits overlap, work of the processor does not.
"""

from __future__ import annotations

from tests.benchmark.scenario_process import run_scenario


def test_throughput_scales_with_partitions_where_the_sink_waits() -> None:
    finished = run_scenario("partitions")

    assert finished.exit_code == 0, str(finished)
    points = {
        (point["sink"], point["partitions"]): point
        for point in finished.result["scaling"]["points"]
    }
    assert set(points) == {
        (sink, partitions) for sink in ("waiting", "counting") for partitions in (1, 4, 8)
    }
    assert points["waiting", 4]["speed_up"] > 3
    assert points["waiting", 8]["speed_up"] > points["waiting", 4]["speed_up"]
