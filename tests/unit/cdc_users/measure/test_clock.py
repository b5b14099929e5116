"""One anchor for all clocks; a wall clock that is set shows as a step."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cdc_users.measure.clock import Anchor, anchor_from, new_anchor


def test_times_convert_both_ways() -> None:
    anchor = Anchor("b", monotonic_ns=5_000_000_000, wall_us=1_700_000_000_000_000)

    assert anchor.wall_us_at(5_000_002_000) == 1_700_000_000_000_002
    assert anchor.monotonic_ns_at(1_700_000_000_000_002) == 5_000_002_000


def test_a_wall_clock_that_was_set_shows_as_a_step() -> None:
    anchor = new_anchor()

    assert abs(anchor.step_ms()) < 50
    assert replace(anchor, wall_us=anchor.wall_us - 2_000_000).step_ms() == pytest.approx(
        2000, abs=50
    )


def test_an_anchor_holds_on_its_own_host_alone() -> None:
    anchor = new_anchor()
    other = replace(anchor, boot_id="another", wall_us=0)

    assert anchor_from(anchor.environment()) == anchor
    assert other.for_this_host().wall_us > 0
