"""How much too high a latency may be is told where it matters, and nowhere else."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from cdc_users.measure.latency.lateness import TOLD_MS, TOLD_SHARE, lateness_ms
from cdc_users.measure.latency.recorder import Recorder
from cdc_users.measure.latency.series import EARLIEST, OWN_DELAY

MANY = 1000


def recorder(**series: Sequence[int]) -> Recorder:
    """Series by name, in milliseconds."""
    made = Recorder()
    for name, values in series.items():
        made.record_many_us(name, np.array(values, dtype=np.int64) * 1000)
    return made


def sink(end_to_end_ms: int = 100) -> Recorder:
    return recorder(end_to_end=[end_to_end_ms] * MANY)


def generator(delay_ms: int, longest_ms: int = 0) -> Recorder:
    return recorder(**{OWN_DELAY.name: [delay_ms] * MANY + [longest_ms or delay_ms]})


def test_a_tap_that_sees_each_event_as_it_comes_has_nothing_to_tell() -> None:
    assert lateness_ms(sink()) == {}
    assert lateness_ms(Recorder()) == {}
    assert lateness_ms(Recorder(), generator(500)) == {}, "nothing came, so nothing is too high"


def test_behind_a_tap_that_looks_now_and_then_each_figure_may_be_a_look_too_high() -> None:
    seen = recorder(
        end_to_end=[100] * (MANY - 20) + [300] * 20,
        **{EARLIEST.name: [60] * (MANY - 20) + [180] * 20},
    )

    # The mean is 41.6 ms too high, p50 and p95 40, p99 and the maximum 120.
    assert lateness_ms(seen) == {
        "late": pytest.approx(120, rel=0.002),
        "late_max": pytest.approx(120, rel=0.002),
    }


def test_a_percentile_that_few_events_do_not_bear_out_tells_nothing() -> None:
    seen = recorder(end_to_end=[100] * 5, **{EARLIEST.name: [70] * 5})

    assert lateness_ms(seen) == {"late": pytest.approx(30), "late_max": pytest.approx(30)}


@pytest.mark.parametrize(
    ("delay_ms", "usual_ms", "told"),
    [
        (11, 100, True),
        (9, 100, False),  # a tenth of the usual latency is no news
        (2, 5, True),
        (1, 5, False),  # and a millisecond is none either
    ],
)
def test_a_generators_own_delay_is_told_where_it_is_a_part_of_the_latency(
    delay_ms: int, usual_ms: int, told: bool
) -> None:
    assert (delay_ms > max(TOLD_MS, TOLD_SHARE * usual_ms)) == told

    found = lateness_ms(sink(usual_ms), generator(delay_ms, longest_ms=70))

    assert found == (
        {"late": pytest.approx(delay_ms, rel=0.002), "late_max": pytest.approx(70)} if told else {}
    )


def test_both_are_told_together() -> None:
    seen = recorder(end_to_end=[100] * MANY, **{EARLIEST.name: [60] * MANY})

    found = lateness_ms(seen, generator(20, longest_ms=50))

    assert found == {
        "late": pytest.approx(60, rel=0.002),
        "late_max": pytest.approx(90, rel=0.002),
    }


def test_figures_that_are_too_high_are_told_although_the_maximum_is_exact() -> None:
    seen = recorder(
        end_to_end=[100] * MANY + [900],
        **{EARLIEST.name: [60] * MANY + [900]},
    )

    assert lateness_ms(seen) == {"late": pytest.approx(40, rel=0.01), "late_max": 0.0}


def test_the_least_of_some_events_above_what_is_usual_makes_no_figure_too_low() -> None:
    seen = recorder(end_to_end=[10] * MANY, **{EARLIEST.name: [60] * 5})

    assert lateness_ms(seen) == {}


def test_a_generator_that_recorded_no_delay_of_its_own_adds_nothing() -> None:
    seen = recorder(end_to_end=[100] * MANY, **{EARLIEST.name: [60] * MANY})

    assert lateness_ms(seen, Recorder()) == lateness_ms(seen)


def test_too_few_arrivals_bear_out_no_delay_of_the_generators_own() -> None:
    few = recorder(**{OWN_DELAY.name: [500] * (MANY - 1)})

    assert lateness_ms(sink(), few) == {}
    assert lateness_ms(sink(), recorder(**{OWN_DELAY.name: [500] * MANY})) != {}


def test_without_a_usual_latency_no_delay_is_a_part_of_it() -> None:
    """Nineteen events bear out no p50, so nobody knows what a tenth of it is."""
    assert lateness_ms(recorder(end_to_end=[100] * 19), generator(500)) == {}
    assert lateness_ms(recorder(end_to_end=[100] * 20), generator(500)) != {}


def test_a_delay_is_told_from_just_above_the_limit_on() -> None:
    at, above = (recorder(**{OWN_DELAY.name: [delay_ms] * (MANY + 1)}) for delay_ms in (10, 11))

    assert lateness_ms(sink(100), at) == {}
    assert lateness_ms(sink(100), above)["late"] == pytest.approx(11, rel=0.002)
