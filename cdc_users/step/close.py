"""Closes steps: settles outcomes, sends fences all the way, audits every tap, and compares final
states.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from cdc_users.error import FenceRefusedError, TargetError
from cdc_users.measure.ledger.arrival import Arrivals
from cdc_users.measure.ledger.audit import Audit, lacked, located
from cdc_users.measure.ledger.key import key_of_columns
from cdc_users.measure.ledger.ledger import Outcomes, audit_taps
from cdc_users.measure.ledger.probe import Operation
from cdc_users.measure.ledger.sequence import SequenceRange, SequenceSet
from cdc_users.observe.final_state import DeletedKeys
from cdc_users.observe.message import FINAL_FINDINGS, ExpectedSide, Final
from cdc_users.pipeline.pipeline import Rig
from cdc_users.pipeline.process.observer import expected
from cdc_users.pipeline.telemetry import PipelineSnapshot, Snapshot, StepSnapshot, TapProgress
from cdc_users.step.note import log_notes
from cdc_users.step.read_back import WrittenTables, settle_unknown
from cdc_users.step.state import Facts, StepState
from cdc_users.users.producer.fence import send_fences
from cdc_users.users.target import DatabaseTarget
from cdc_users.users.workload.expected_state import FinalState, final_state, transactions
from cdc_users.users.workload.table.plan import TablePlan
from cdc_users.users.workload.table.row import key_texts
from cdc_users.users.workload.workload import Workload

SETTLE_S = 10.0


@dataclass(slots=True)
class Closing:
    """Closes the steps that went through one rig."""

    rig: Rig
    states: Sequence[StepState]
    workload: Workload
    facts: Facts
    #: How long fences are awaited.
    limit_s: float
    #: The outcomes of each writer's sequences: as the writer knew them, and the true ones.
    told: dict[int, Outcomes] = field(default_factory=dict)
    settled: dict[int, Outcomes] = field(default_factory=dict)

    def close(self) -> None:
        """Do all of it; the findings are in `facts`.

        Raises TargetError if a tap does not answer.
        """
        wiring = self.rig.wiring
        for state in self.states:
            self.told |= state.outcomes()
        self.settled = dict(self.told)
        if isinstance(target := wiring.target, DatabaseTarget):
            written = WrittenTables(
                target,
                wiring.run,
                self.workload,
                self.states[0].step.rows_per_arrival,
            )
            self.settled = settle_unknown(written, self.told, SETTLE_S)
        self.facts.notes += [text for plan in wiring.names.plans for text in plan.unaudited]
        before = self._fences_at_the_end()
        fenced = self._fence()
        self.facts.fenced = self.facts.fenced and fenced
        self.facts.fences_seen |= fenced or self._last_tap_saw(before)
        taps = self.rig.arrivals()
        if wiring.pipeline.source == "topic" and fenced:
            self.settled = {
                writer: _by_tap(writer, outcome, taps["topic"])
                for writer, outcome in self.told.items()
            }
        for state in self.states:
            audits = audit_taps(
                state.number, self.settled, taps, fenced=fenced, beside=wiring.beside
            )
            self.facts.audits[state.number] = self._located(audits)
        self._note_log()
        self._note_foreign(taps)
        self._note_lost_deletes(taps)
        if fenced:
            self._compare_final()

    def _fence(self) -> bool:
        """Send fences until they have arrived; False if some have not, or cannot be written."""
        partitions = self.rig.wiring.names.partitions
        try:
            return send_fences(
                self.rig.send_fences, partitions, self._taps, self.limit_s, self._gone
            )
        except FenceRefusedError as error:  # what is left of the table is reported by others
            self.facts.notes.append(str(error))
            return False

    def _taps(self) -> Sequence[TapProgress]:
        """The taps' progress, beginning with a tap that can tell partitions; behind the direct
        reader that is the stream's.
        """
        progress = list(self.rig.progress().values())
        return progress[::-1] if self.rig.wiring.direct else progress

    def _fences_at_the_end(self) -> int:
        """How many fences the last tap has seen; 0 if it does not answer."""
        try:
            return len(list(self.rig.progress().values())[-1].fences)
        except TargetError:
            return 0

    def _last_tap_saw(self, before: int) -> bool:
        return self._fences_at_the_end() > before

    def _gone(self) -> bool:
        numbers = {state.number for state in self.states}
        return self.rig.dead() is not None or any(gone.step in numbers for gone in self.facts.gone)

    def _located(self, audits: Mapping[str, Audit]) -> dict[str, Audit]:
        """The audits, with the place at the previous tap of events that a tap lacks."""
        observer, beside = self.rig.observer, self.rig.wiring.beside
        found: dict[str, Audit] = {}
        for name, audit in audits.items():
            before = [other for other in found if other not in beside.get(name, ())]
            found[name] = audit
            events = lacked(audit, name)
            if observer is not None and before and before[-1] in observer.taps and events:
                found[name] = located(audit, observer.places(before[-1], events))
        return found

    def _note_log(self) -> None:
        changes = sum(
            last - first + 1 for outcome in self.settled.values() for first, last in outcome.acked
        )
        before = self.rig.log_before
        after = None if before is None else self.rig.log_position()
        self.facts.notes += log_notes(before, after, changes)

    def _note_foreign(self, taps: Mapping[str, Arrivals]) -> None:
        for name, arrivals in taps.items():
            if arrivals.foreign:
                self.facts.notes.append(
                    f"{arrivals.foreign} events without a probe of this run were not counted"
                    f" ({name})"
                )

    def _note_lost_deletes(self, taps: Mapping[str, Arrivals]) -> None:
        """Note if everything that a tap at the end lacks is a delete."""
        if not self.workload.mix[2]:
            return
        size = self.states[0].step.rows_per_arrival
        ends = {*self.rig.wiring.ends, *list(taps)[-1:]}
        for name, arrivals in taps.items():
            if name not in ends:
                continue
            told = {
                writer: (self.told[writer], self.settled[writer].acked, arrivals.seen.get(writer))
                for writer in self.told
            }
            lost, deletes = lost_deletes(self.workload, size, told)
            if lost and lost == deletes:
                self.facts.notes.append(f"all {lost} events that the {name} tap lacks are deletes")

    def _compare_final(self) -> None:
        """Compare each sink's contents with the source's tables, or with the writers' outcomes."""
        wiring, observer = self.rig.wiring, self.rig.observer
        kept = wiring.finals()
        if not kept or observer is None:
            return
        left = self._final_state()
        done = [fault for state in self.states if (fault := state.done_fault) is not None]
        emptied = any(fault.empties for fault in done)
        keys, versions = left.gone(emptied=emptied)
        if plans := wiring.names.plans:
            keys = np.array([key_in_table(plans, key) for key in keys.tolist()], dtype=np.int64)
        gone = DeletedKeys.of(keys, versions)
        found = {
            name: together(
                [
                    observer.final(source or _expected(left), sink, gone=gone)
                    for source, sink in pairs
                ]
            )
            for name, pairs in kept.items()
        }
        for name, final in found.items():
            at = f" ({name})" * (len(found) > 1)
            self.facts.notes += [f"{note}{at}" for note in columns_at_fault(final)]
        whole = worst_of(list(found.values()))
        for state in self.states:
            self.facts.finals[state.number] = whole
            self.facts.tap_finals[state.number] = found

    def _final_state(self) -> FinalState:
        """The state that the writers have left, as far as they know."""
        # A writer straight to the topic does not wait for outcomes, so each version counted when it
        # was made.
        direct = self.rig.wiring.pipeline.source == "topic"
        told = (
            {writer: _all_acked(outcome) for writer, outcome in self.told.items()}
            if direct
            else self.told
        )
        size = self.states[0].step.rows_per_arrival
        return final_state(self.workload, size, told, self.settled)


