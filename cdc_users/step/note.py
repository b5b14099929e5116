"""Notes on a run: facts that are worth knowing and spoil no number. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from cdc_users.measure.judgement import validity
from cdc_users.measure.judgement.validity import crowded_note
from cdc_users.measure.latency.lateness import lateness_ms
from cdc_users.step.harness_facts import step_facts
from cdc_users.step.state import Facts, StepState
from cdc_users.users.source.look import LogPosition

#: How many causes of failed arrivals are named.
CAUSES_TOLD = 5


def notes(states: Sequence[StepState], facts: Facts) -> list[str]:
    """All notes; of a search only its answer is noted."""
    judged = [state for state in states if not state.step.probe]
    return [
        *facts.notes,
        *facts.course.notes,
        *clock_notes(facts),
        *stranger_notes(facts),
        *bound_notes(judged, facts),
        *load_notes(judged),
        *lane_notes(judged),
        *(note for state in judged if (note := crowded_note(step_facts(state, facts))) is not None),
    ]


def log_notes(before: LogPosition | None, after: LogPosition | None, changes: int) -> list[str]:
    """What the changes cost in the source's log; nothing where that is not known, or where the
    server has started again and counts from the beginning.
    """
    if before is None or after is None or not changes or after.bytes < before.bytes:
        return []
    grown = after.bytes - before.bytes
    return [
        f"the source's log grew by {grown:,} bytes, {grown / changes:,.0f} for each of"
        f" {changes:,} changes ({before.text} to {after.text}, with all that others wrote)"
    ]


def clock_notes(facts: Facts) -> list[str]:
    """A note if the source's clock differs, and by how much latencies were corrected."""
    clock = facts.source_clock
    if clock.same:
        return []
    return [
        f"PostgreSQL's clock is {clock.offset_us / 1000:+.1f} ms off this machine's (within"
        f" {clock.bound_us / 1000:.2f} ms); commit and capture are corrected by it"
    ]


def bound_notes(states: Sequence[StepState], facts: Facts) -> list[str]:
    """How exact the end-to-end latency is, if it is not exact, and how many events were repeats."""
    found = []
    for state in states:
        sink = facts.sink.get(state.number)
        if sink is None:
            continue
        paced = state.recorder() if state.step.mode == "paced" else None
        late_ms = lateness_ms(sink.recorder, paced).get("late")
        if late_ms and not facts.smoke:
            found.append(
                f"{state.step.name}: each end-to-end figure may be too high by up to"
                f" {late_ms:.1f} ms (a tap that looks only now and then, or moments in which the"
                " generator did not run)"
            )
        if sink.duplicated:
            found.append(
                f"{state.step.name}: {sink.duplicated} events arrived again; latencies count only"
                " each event's first arrival"
            )
    return found


def stranger_notes(facts: Facts) -> list[str]:
    """Processes of other runs that were sent away."""
    if not facts.strangers:
        return []
    some = "1 worker" if facts.strangers == 1 else f"{facts.strangers} workers"
    return [f"{some} that did not belong to the run: told to quit, and nothing of it was counted"]


def load_notes(states: Sequence[StepState]) -> list[str]:
    """Causes of failed arrivals, and how often a producer's local queue was full."""
    notes = []
    for state in states:
        causes: Counter[str] = Counter()
        for report in state.reports.values():
            causes.update(report.tally.errors)
        notes += [
            f"{state.step.name}: {count} x {cause}"
            for cause, count in causes.most_common(CAUSES_TOLD)
        ]
        full = state.recorder().histogram("backpressure").count
        if full:
            notes.append(f"{state.step.name}: a producer's local queue was full {full} times")
    return notes


def lane_notes(states: Sequence[StepState]) -> list[str]:
    """Notes on arrivals that had to wait for a free lane."""
    found = []
    for state in states:
        schedule = state.step.schedule
        rate_per_s = schedule.count / schedule.duration_s if schedule.duration_s else 0.0
        mean_ms = state.recorder().histogram("service").summary_ms()["mean"]
        step, exhausted = step_facts(state, Facts()), state.total("exhausted")
        note = validity.lanes_note(step, exhausted, state.step.lanes, round(rate_per_s, 1), mean_ms)
        found += [note] if note is not None else []
    return found
