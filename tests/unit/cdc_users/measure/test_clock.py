"""One anchor for all clocks; a wall clock that is set shows as a step."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc_users.measure.clock import ATTEMPTS, Anchor, anchor_from, boot_id, new_anchor


def test_times_convert_both_ways() -> None:
    anchor = Anchor("b", monotonic_ns=5_000_000_000, wall_us=1_700_000_000_000_000)

    assert anchor.wall_us_at(5_000_002_000) == 1_700_000_000_000_002
    assert anchor.monotonic_ns_at(1_700_000_000_000_002) == 5_000_002_000


@given(st.integers(0, 2**62), st.integers(0, 2**51), st.integers(0, 2**51))
def test_a_wall_time_is_found_again_however_far_from_the_anchor(
    monotonic_ns: int, wall_us: int, then_us: int
) -> None:
    anchor = Anchor("b", monotonic_ns, wall_us)

    assert anchor.wall_us_at(anchor.monotonic_ns_at(then_us)) == then_us
    # Between two microseconds the earlier one counts, before the anchor as well as after it.
    assert anchor.wall_us_at(anchor.monotonic_ns_at(then_us) + 999) == then_us
    assert anchor.wall_us_at(anchor.monotonic_ns_at(then_us) - 1) == then_us - 1


def test_both_clocks_are_read_where_the_reading_took_least(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # The third attempt was not interrupted: 10 ns, in whose middle the wall clock was read.
    readings = [(0, 5000), (10_000, 90_000), (200_000, 200_010), *[(300_000, 400_000)] * 6]
    assert len(readings) == ATTEMPTS
    monotonic = iter([moment for reading in readings for moment in reading])
    wall = iter([7_000 * number for number in range(1, ATTEMPTS + 1)])
    monkeypatch.setattr("time.monotonic_ns", lambda: next(monotonic))
    monkeypatch.setattr("time.time_ns", lambda: next(wall))

    found = new_anchor()

    assert (found.monotonic_ns, found.wall_us) == (200_005, 21)


def test_a_system_without_a_boot_id_has_an_empty_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cdc_users.measure.clock.BOOT_ID", Path("/nowhere/boot_id"))

    assert boot_id() == ""
    assert anchor_from({}).boot_id == ""


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