def lost_deletes(
    workload: Workload,
    size: int,
    told: Mapping[int, tuple[Outcomes, Sequence[SequenceRange], SequenceSet | None]],
) -> tuple[int, int]:
    """How many events a tap lacks, and how many of these are deletes.

    By writer: the outcomes as it knew them, the true ones, and the events that the tap has seen.
    """
    lost = deletes = 0
    for writer, (outcomes, acked, seen) in told.items():
        gone = SequenceSet.of(acked) - (seen or SequenceSet())
        if not len(gone):
            continue
        lost += len(gone)
        missing = set(gone.first(len(gone)))
        for done in transactions(workload, size, writer, outcomes):
            deletes += sum(
                touch.operation is Operation.DELETE and done.first + index in missing
                for index, touch in enumerate(done.touches)
            )
    return lost, deletes


def key_in_table(plans: Sequence[TablePlan], key: int) -> int:
    """The number of a writer's key in taps and tables."""
    return key_of_columns(key_texts(plans[key % len(plans)], key))


def columns_at_fault(found: Final) -> list[str]:
    """The columns in which corrupt rows differ, each with an example."""
    named = [one for one in found.examples if one.columns]
    notes = []
    for name in dict.fromkeys(column for one in named for column in one.columns):
        guilty = [one for one in named if name in one.columns]
        first = guilty[0]
        was, became = first.columns[name]
        notes.append(
            f"corrupt rows: column {name} differs in {len(guilty)} of {len(named)} that were looked"
            f" at; key {first.key}: {was!r} became {became!r}"
        )
    return notes


