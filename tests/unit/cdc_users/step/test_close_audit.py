"""Closing settles outcomes, fences, audits and compares, each with what it needs and no more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from cdc_users.error import FenceRefusedError, TargetError
from cdc_users.measure.contract import ConsumerTelemetry, PlatformTelemetry
from cdc_users.measure.ledger.ledger import Arrivals, Outcomes
from cdc_users.measure.ledger.probe import Operation
from cdc_users.measure.ledger.sequence import SequenceSet
from cdc_users.observe.message import Difference, ExpectedSide, Final
from cdc_users.pipeline.pipeline import Rig
from cdc_users.pipeline.telemetry import (
    PipelineSnapshot,
    Snapshot,
    StepSnapshot,
    TapProgress,
    merged_snapshot,
)
from cdc_users.scenario import Pipeline
from cdc_users.step.close import Closing, close, worst_of, written_by_others
from cdc_users.step.state import Facts, Gone, ReportedShare, StepState
from cdc_users.users.source.look import LogPosition
from cdc_users.users.workload.workload import Workload, Writer
from tests.unit.made_run import state

pytestmark = pytest.mark.gevent

WRITER = 10_000
INSERTS = Workload()


@dataclass
class MadeObserver:
    """An observer that finds the same in every comparison, and knows a place for every event."""

    found: Final = field(default_factory=Final)
    taps: Mapping[str, object] = field(default_factory=lambda: {"topic": None, "sink": None})
    compared: list[tuple[Any, Any]] = field(default_factory=list)
    asked: list[tuple[str, Sequence[tuple[int, int]]]] = field(default_factory=list)

    def final(self, source: Any, sink: Any, *, gone: Any) -> Final:
        assert len(gone.key) == len(gone.version)
        self.compared.append((source, sink))
        return self.found

    def places(self, tap: str, events: Sequence[tuple[int, int]]) -> list[object]:
        self.asked.append((tap, list(events)))
        return []


@dataclass
class MadeRig:
    """A rig with these arrivals at its taps; fences reach the taps in `fenced`."""

    taps: Mapping[str, Arrivals]
    fenced: Sequence[str] = ("topic", "sink")
    source: str = "topic"
    direct: bool = False
    finals: Sequence[tuple[Any, Any]] = ()
    observer: MadeObserver | None = None
    refused: bool = False
    silent: bool = False
    sees_sink: bool = True
    sent: int = 0
    beside: Mapping[str, frozenset[str]] = field(default_factory=dict)
    states: frozenset[str] = frozenset()
    log_before: LogPosition | None = None
    log_after: LogPosition | None = None

    def log_position(self) -> LogPosition | None:
        return self.log_after

    @property
    def wiring(self) -> Any:
        return SimpleNamespace(
            pipeline=Pipeline(source=self.source, topic="mine"),
            names=SimpleNamespace(partitions=1, plans=()),
            target=None,
            direct=self.direct,
            finals=lambda: {"sink": self.finals} if self.finals else {},
            beside=self.beside,
            ends={name: name for name in self.taps if name != "topic"},
        )

    def dead(self) -> str | None:
        return None

    def send_fences(self, count: int) -> set[int]:
        if self.refused:
            raise FenceRefusedError("the table is gone; create it again")
        self.sent += count
        return set(range(self.sent))

    def progress(self) -> dict[str, TapProgress]:
        if self.silent:
            raise TargetError("the observer is busy")
        there = set(range(self.sent))
        return {
            name: TapProgress(
                fences=there if name in self.fenced else set(),
                fenced_partitions={0} if name in self.fenced and there else set(),
            )
            for name in self.taps
        }

    def arrivals(self) -> Mapping[str, Arrivals]:
        return self.taps


def seen(*ranges: tuple[int, int], foreign: int = 0) -> Arrivals:
    return Arrivals(seen={WRITER: SequenceSet.of(ranges)}, foreign=foreign)


def step_of(**outcomes: Sequence[tuple[int, int]]) -> StepState:
    made = state()
    made.reports = {"local": ReportedShare(outcomes={WRITER: Outcomes(**outcomes)})}
    return made


def closing(
    rig: MadeRig, *states: StepState, workload: Workload = INSERTS, limit_s: float = 30.0
) -> Closing:
    made = Closing(cast(Rig, rig), states or (step_of(acked=[(1, 4)]),), workload, Facts(), limit_s)
    made.close()
    return made


def whole(*ranges: tuple[int, int]) -> dict[str, Arrivals]:
    return {"topic": seen(*ranges), "sink": seen(*ranges)}


def test_a_record_without_an_answer_is_in_the_topic_or_it_is_not() -> None:
    """GIVEN records straight to the topic, of which the last five had no answer."""
    step = step_of(acked=[(1, 5)], failed=[(6, 6)], unknown=[(7, 11)])
    found = closing(MadeRig(whole((1, 5), (8, 9))), step)

    settled = found.settled[WRITER]
    assert SequenceSet.of(settled.acked).ranges() == SequenceSet.of([(1, 5), (8, 9)]).ranges()
    assert SequenceSet.of(settled.failed).ranges() == SequenceSet.of([(6, 7), (10, 11)]).ranges()
    assert settled.unknown == ()
    audit = found.facts.audits[1]["sink"]
    assert (audit.sent, audit.lost, audit.phantom) == (7, 0, 0)


def test_without_fences_what_had_no_answer_stays_unknown_and_nothing_is_called_lost() -> None:
    rig = MadeRig(whole((1, 5)), fenced=(), finals=[(None, "sink")], observer=MadeObserver())
    found = closing(rig, step_of(acked=[(1, 6)], unknown=[(7, 8)]), limit_s=0.0)

    assert found.settled[WRITER].unknown == [(7, 8)]
    assert not found.facts.fenced
    assert not found.facts.fences_seen
    assert found.facts.audits[1]["sink"].lost == 0
    assert found.facts.audits[1]["sink"].unseen == 1
    assert rig.observer is not None
    assert rig.observer.compared == [], "a sink that is still being written to is not compared"


def test_a_record_from_the_database_is_not_settled_by_the_topic() -> None:
    found = closing(
        MadeRig(whole((1, 4)), source="postgres"), step_of(acked=[(1, 3)], unknown=[(4, 4)])
    )

    assert found.settled[WRITER].unknown == [(4, 4)]


def test_what_the_changes_cost_in_the_sources_log_is_noted() -> None:
    before, after = LogPosition("0/64", 100), LogPosition("0/7D0", 2_000)
    found = closing(MadeRig(whole((1, 4)), log_before=before, log_after=after))

    assert found.facts.notes == [
        "the source's log grew by 1,900 bytes, 475 for each of 4 changes (0/64 to 0/7D0, with all"
        " that others wrote)"
    ]


@pytest.mark.parametrize("after", [None, LogPosition("0/0", 99)])
def test_a_log_that_is_not_known_or_began_again_is_not_noted(after: LogPosition | None) -> None:
    before = LogPosition("0/64", 100)
    found = closing(MadeRig(whole((1, 4)), log_before=before, log_after=after))

    assert found.facts.notes == []


def test_fences_that_cannot_be_written_are_a_note_and_no_crash() -> None:
    found = closing(MadeRig(whole((1, 4)), refused=True))

    assert found.facts.notes == ["the table is gone; create it again"]
    assert not found.facts.fenced


@pytest.mark.parametrize(("step", "gone"), [(1, True), (2, False)])
def test_fences_are_given_up_where_a_part_of_this_pipeline_is_gone(step: int, gone: bool) -> None:
    facts = Facts(gone=[Gone(step, "the slot was dropped")])
    made = Closing(cast(Rig, MadeRig(whole((1, 4)))), [state()], INSERTS, facts, 30.0)

    assert made._gone() is gone


def test_a_pipeline_without_fences_spoils_those_of_another_one() -> None:
    facts = Facts(fenced=False)
    made = Closing(
        cast(Rig, MadeRig(whole((1, 4)))), [step_of(acked=[(1, 4)])], Workload(), facts, 30.0
    )
    made.close()

    assert not facts.fenced
    assert facts.fences_seen


def test_fences_at_the_last_tap_alone_are_a_sign_of_life() -> None:
    found = closing(MadeRig(whole((1, 4)), fenced=("sink",)), limit_s=0.0)

    assert (found.facts.fenced, found.facts.fences_seen) == (False, True)
    assert not closing(MadeRig(whole((1, 4)), fenced=("topic",)), limit_s=0.0).facts.fences_seen


def test_a_tap_that_does_not_answer_has_shown_no_fence() -> None:
    found = closing(MadeRig(whole((1, 4)), silent=True), limit_s=0.0)

    assert (found.facts.fenced, found.facts.fences_seen) == (False, False)


def test_behind_the_direct_reader_the_stream_tells_partitions() -> None:
    """GIVEN a first tap on which no fence is seen yet: it is the last one that tells."""
    direct = closing(MadeRig(whole((1, 4)), direct=True))
    assert [len(tap.fences) for tap in direct._taps()] == [1, 1]

    rig = MadeRig(whole((1, 4)), fenced=("sink",), direct=True)
    assert [len(tap.fences) for tap in closing(rig, limit_s=0.0)._taps()] == [1, 0]
    rig.direct = False
    assert [len(tap.fences) for tap in closing(rig, limit_s=0.0)._taps()] == [0, 2]


def test_what_a_tap_lacks_is_looked_for_at_the_tap_before_it() -> None:
    observer = MadeObserver()
    closing(MadeRig({"topic": seen((1, 4)), "sink": seen((1, 2))}, observer=observer))

    assert observer.asked == [("topic", [(WRITER, 3), (WRITER, 4)])]


def test_nothing_is_looked_for_where_nothing_is_lacking_or_no_tap_is_before() -> None:
    observer = MadeObserver()
    closing(MadeRig(whole((1, 4)), observer=observer))
    closing(MadeRig({"sink": seen((1, 2))}, source="postgres", observer=observer))
    closing(MadeRig({"topic": seen((1, 4)), "sink": seen()}, observer=replace(observer, taps={})))

    assert observer.asked == []


def test_events_of_others_are_told_by_the_tap_that_saw_them() -> None:
    found = closing(MadeRig({"topic": seen((1, 4), foreign=3), "sink": seen((1, 4))}))

    assert found.facts.notes == ["3 events without a probe of this run were not counted (topic)"]


def deleting() -> tuple[Workload, int, list[int]]:
    """A workload with deletes, how many events two dozen transactions make, and the deletes."""
    workload = Workload(mix=(60, 0, 40))
    writer = Writer("abcd1234", WRITER, workload)
    deletes = []
    for number in range(24):
        made = writer.transaction(1, number)
        writer.settle(made, "acked")
        deletes += [c.sequence for c in made.changes if c.operation is Operation.DELETE]
    return workload, made.last, deletes


@pytest.mark.parametrize("more", [False, True])
def test_a_sink_that_lacks_every_kind_of_event_is_not_told_to_lack_deletes(more: bool) -> None:
    workload, last, deletes = deleting()
    kept = sorted({*range(1, last + 1)} - {*deletes} - ({1} if more else set()))
    taps = {"topic": seen((1, last)), "sink": seen(*((number, number) for number in kept))}
    found = closing(MadeRig(taps), step_of(acked=[(1, last)]), workload=workload)

    told = [note for note in found.facts.notes if "are deletes" in note]
    assert told == (
        [] if more else [f"all {len(deletes)} events that the sink tap lacks are deletes"]
    )


def test_a_final_comparison_is_of_all_the_steps_of_its_pipeline() -> None:
    corrupt = Difference("corrupt", 7, 1, 1, {"notes": ("a", "b")})
    observer = MadeObserver(Final(compared=4, corrupt=1, examples=[corrupt]))
    second = step_of(acked=[(1, 4)])
    second.number = 2
    rig = MadeRig(whole((1, 4)), finals=[(None, "sink"), ("table", "copy")], observer=observer)
    found = closing(rig, step_of(acked=[(1, 4)]), second)

    assert [sink for _, sink in observer.compared] == ["sink", "copy"]
    expected, table = (source for source, _ in observer.compared)
    assert isinstance(expected, ExpectedSide), "without a table, what the writers know is expected"
    assert table == "table"
    assert found.facts.finals[1] is found.facts.finals[2]
    assert (found.facts.finals[1].compared, found.facts.finals[1].corrupt) == (8, 2)
    assert [note for note in found.facts.notes if note.startswith("corrupt rows: column notes")]


def test_nothing_is_compared_where_there_is_nothing_to_compare_with() -> None:
    observer = MadeObserver()

    assert closing(MadeRig(whole((1, 4)), observer=observer)).facts.finals == {}
    assert closing(MadeRig(whole((1, 4)), finals=[(None, "sink")])).facts.finals == {}
    assert observer.compared == []


def test_what_others_changed_is_told_by_the_tap_that_saw_most_of_it() -> None:
    some = Snapshot(written_by_others=2, others_keys=[1, 2])
    most = Snapshot(written_by_others=5, others_keys=[4, 5, 6, 7, 8])

    assert written_by_others({"topic": some, "sink": most}) == [
        "somebody else changed 5 of the run's rows (keys 4, 5, 6)"
    ]
    assert written_by_others({"topic": Snapshot(), "sink": Snapshot()}) == []
    assert written_by_others({}) == []


def test_what_taps_could_not_read_or_remark_is_told_with_their_names() -> None:
    facts = Facts(explained=["explained"])
    made = Closing(
        cast(Rig, MadeRig(whole((1, 4)))), [step_of(acked=[(1, 4)])], Workload(), facts, 30.0
    )
    tap = Snapshot(remark="rounded to seconds", unreadable=["no JSON", "explained by a fault"])
    platform = merged_snapshot(
        [PlatformTelemetry(consumer=ConsumerTelemetry(remarks=["2 rows without a value"]))]
    )
    taps = {"sink": tap, "topic": Snapshot()}
    close(made, lambda: PipelineSnapshot(taps=taps, platform=platform))

    assert facts.notes == ["sink: rounded to seconds", "platform: 2 rows without a value"]
    assert facts.unreadable == ["the sink tap could not read what came: no JSON"]


def test_what_one_of_two_sinks_loses_is_not_asked_of_the_other() -> None:
    observer = MadeObserver()
    rig = MadeRig(
        {"topic": seen((1, 4)), "search": seen((1, 2)), "copy": seen((1, 4))},
        fenced=("topic", "search", "copy"),
        observer=replace(observer, taps={"topic": None, "search": None, "copy": None}),
        beside={"copy": frozenset({"search"})},
    )
    audits = closing(rig).facts.audits[1]

    assert (audits["search"].lost, audits["search"].lost_at) == (2, {"search": 2})
    assert (audits["copy"].lost, audits["copy"].lost_at, audits["copy"].unsourced) == (0, {}, 0)


def test_each_of_two_sinks_has_figures_of_its_own() -> None:
    facts = Facts()
    taps = {"topic": seen((1, 4)), "search": seen((1, 2)), "copy": seen((1, 4))}
    rig = MadeRig(taps, fenced=tuple(taps), states=frozenset({"copy"}))
    made = Closing(cast(Rig, rig), [step_of(acked=[(1, 4)])], INSERTS, facts, 30.0)
    looked = {name: Snapshot({1: StepSnapshot(delivered=2)}) for name in taps}
    close(made, lambda: PipelineSnapshot(taps=looked))

    assert facts.taps == {1: {"search": looked["search"].steps[1], "copy": None}}


def test_of_several_sinks_contents_the_worst_of_each_kind_counts() -> None:
    whole = worst_of([Final(compared=4, missing=1), Final(compared=4, missing=1, stale=2)])

    assert (whole.compared, whole.missing, whole.stale) == (4, 1, 2)
