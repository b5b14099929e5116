"""Closing keeps what belongs to the steps of its rig, and says where nothing can be said."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from cdc_users.measure.ledger.ledger import Arrivals
from cdc_users.pipeline.pipeline import Rig
from cdc_users.pipeline.telemetry import PipelineSnapshot, Snapshot, StepSnapshot, TapProgress
from cdc_users.scenario import Pipeline
from cdc_users.step.close import Closing, close
from cdc_users.step.state import Facts
from cdc_users.users.workload.workload import Workload
from tests.unit.made_run import state

pytestmark = pytest.mark.gevent


@dataclass
class MadeRig:
    """A rig whose taps see everything at once."""

    sees_sink: bool = True
    observer: None = None
    wiring: Any = field(
        default_factory=lambda: SimpleNamespace(
            pipeline=Pipeline(source="topic", topic="mine"),
            names=SimpleNamespace(partitions=1),
            direct=False,
            final_sink=lambda: None,
        )
    )

    def dead(self) -> str | None:
        return None

    def send_fences(self, count: int) -> set[int]:
        return set(range(count))

    def progress(self) -> Mapping[str, TapProgress]:
        return {"topic": TapProgress(fences={0}, fenced_partitions={0})}

    def arrivals(self) -> Mapping[str, Arrivals]:
        return {"topic": Arrivals()}


def closed(rig: MadeRig, facts: Facts, look: PipelineSnapshot, number: int) -> None:
    close(Closing(cast(Rig, rig), [state(number=number)], Workload(), facts, 1.0), lambda: look)


def test_a_later_rig_leaves_the_figures_of_earlier_steps_as_they_were() -> None:
    facts = Facts()
    first, again = (
        StepSnapshot(delivered=1000, last_us=1_000_000),
        StepSnapshot(delivered=1000, last_us=66_000_000),
    )
    second = replace(first, last_us=67_000_000)

    closed(MadeRig(), facts, PipelineSnapshot(sink=Snapshot(steps={1: first})), 1)
    closed(MadeRig(), facts, PipelineSnapshot(sink=Snapshot(steps={1: again, 2: second})), 2)

    assert facts.sink == {1: first, 2: second}


def test_a_sink_that_is_seen_as_a_state_is_told_in_a_note() -> None:
    facts = Facts()

    closed(MadeRig(sees_sink=False), facts, PipelineSnapshot(), 1)

    assert (facts.blind, facts.sink) == ({1}, {})
    assert any("not each change" in note for note in facts.notes)