def together(found: Sequence[Final]) -> Final:
    """The comparisons of several tables, combined."""
    whole = Final(examples=[example for one in found for example in one.examples])
    for name in ("compared", *FINAL_FINDINGS):
        setattr(whole, name, sum(getattr(one, name) for one in found))
    return whole


def worst_of(found: Sequence[Final]) -> Final:
    """The comparisons of several sinks: in each kind of difference that of the worst."""
    if len(found) == 1:
        return found[0]
    worst = Final(examples=[example for one in found for example in one.examples])
    for name in ("compared", *FINAL_FINDINGS):
        setattr(worst, name, max(getattr(one, name) for one in found))
    return worst


def _expected(state: FinalState) -> ExpectedSide:
    alive = ~state.deleted
    return expected(state.keys[alive], state.versions[alive], state.doubtful.astype(np.int64))


def _all_acked(outcome: Outcomes) -> Outcomes:
    return Outcomes(acked=[*outcome.acked, *outcome.failed, *outcome.unknown])


def _by_tap(writer: int, outcome: Outcomes, topic: Arrivals) -> Outcomes:
    """The outcomes of records without an answer: they are in the topic, or they are not."""
    if not outcome.unknown:
        return outcome
    unknown, seen = SequenceSet.of(outcome.unknown), topic.seen.get(writer, SequenceSet())
    return Outcomes(
        acked=[*outcome.acked, *(unknown & seen).ranges()],
        failed=[*outcome.failed, *(unknown - seen).ranges()],
    )


def written_by_others(taps: Mapping[str, Snapshot]) -> list[str]:
    """A sentence if somebody else changed the run's rows, from the tap that saw most of that."""
    most = max(taps.values(), key=lambda tap: tap.written_by_others, default=None)
    if most is None or not most.written_by_others:
        return []
    keys = ", ".join(map(str, most.others_keys[:3]))
    return [f"somebody else changed {most.written_by_others} of the run's rows (keys {keys})"]


def close(closing: Closing, look: Callable[[], PipelineSnapshot]) -> None:
    """Close the steps that went through a rig, and keep its last figures.

    Raises TargetError if a part does not answer.
    """
    closing.close()
    rig, states, facts = closing.rig, closing.states, closing.facts
    last = look()
    if not rig.sees_sink:
        facts.blind |= {state.number for state in states}
        facts.notes.append(
            f"{states[0].step.pipeline.sink_tap} shows what the sink holds, not each change: with"
            " updates or deletes it tells no messages, throughput or latency, and backlog and"
            " steady state are those of the topic"
        )
    # On the user's own topic a rig may read earlier rigs' events; these were reported then.
    facts.sink |= {
        state.number: last.sink.steps[state.number]
        for state in states
        if state.number in last.sink.steps
    }
    ends = list(rig.wiring.ends)
    for state in states if len(ends) > 1 else ():
        facts.taps[state.number] = {
            name: None
            if name in rig.states
            else last.taps[name].steps.get(state.number, StepSnapshot())
            for name in ends
        }
    facts.disturbed += written_by_others(last.taps)
    facts.notes += [f"{name}: {tap.remark}" for name, tap in last.taps.items() if tap.remark]
    facts.notes += [f"platform: {remark}" for remark in last.platform.remarks]
    facts.platform_errors += last.platform.errors
    facts.unreadable += facts.unexplained(
        f"the {name} tap could not read what came: {error}"
        for name, tap in last.taps.items()
        for error in tap.unreadable
    )
