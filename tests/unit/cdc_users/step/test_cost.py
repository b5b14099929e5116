"""Samples of processes become the cost of a step."""

from __future__ import annotations

from cdc_users.observe.message import GaugeSample, ProcessSample
from cdc_users.step.cost import SERVERS, step_cost


def sample(at_s: float, **cpu_s: float) -> GaugeSample:
    processes = {
        name: ProcessSample(
            processes=1, cpu_s=value, rss_bytes=10**7, uss_bytes=10**7, written_bytes=0
        )
        for name, value in cpu_s.items()
    }
    return GaugeSample(at_us=round(at_s * 1e6), processes=processes or None)


def test_parts_stand_in_the_order_of_the_way_and_the_rest_behind_them() -> None:
    gauges = [
        sample(1, harness=1.0, kafka=2.0, postgres=3.0, **{"platform-1": 0.0}),
        sample(1.1),
        sample(3, harness=3.0, kafka=2.5, postgres=3.0, **{"platform-1": 1.0}),
    ]

    found = step_cost(gauges, servers_known=True)

    assert list(found) == ["postgres", "kafka", "harness", "platform-1"]
    used = {name: part["cpu_cores"] for name, part in found.items() if part is not None}
    assert used == {"postgres": 0.0, "kafka": 0.25, "harness": 1.0, "platform-1": 0.5}


def test_servers_that_run_elsewhere_are_named_and_not_known() -> None:
    found = step_cost([sample(1, harness=1.0), sample(2, harness=2.0)], servers_known=False)

    assert {name for name, part in found.items() if part is None} == set(SERVERS)
    assert found["harness"] is not None


def test_a_step_that_was_over_before_the_second_look_has_no_figures() -> None:
    assert step_cost([sample(1, kafka=1.0)], servers_known=True) == {}
