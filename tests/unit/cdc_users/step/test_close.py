"""Closing keeps what belongs to the steps of its rig, and says where nothing can be said."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from cdc_users.measure.ledger.ledger import Arrivals, Outcomes
from cdc_users.measure.ledger.probe import Operation
from cdc_users.measure.ledger.sequence import SequenceSet
from cdc_users.observe.message import Difference, Final
from cdc_users.pipeline.pipeline import Rig
from cdc_users.pipeline.telemetry import PipelineSnapshot, Snapshot, StepSnapshot, TapProgress
from cdc_users.scenario import Pipeline
from cdc_users.step.close import Closing, close, columns_at_fault, lost_deletes, together
from cdc_users.step.state import Facts
from cdc_users.users.workload.workload import Workload, Writer
from tests.unit.made_run import state

pytestmark = pytest.mark.gevent


@dataclass
class MadeRig:
    """A rig whose taps see everything at once."""

    sees_sink: bool = True
    observer: None = None
    log_before: None = None
    wiring: Any = field(
        default_factory=lambda: SimpleNamespace(
            pipeline=Pipeline(source="topic", topic="mine"),
            names=SimpleNamespace(partitions=1, plans=()),
            target=None,
            direct=False,
            finals=dict,
            beside={},
            ends={"sink": "sink"},
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


def test_columns_at_fault_are_told_once_each_with_an_example() -> None:
    found = Final(
        corrupt=3,
        examples=[
            Difference("corrupt", 7, 1, 1, {"notes": ("a long text", "a lon")}),
            Difference("corrupt", 8, 1, 1, {"notes": ("b", "c"), "at": ("1", "2")}),
            Difference("stale", 9, 2, 1),
        ],
    )

    assert columns_at_fault(found) == [
        "corrupt rows: column notes differs in 2 of 2 that were looked at; key 7: 'a long text'"
        " became 'a lon'",
        "corrupt rows: column at differs in 1 of 2 that were looked at; key 8: '1' became '2'",
    ]


def test_the_comparisons_of_several_tables_are_one() -> None:
    one = Final(compared=10, missing=1, undeleted=2, examples=[Difference("missing", 1, 1, None)])
    other = Final(compared=5, resurrected=1, repeated=4, corrupt=1)

    whole = together([one, other])

    assert (whole.compared, whole.missing, whole.undeleted, whole.resurrected) == (15, 1, 2, 1)
    assert (whole.repeated, whole.corrupt, len(whole.examples)) == (4, 1, 1)


def test_deletes_among_what_was_lost_are_counted() -> None:
    workload = Workload(mix=(60, 20, 20))
    writer = Writer("abcdefgh", 10_001, workload)
    deletes: list[int] = []
    others: list[int] = []
    for number in range(60):
        transaction = writer.transaction(2, number)
        writer.settle(transaction, "acked")
        for change in transaction.changes:
            gone = change.operation is Operation.DELETE
            (deletes if gone else others).append(change.sequence)
    outcomes = Outcomes(acked=[(1, transaction.last)])
    seen = SequenceSet.of([(number, number) for number in sorted(others)])
    told = {writer.number: (outcomes, outcomes.acked, seen)}

    assert lost_deletes(workload, 2, told) == (len(deletes), len(deletes))
    assert deletes
