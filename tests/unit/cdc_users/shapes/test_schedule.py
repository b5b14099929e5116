"""The stages of an open loop: when it has a warm-up, and at which rate."""

from __future__ import annotations

import pytest

from cdc_users.measure.schedule.plan import LoadStage
from cdc_users.options.options import resolve, texts
from cdc_users.shapes.schedule import WARM_UP_S, stages_of


def stages(**given: str) -> tuple[LoadStage, ...]:
    return stages_of(resolve(texts(given, {"rows": "10"})))


@pytest.mark.parametrize(
    ("given", "warm_up_s"),
    [
        ({"rate": "10", "duration": "9s"}, []),
        ({"rate": "10", "duration": "10s"}, [WARM_UP_S]),
        ({"rate": "10", "duration": "30s", "warm_up": "none"}, []),
        ({"rate": "10", "duration": "30s", "warm_up": "1s"}, [1.0]),
        ({"rate": "10", "duration": "1s", "warm_up": "2s"}, [2.0]),
        ({"rate": "10", "duration": "30s", "smoke": "yes"}, []),
        ({"rate": "10", "duration": "30s", "smoke": "yes", "warm_up": "2s"}, [2.0]),
        ({"stages": "10/s:5s,20/s:5s"}, [WARM_UP_S]),
        ({"stages": "warmup:10/s:3s,20/s:40s"}, [3.0]),
        ({"rows": "10"}, []),
    ],
)
def test_a_long_load_has_a_warm_up_unless_it_is_told_otherwise(
    given: dict[str, str], warm_up_s: list[float]
) -> None:
    assert [stage.duration_s for stage in stages(**given) if stage.warm_up] == warm_up_s


@pytest.mark.parametrize(
    ("load", "rate"), [("10/s->50/s:40s", 10), ("0/s->50/s:40s", 50), ("7/s:20s,9/s:20s", 7)]
)
def test_a_warm_up_runs_at_the_rate_with_which_the_load_begins(load: str, rate: float) -> None:
    first, *rest = stages(stages=load)

    assert (first.start_per_s, first.end_per_s, first.warm_up) == (rate, rate, True)
    assert not any(stage.warm_up for stage in rest)
