"""What the options of the load need and exclude."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from cdc_users.options.conflict import load
from cdc_users.options.conflict.rule import Rule


@pytest.mark.parametrize(
    ("rule", "values", "said"),
    [
        (load.one_load, {"rows": (1,), "rate": 5.0}, "--rows and --rate contradict each other"),
        (load.one_load, {"rows": (1,), "rate": None}, ""),
        (load.rate_lasts, {"rate": 5.0, "duration": None, "faults": ()}, "--rate needs --duration"),
        (load.rate_lasts, {"rate": 5.0, "duration": 3.0, "faults": ()}, ""),
        (load.rate_lasts, {"rate": 5.0, "duration": None, "faults": ("x",)}, ""),
        (load.duration_has_a_rate, {"duration": 3.0, "rate": None}, "--duration needs --rate"),
        (load.duration_has_a_rate, {"duration": 3.0, "rate": 1.0}, ""),
        (load.rate_makes_an_arrival, {"rate": 0.1, "duration": 9.0}, "--rate 0.1 for 9 s makes no"),
        (load.rate_makes_an_arrival, {"rate": 0.1, "duration": 10.0}, ""),
        (load.mode_fits_the_rate, {"mode": "paced", "rate": None}, "--mode paced needs --rate"),
        (load.mode_fits_the_rate, {"mode": "paced", "rate": 1.0}, ""),
        (load.mode_fits_the_rate, {"mode": "drain", "rate": 1.0}, "--mode drain and --rate"),
        (load.mode_fits_the_rate, {"mode": "drain", "rate": None}, ""),
        (load.mode_fits_the_rate, {"mode": "drain"}, ""),
    ],
)
def test_a_load_that_cannot_be_is_named_with_its_remedy(
    rule: Rule, values: Mapping[str, object], said: str
) -> None:
    found = rule(values)

    assert len(found) == bool(said)
    assert not said or found[0].startswith(said)
