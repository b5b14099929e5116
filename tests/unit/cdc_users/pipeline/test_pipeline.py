"""What a rig says of its sink: every event that came there, or nothing at all."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import pytest

from cdc_users.error import PlatformSilentError
from cdc_users.measure.step import StepTelemetry
from cdc_users.observe.message import ObserverSnapshot, TapPlace, TapTelemetry
from cdc_users.pipeline.pipeline import Rig
from cdc_users.pipeline.process.child_process import launch
from cdc_users.pipeline.process.commands import Wiring
from cdc_users.pipeline.process.observer import Observer
from cdc_users.pipeline.process.system import come_up

pytestmark = pytest.mark.gevent


def tap(delivered: int) -> TapTelemetry:
    return TapTelemetry(steps={1: StepTelemetry(delivered=delivered)})


@dataclass
class SeenObserver:
    """An observer whose topic tap has seen every event, and whose sink tap what the table happened
    to hold.
    """

    taps: Mapping[str, TapPlace] = field(
        default_factory=lambda: {"topic": TapPlace(), "sink": TapPlace(state=True)}
    )

    def snapshot(self) -> ObserverSnapshot:
        return ObserverSnapshot(taps={"topic": tap(100), "sink": tap(60)})


@dataclass
class OneEnd:
    """A wiring whose events end at one tap."""

    end: str = "sink"
    ends: tuple[str, ...] = ("sink",)


def rig(*, updates: bool) -> Rig:
    observer = cast(Observer, SeenObserver())
    return Rig(cast(Wiring, OneEnd()), Path(), updates=updates, observer=observer)


@pytest.mark.parametrize(("updates", "at_sink", "delivered"), [(False, 60, 60), (True, 0, 100)])
def test_a_table_with_updates_is_no_witness_of_events(
    updates: bool, at_sink: int, delivered: int
) -> None:
    seen = rig(updates=updates)
    look = seen.look()

    assert seen.sees_sink is not updates
    assert look.sink.delivered(1) == at_sink
    assert look.delivered(1) == delivered


def test_a_platform_that_ends_before_it_is_ready_has_failed_and_no_server_has(
    tmp_path: Path,
) -> None:
    command = [sys.executable, "-c", "raise SystemExit(7)"]
    launched = launch("platform-1", command, tmp_path / "log", os.environ)

    with pytest.raises(PlatformSilentError, match="did not come up: platform-1 ended with 7") as it:
        come_up(launched, 60.0)
    assert it.value.exit_code == 1
